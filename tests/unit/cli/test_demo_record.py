"""What a demo remembers, and who it says the customers are."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from channels.simulator.telegram_api import BOT_TOKEN
from inbox.demo.banner import banner
from inbox.demo.customers import customer_named
from inbox.demo.errors import DemoError
from inbox.demo.ports import choose_port, port_of
from inbox.demo.record import Kind, find_record, get_record, new_record


def test_a_record_is_only_for_its_owner_and_comes_back(tmp_path: Path) -> None:
    record = new_record()
    record.save(tmp_path)
    record.token = "ibx_api_x"
    record.save(tmp_path)

    assert find_record(tmp_path) == record
    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["demo.json"]


def test_every_installation_has_its_own_secrets() -> None:
    one, other = new_record(), new_record()

    mine = {person.password for person in one.people} | {channel.token for channel in one.channels}
    theirs = {person.password for person in other.people} | {channel.token for channel in other.channels}
    assert len(mine) == len(one.people) + len(one.channels)
    assert not mine & theirs
    assert BOT_TOKEN.fullmatch(one.channel("telegram").token)


def test_a_broken_record_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{")

    with pytest.raises(DemoError, match="cannot be read"):
        find_record(tmp_path)
    with pytest.raises(DemoError, match="there is no demo"):
        get_record(tmp_path / "elsewhere")


def test_channels_are_found_by_kind_and_by_name() -> None:
    record = new_record()

    assert record.channel("WhatsApp").kind == "whatsapp"
    assert record.channel("shop page").kind == "messenger"
    with pytest.raises(DemoError, match="no channel fax"):
        record.channel("fax")


@pytest.mark.parametrize("kind", ["whatsapp", "messenger", "instagram", "telegram"])
def test_the_same_name_is_the_same_customer(kind: Kind) -> None:
    ann = customer_named(kind, "Änn")

    assert ann == customer_named(kind, "Änn")
    assert ann["id"] != customer_named(kind, "Bob")["id"]
    assert str(ann["id"]).isdecimal()


def test_a_taken_port_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert choose_port(port) != port
    assert choose_port(port, but=port) != port
    assert port_of("http://127.0.0.1:8081") == 8081
    assert port_of("") is None


def test_the_banner_holds_everything_needed(tmp_path: Path) -> None:
    record = new_record().model_copy(
        update={"url": "http://127.0.0.1:1", "simulator_url": "http://127.0.0.1:2", "token": "ibx_api_x"}
    )

    conversation = {"id": "c1", "contact_id": "p1"}
    text = banner(record, tmp_path, seconds=1.0, per_minute=0, conversation=conversation)

    about = ("/v1/conversations/c1/messages", "/v1/conversations/c1/scheduled-messages", "/v1/contacts/p1/block")
    for needed in (record.url, record.simulator_url, "ibx_api_x", str(tmp_path), *about):
        assert needed in text
    assert "Grace Miller" not in text, "without customers there are no stories"
    assert "Grace Miller" in banner(record, tmp_path, seconds=1.0, per_minute=1, conversation=None)
    assert all(person.password in text for person in record.people)
    assert f"watch --folder {tmp_path}" in text
