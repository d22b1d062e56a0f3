"""The exact calls that Messenger's Send API receives, and what its answers become."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from fake_http import FakeHttp

from channels.adapter import AccountFacts, OutboundFile
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.messenger.adapter import MessengerAdapter
from channels.meta.graph import API_VERSION
from channels.outbound import Accepted, Envelope, Piece
from channels.types import Account, Address, Person

adapter = MessengerAdapter()
BASE = f"https://graph.facebook.com/{API_VERSION}"
ACCOUNT = Account("messenger", "1001", "T0KEN")
PSID = Address("messenger_user", "1001", "2002")
REFERENCE = Address("messenger_ref", "1001", "UR-9")
TEXT = Piece({"message": {"text": "hi"}}, text="hi")
IMAGE: dict[str, Any] = {"attachment": {"type": "image", "payload": {"url": "https://files.example/a"}}}


def envelope(piece: Piece = TEXT, **changes: Any) -> Envelope:
    return Envelope(piece, changes.pop("recipient", (PSID,)), "d-42", **changes)


def answering(body: Any, status: int = 200) -> FakeHttp:
    http = FakeHttp()
    http.answer(body, status)
    return http


SENT: list[tuple[str, Envelope, dict[str, Any]]] = [
    (
        "reply",
        envelope(),
        {"messaging_type": "RESPONSE", "message": {"text": "hi", "metadata": "d-42"}},
    ),
    (
        "quote",
        envelope(reply_to="m_prev"),
        {
            "messaging_type": "RESPONSE",
            "message": {"text": "hi", "metadata": "d-42"},
            "reply_to": {"mid": "m_prev"},
        },
    ),
    (
        "human agent after 24 h",
        envelope(purpose="human_agent"),
        {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT", "message": {"text": "hi", "metadata": "d-42"}},
    ),
    (
        "bulk",
        envelope(purpose="bulk"),
        {"messaging_type": "UPDATE", "message": {"text": "hi", "metadata": "d-42"}},
    ),
    (
        "template",
        envelope(Piece({"message": {"template": {"name": "order", "language": {"code": "en"}}}}), purpose="template"),
        {
            "messaging_type": "UTILITY",
            "message": {"template": {"name": "order", "language": {"code": "en"}}, "metadata": "d-42"},
        },
    ),
    (
        "media by link",
        envelope(Piece({"message": IMAGE}, lane="media")),
        {"messaging_type": "RESPONSE", "message": {**IMAGE, "metadata": "d-42"}},
    ),
]


@pytest.mark.parametrize(("label", "sent", "body"), SENT, ids=[case[0] for case in SENT])
async def test_a_piece_is_one_call(label: str, sent: Envelope, body: dict[str, Any]) -> None:
    http = answering({"recipient_id": "2002", "message_id": "m_1"})
    assert await adapter.send(http, ACCOUNT, sent, ()) == Accepted(("m_1",))
    (request,) = http.requests
    assert (request.method, request.url) == ("POST", f"{BASE}/1001/messages")
    assert request.headers["authorization"] == "Bearer T0KEN"
    assert request.json == {"recipient": {"id": "2002"}, **body}


async def test_sending_leaves_the_stored_piece_unchanged() -> None:
    await adapter.send(answering({"message_id": "m_1"}), ACCOUNT, envelope(), ())
    assert TEXT.payload == {"message": {"text": "hi"}}


async def test_a_stored_file_is_uploaded_and_then_named() -> None:
    http = FakeHttp()
    http.answer({"attachment_id": "987"})
    http.answer({"recipient_id": "2002", "message_id": "m_1"})
    file = OutboundFile("Übersicht.pdf", "application/pdf", b"%PDF")
    sent = envelope(Piece({"upload": "file"}, media_ids=("f1",), lane="media"))
    assert await adapter.send(http, ACCOUNT, sent, (file,)) == Accepted(("m_1",))
    upload, message = http.requests
    assert upload.url == f"{BASE}/1001/message_attachments"
    assert upload.form is not None
    assert set(upload.form) == {"message"}
    assert orjson.loads(upload.form["message"]) == {"attachment": {"type": "file", "payload": {"is_reusable": True}}}
    (part,) = upload.files
    assert (part.name, part.filename, part.content_type, part.data) == (
        "filedata",
        "Übersicht.pdf",
        "application/pdf",
        b"%PDF",
    )
    assert isinstance(message.json, dict)
    assert message.json["message"] == {
        "attachment": {"type": "file", "payload": {"attachment_id": "987"}},
        "metadata": "d-42",
    }


async def test_a_broken_upload_may_be_repeated_and_no_message_was_sent() -> None:
    http = FakeHttp()
    http.fail(TimeoutError("slow"))
    file = OutboundFile("a.png", "image/png", b"x")
    with pytest.raises(SendError) as caught:
        await adapter.send(http, ACCOUNT, envelope(Piece({"upload": "image"}, media_ids=("f1",))), (file,))
    assert (caught.value.fault.code, caught.value.fault.retryable) == ("temporary", True)
    assert len(http.requests) == 1


async def test_a_piece_without_its_file_sends_nothing() -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as caught:
        await adapter.send(http, ACCOUNT, envelope(Piece({"upload": "image"}, media_ids=("f1",))), ())
    assert (caught.value.fault.code, caught.value.fault.ours) == ("media_refused", True)
    assert http.requests == []


async def test_a_reaction_and_its_removal() -> None:
    http = FakeHttp()
    http.answer({"recipient_id": "2002"})
    http.answer({"recipient_id": "2002"})
    for emoji in ("👍", None):
        piece = Piece({"reaction": {"target": "m_in", "emoji": emoji}})
        assert await adapter.send(http, ACCOUNT, envelope(piece), ()) == Accepted(())
    recipient = {"id": "2002"}
    assert [request.json for request in http.requests] == [
        {"recipient": recipient, "sender_action": "react", "payload": {"message_id": "m_in", "reaction": "👍"}},
        {"recipient": recipient, "sender_action": "unreact", "payload": {"message_id": "m_in"}},
    ]


async def test_a_reference_is_used_only_without_an_id_and_its_answer_reveals_the_id() -> None:
    http = FakeHttp()
    http.answer({"message_id": "m_1"})
    http.answer({"message_id": "m_2", "recipient_id": "2002"})
    await adapter.send(http, ACCOUNT, envelope(recipient=(REFERENCE, PSID)), ())
    second = await adapter.send(http, ACCOUNT, envelope(recipient=(REFERENCE,)), ())
    targets = [request.json["recipient"] for request in http.requests if isinstance(request.json, dict)]
    assert targets == [{"id": "2002"}, {"user_ref": "UR-9"}]
    assert second == Accepted(("m_2",), addresses=(PSID,))


async def test_an_id_of_another_page_reaches_nobody() -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as caught:
        await adapter.send(http, ACCOUNT, envelope(recipient=(Address("messenger_user", "1002", "2002"),)), ())
    assert caught.value.fault.code == "recipient_unavailable"
    assert http.requests == []


async def test_the_error_that_means_success_is_success() -> None:
    http = answering({"error": {"message": "x", "code": 1, "error_subcode": 1357046}}, 500)
    accepted = await adapter.send(http, ACCOUNT, envelope(), ())
    assert accepted.external_ids == ()
    assert accepted.note == "1/1357046: Meta reports an error but has sent the message."


async def test_transport_errors_of_a_send_pass_through() -> None:
    http = FakeHttp()
    http.fail(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        await adapter.send(http, ACCOUNT, envelope(), ())


async def test_meta_gets_the_time_it_needs_to_fetch_a_link() -> None:
    timeouts: list[float | None] = []

    class Watched(FakeHttp):
        async def request(self, method: str, url: str, *, timeout: float | None = None, **rest: Any) -> Any:
            timeouts.append(timeout)
            return await FakeHttp.request(self, method, url, timeout=timeout, **rest)

    http = Watched()
    for patience in (None, 30.0, 90.0):
        http.answer({"message_id": "m_1"})
        await adapter.send(http, ACCOUNT, envelope(Piece({"message": IMAGE}, patience=patience)), ())
    assert timeouts == [None, 30.0, 90.0]


@pytest.mark.parametrize(("block", "action"), [(True, "block_user"), (False, "unblock_user")])
async def test_a_person_is_blocked_at_the_provider(block: bool, action: str) -> None:
    http = answering({"result": {}})
    await (adapter.block if block else adapter.unblock)(http, ACCOUNT, (REFERENCE, PSID))
    assert (http.last.method, http.last.url) == ("POST", f"{BASE}/1001/moderate_conversations")
    assert http.last.json == {"user_ids": [{"id": "2002"}], "actions": [action]}


async def test_somebody_known_by_a_reference_only_cannot_be_blocked() -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as caught:
        await adapter.block(http, ACCOUNT, (REFERENCE,))
    assert caught.value.fault.code == "not_offered"
    assert http.requests == []


async def test_blocking_may_be_repeated_after_an_answer_from_in_between() -> None:
    with pytest.raises(SendError) as caught:
        await adapter.block(answering(b"<html>", 502), ACCOUNT, (PSID,))
    assert (caught.value.fault.code, caught.value.fault.retryable) == ("temporary", True)


async def test_typing_and_read_marks() -> None:
    http = FakeHttp()
    http.answer({"recipient_id": "2002"})
    http.answer({"recipient_id": "2002"})
    await adapter.typing(http, ACCOUNT, (PSID,), None)
    await adapter.mark_read(http, ACCOUNT, (PSID,), "m_in")
    assert [request.json for request in http.requests] == [
        {"recipient": {"id": "2002"}, "sender_action": "typing_on"},
        {"recipient": {"id": "2002"}, "sender_action": "mark_seen"},
    ]


async def test_a_tap_needs_no_answer() -> None:
    http = FakeHttp()
    await adapter.acknowledge(http, ACCOUNT, "token")
    assert http.requests == []


async def test_a_file_is_fetched_without_the_token() -> None:
    http = answering(b"12345678")
    async with adapter.fetch(http, ACCOUNT, MediaRef(url="https://scontent.example/f")) as stream:
        assert b"".join([chunk async for chunk in stream.chunks()]) == b"12345678"
    assert http.last.url == "https://scontent.example/f"
    assert "authorization" not in http.last.headers


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (403, "not_found", False),
        (404, "not_found", False),
        (410, "not_found", False),
        (429, "temporary", True),
        (503, "temporary", True),
    ],
)
async def test_a_file_that_cannot_be_had(status: int, code: str, retryable: bool) -> None:
    with pytest.raises(FetchError) as caught:
        async with adapter.fetch(answering(b"", status), ACCOUNT, MediaRef(url="https://scontent.example/f")):
            pass
    fault = caught.value.fault
    assert (fault.code, fault.retryable, fault.provider_code) == (code, retryable, f"http {status}")


async def test_a_file_without_a_link_is_not_asked_for() -> None:
    http = FakeHttp()
    with pytest.raises(FetchError):
        async with adapter.fetch(http, ACCOUNT, MediaRef(id="1")):
            pass
    assert http.requests == []


async def test_a_profile() -> None:
    http = answering(
        {
            "id": "2002",
            "name": "Ann Bell",
            "first_name": "Ann",
            "last_name": "Bell",
            "profile_pic": "https://pic.example/1",
        }
    )
    person = await adapter.profile(http, ACCOUNT, (PSID,))
    assert person == Person((PSID,), "Ann Bell", "Ann", "Bell", avatar_url="https://pic.example/1")
    assert http.last.url == f"{BASE}/2002"
    assert http.last.query == {"fields": "first_name,last_name,name,profile_pic"}


@pytest.mark.parametrize(
    ("label", "body", "status"),
    [
        ("access not granted", {"id": "2002"}, 200),
        ("phone-only account", {"error": {"message": "x", "code": 100, "error_subcode": 2018218}}, 400),
    ],
)
async def test_a_profile_that_tells_nothing(label: str, body: Any, status: int) -> None:
    assert await adapter.profile(answering(body, status), ACCOUNT, (PSID,)) is None


async def test_nobody_is_asked_for_behind_a_reference() -> None:
    http = FakeHttp()
    assert await adapter.profile(http, ACCOUNT, (REFERENCE,)) is None
    assert http.requests == []


async def test_a_profile_refused_for_the_token_is_an_error() -> None:
    with pytest.raises(FetchError) as caught:
        await adapter.profile(answering({"error": {"message": "x", "code": 190}}, 400), ACCOUNT, (PSID,))
    assert caught.value.fault.reauthorise


async def test_the_check_tells_whose_token_it_is() -> None:
    http = answering({"id": "1001", "name": "Shoe shop"})
    http.answer({"data": {"is_valid": True, "expires_at": 1_798_761_600}})
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    assert await adapter.check(http, ACCOUNT) == AccountFacts("1001", "Shoe shop", expires_at=ends)
    assert [request.url for request in http.requests] == [f"{BASE}/me", f"{BASE}/debug_token"]


async def test_a_check_does_without_what_meta_does_not_tell_of_a_token() -> None:
    http = answering({"id": "1001", "name": "Shoe shop"})
    http.answer({"error": {"message": "x", "code": 100}}, 400)
    assert await adapter.check(http, ACCOUNT) == AccountFacts("1001", "Shoe shop")


async def test_the_stand_in_host_and_version_of_an_account_are_used() -> None:
    account = Account("messenger", "1001", "T0KEN", api_base="http://127.0.0.1:9", api_version="v99.0")
    http = answering({"message_id": "m_1"})
    await adapter.send(http, account, envelope(), ())
    assert http.last.url == "http://127.0.0.1:9/v99.0/1001/messages"
