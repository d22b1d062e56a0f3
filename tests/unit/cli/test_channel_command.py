"""`inbox channel` against a server that answers as the API does: what is sent, what is said, and no secret in sight."""

from __future__ import annotations

from typing import Any, Self

import pytest
from click.testing import CliRunner, Result

from inbox.cli import inbox
from inbox.commands import channel as command

CHANNEL_ID = "00000000-0000-0000-0000-00000000000a"
APP_ID = "00000000-0000-0000-0000-00000000000b"
OTHER_APP = "00000000-0000-0000-0000-00000000000c"
WELL = {"code": "webhook", "state": "ok", "reason": "The provider delivers here.", "remedy": None}
BROKEN = {"code": "webhook", "state": "broken", "reason": "It delivers elsewhere.", "remedy": "Connect it again."}


def channel(**more: Any) -> dict[str, Any]:
    return {
        "id": CHANNEL_ID, "kind": "whatsapp", "account_id": "111", "name": "Shop", "state": "enabled", "health": "ok",
        "health_reason": None, "options": {"waba_id": "900"}, **more,
    }  # fmt: skip


class Server:
    """Stands in for ``Api``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        self.apps: list[dict[str, Any]] = []
        self.connected: dict[str, Any] = {
            "ok": True, "channel": channel(), "fault": None, "findings": [WELL],
            "webhook_url": "https://x.test/hook", "verify_token": "paste me",
        }  # fmt: skip
        self.checked: dict[str, Any] = {"ok": True, "fault": None, "findings": [WELL]}

    def __call__(self, url: str, token: str | None) -> Self:
        self.url, self.token = url, token
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, path: str) -> Any:
        match path:
            case "/v1/me":
                return {"agent": {"id": CHANNEL_ID}}
            case "/v1/channel-kinds":
                return [{"kind": "whatsapp", "provider": "meta"}, {"kind": "telegram", "provider": "telegram"}]
            case _:
                return channel()

    async def all(self, path: str) -> list[dict[str, Any]]:
        return self.channels if path == "/v1/channels" else self.apps

    async def post(self, path: str, body: Any = None) -> Any:
        self.calls.append(("POST", path, body))
        if path == "/v1/provider-apps":
            return {"app": {"id": APP_ID}}
        if path == "/v1/channels":
            return channel(kind=body["kind"], account_id=body["account_id"])
        return self.checked if path.endswith("/check") else self.connected

    async def patch(self, path: str, body: Any) -> Any:
        self.calls.append(("PATCH", path, body))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(command, "Api", server)
    for name in ("INBOX_CHANNEL_TOKEN", "INBOX_APP_SECRET", "INBOX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INBOX_TOKEN", "an api token")
    return server


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(inbox, ["channel", *arguments, "--url", "http://inbox.test"], input=given)


def test_a_number_is_connected_through_a_new_app_with_secrets_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INBOX_CHANNEL_TOKEN", "t0ken")
    monkeypatch.setenv("INBOX_APP_SECRET", "s3cret")
    result = run("connect", "whatsapp", "--account", "111", "--option", "waba_id=900", "--name", "Shop")
    assert result.exit_code == 0, result.output
    assert [(method, path) for method, path, _ in server.calls] == [
        ("POST", "/v1/provider-apps"),
        ("POST", "/v1/channels"),
        ("POST", f"/v1/channels/{CHANNEL_ID}/connect"),
    ]
    assert server.calls[0][2]["signing_secrets"] == ["s3cret"]
    made = server.calls[1][2]
    assert (made["token"], made["options"], made["provider_app_id"]) == ("t0ken", {"waba_id": "900"}, APP_ID)
    assert server.token == "an api token"
    for told in ("https://x.test/hook", "paste me", "The provider delivers here."):
        assert told in result.output
    assert "t0ken" not in result.output
    assert "s3cret" not in result.output


def test_a_bot_is_known_by_its_token_which_standard_input_may_bring(server: Server) -> None:
    server.connected["verify_token"] = None
    result = run("connect", "telegram", given="  4711:secret\r\n")
    assert result.exit_code == 0, result.output
    assert server.calls[0][2] == {"provider": "telegram", "account_id": "4711", "name": "telegram 4711"}
    assert (server.calls[1][2]["account_id"], server.calls[1][2]["token"]) == ("4711", "4711:secret")
    assert "secret" not in result.output
    assert "verify token" not in result.output


def test_a_known_account_gets_a_new_token(server: Server) -> None:
    server.channels = [channel(kind="telegram", account_id="4711", options={"kept": "yes"})]
    result = run("connect", "telegram", given="4711:new\n")
    assert result.exit_code == 0, result.output
    patch = ("PATCH", f"/v1/channels/{CHANNEL_ID}", {"token": "4711:new", "options": {"kept": "yes"}})
    assert server.calls[0] == patch


def test_connecting_shows_how_the_channel_stands_afterwards(server: Server) -> None:
    server.channels = [channel(kind="telegram", account_id="4711", health="reauthorise")]
    server.connected["channel"] = channel(kind="telegram", account_id="4711", health="degraded")
    result = run("connect", "telegram", given="4711:new\n")
    assert "[degraded]" in result.output
    assert "[reauthorise]" not in result.output


def test_what_is_broken_is_said_with_its_remedy_and_the_exit_code(server: Server) -> None:
    server.connected |= {"ok": False, "findings": [WELL, BROKEN]}
    result = run("connect", "telegram", given="4711:secret\n")
    assert result.exit_code == 1
    assert "✗ It delivers elsewhere.\n    → Connect it again." in result.output


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("connect", "pigeon"), "x\n", "choose one of telegram, whatsapp"),
        (("connect", "telegram"), "", "set INBOX_CHANNEL_TOKEN"),
        (("connect", "whatsapp", "--account", "1", "--option", "waba_id=2"), "x\n", "--app"),
        (("connect", "whatsapp", "--option", "waba"), "x\n", "not a name and a value"),
    ],
)
def test_what_is_missing_is_said(server: Server, arguments: tuple[str, ...], given: str, words: str) -> None:
    server.apps = [
        {"id": app_id, "provider": "meta", "name": "App", "account_id": None} for app_id in (APP_ID, OTHER_APP)
    ]
    result = run(*arguments, given=given)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert server.calls == []


def test_every_enabled_channel_is_checked_and_one_that_is_broken_is_the_exit_code(server: Server) -> None:
    server.channels = [channel(), channel(state="disabled")]
    assert run("check").exit_code == 0
    assert [path for _, path, _ in server.calls] == [f"/v1/channels/{CHANNEL_ID}/check"]
    server.checked = {"ok": True, "fault": None, "findings": [WELL, BROKEN]}
    assert run("check").exit_code == 1, "credentials that work are not enough"
    fault = {"code": "token_invalid", "reason": "It has expired.", "reauthorise": True}
    server.checked = {"ok": False, "fault": fault, "findings": []}
    result = run("check", CHANNEL_ID)
    assert result.exit_code == 1
    assert "It has expired." in result.output
    assert "new token" in result.output


def test_the_list_shows_how_they_stand(server: Server) -> None:
    assert "No channels" in run("list").output
    server.channels = [channel(health="degraded", health_reason="Quality is low.")]
    result = run("list")
    assert "Shop  [degraded]" in result.output
    assert "Quality is low." in result.output


def test_a_server_of_ones_own_needs_an_api_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INBOX_TOKEN")
    result = run("list")
    assert result.exit_code == 2
    assert "INBOX_TOKEN" in result.output
