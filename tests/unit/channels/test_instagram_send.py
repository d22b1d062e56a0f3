"""The calls on Instagram's two stacks, and where they differ from Messenger's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from fake_http import FakeHttp

from channels.adapter import AccountFacts, OutboundFile
from channels.errors import FetchError, SendError
from channels.instagram.adapter import InstagramAdapter
from channels.meta.graph import API_VERSION
from channels.outbound import Accepted, Envelope, Piece
from channels.types import Account, Address, Person

adapter = InstagramAdapter()
LOGIN = Account("instagram", "17841", "T0KEN", options={"stack": "login"})
PAGE = Account("instagram", "17841", "T0KEN", options={"stack": "page", "page_id": "1001"})
LOGIN_NODE = f"https://graph.instagram.com/{API_VERSION}/17841"
PAGE_NODE = f"https://graph.facebook.com/{API_VERSION}/1001"
ANN = Address("instagram_user", "17841", "5005")
TEXT = Piece({"message": {"text": "hi"}}, text="hi")
STACKS = pytest.mark.parametrize(("account", "node"), [(LOGIN, LOGIN_NODE), (PAGE, PAGE_NODE)], ids=["login", "page"])


def envelope(piece: Piece = TEXT, **changes: Any) -> Envelope:
    return Envelope(piece, (ANN,), "d-42", **changes)


def answering(*bodies: Any, status: int = 200) -> FakeHttp:
    http = FakeHttp()
    for body in bodies:
        http.answer(body, status)
    return http


@STACKS
async def test_a_text_goes_out_without_any_correlation(account: Account, node: str) -> None:
    http = answering({"recipient_id": "5005", "message_id": "m_1"})
    assert await adapter.send(http, account, envelope(reply_to="m_prev"), ()) == Accepted(("m_1",))
    assert (http.last.method, http.last.url) == ("POST", f"{node}/messages")
    assert http.last.headers["authorization"] == "Bearer T0KEN"
    assert http.last.json == {
        "recipient": {"id": "5005"},
        "messaging_type": "RESPONSE",
        "message": {"text": "hi"},
        "reply_to": {"mid": "m_prev"},
    }


async def test_a_human_agent_and_a_bulk_send() -> None:
    http = answering({"message_id": "m_1"}, {"message_id": "m_2"})
    await adapter.send(http, LOGIN, envelope(purpose="human_agent"), ())
    await adapter.send(http, LOGIN, envelope(purpose="bulk"), ())
    human, bulk = (request.json for request in http.requests)
    assert human == {
        "recipient": {"id": "5005"},
        "messaging_type": "MESSAGE_TAG",
        "tag": "HUMAN_AGENT",
        "message": {"text": "hi"},
    }
    assert isinstance(bulk, dict)
    assert bulk["messaging_type"] == "RESPONSE"


@STACKS
@pytest.mark.parametrize(
    ("filename", "sent"),
    [("photo.png", "photo.png"), ("Übersicht 1.png", "bersicht 1.png"), ("写真.png", "file.png"), ("写真", "file")],
)
async def test_an_upload_names_the_platform_and_has_an_ascii_filename(
    account: Account, node: str, filename: str, sent: str
) -> None:
    http = answering({"attachment_id": "987"}, {"recipient_id": "5005", "message_id": "m_1"})
    file = OutboundFile(filename, "image/png", b"png")
    await adapter.send(http, account, envelope(Piece({"upload": "image"}, media_ids=("f1",))), (file,))
    upload, message = http.requests
    assert upload.url == f"{node}/message_attachments"
    assert upload.form is not None
    assert upload.form["platform"] == "instagram"
    assert orjson.loads(upload.form["message"])["attachment"]["type"] == "image"
    assert [part.filename for part in upload.files] == [sent]
    assert isinstance(message.json, dict)
    assert message.json["message"] == {"attachment": {"type": "image", "payload": {"attachment_id": "987"}}}


@STACKS
async def test_an_album_uploads_its_stored_images_first_and_is_one_message(account: Account, node: str) -> None:
    http = answering({"attachment_id": "987"}, {"attachment_id": "988"}, {"recipient_id": "5005", "message_id": "m_1"})
    piece = Piece({"album": [None, "https://files.example/a", None]}, media_ids=("f1", "f2"))
    files = (OutboundFile("1.png", "image/png", b"one"), OutboundFile("2.png", "image/png", b"two"))
    assert await adapter.send(http, account, envelope(piece), files) == Accepted(("m_1",))
    first, second, message = http.requests
    assert [request.files[0].data for request in (first, second)] == [b"one", b"two"]
    assert message.url == f"{node}/messages"
    assert message.json == {
        "recipient": {"id": "5005"},
        "messaging_type": "RESPONSE",
        "message": {
            "attachments": [
                {"type": "image", "payload": {"attachment_id": "987"}},
                {"type": "image", "payload": {"url": "https://files.example/a"}},
                {"type": "image", "payload": {"attachment_id": "988"}},
            ]
        },
    }


async def test_an_album_that_lacks_a_file_sends_nothing() -> None:
    http = answering({"attachment_id": "987"})
    piece = Piece({"album": [None, None]}, media_ids=("f1", "f2"))
    with pytest.raises(SendError) as caught:
        await adapter.send(http, LOGIN, envelope(piece), (OutboundFile("1.png", "image/png", b"one"),))
    assert caught.value.fault.code == "media_refused"
    assert [request.url for request in http.requests] == [f"{LOGIN_NODE}/message_attachments"]


async def test_the_page_stack_reacts_with_a_heart_only() -> None:
    http = answering({"recipient_id": "5005"}, {"recipient_id": "5005"})
    for emoji in ("❤️", None):
        await adapter.send(http, PAGE, envelope(Piece({"reaction": {"target": "m_in", "emoji": emoji}})), ())
    assert [request.json for request in http.requests] == [
        {
            "recipient": {"id": "5005"},
            "sender_action": "react",
            "payload": {"message_id": "m_in", "reaction": "love"},
        },
        {"recipient": {"id": "5005"}, "sender_action": "unreact", "payload": {"message_id": "m_in"}},
    ]
    with pytest.raises(SendError) as caught:
        await adapter.send(http, PAGE, envelope(Piece({"reaction": {"target": "m_in", "emoji": "🔥"}})), ())
    assert (caught.value.fault.code, caught.value.fault.retryable) == ("not_offered", False)
    assert "❤️" in caught.value.fault.reason
    assert len(http.requests) == 2


def test_what_a_stack_lacks_is_told() -> None:
    login, page = adapter.capabilities_of(LOGIN), adapter.capabilities_of(PAGE)
    assert (login.reactions, login.reaction_emoji, login.blocks_people) == ("any", (), False)
    assert (page.reactions, page.reaction_emoji, page.blocks_people) == ("fixed", ("❤️",), True)


@pytest.mark.parametrize(("emoji", "name"), [("❤️", "love"), ("❤", "love"), ("🔥", "🔥")])
async def test_reactions(emoji: str, name: str) -> None:
    http = answering({"recipient_id": "5005"})
    piece = Piece({"reaction": {"target": "m_in", "emoji": emoji}})
    assert await adapter.send(http, LOGIN, envelope(piece), ()) == Accepted(())
    assert http.last.json == {
        "recipient": {"id": "5005"},
        "sender_action": "react",
        "payload": {"message_id": "m_in", "reaction": name},
    }


@STACKS
async def test_typing_and_read_marks(account: Account, node: str) -> None:
    http = answering({"recipient_id": "5005"}, {"recipient_id": "5005"})
    await adapter.typing(http, account, (ANN,), "m_in")
    await adapter.mark_read(http, account, (ANN,), "m_in")
    assert [(request.url, request.json) for request in http.requests] == [
        (f"{node}/messages", {"recipient": {"id": "5005"}, "sender_action": "typing_on"}),
        (f"{node}/messages", {"recipient": {"id": "5005"}, "sender_action": "mark_seen"}),
    ]


async def test_people_are_blocked_on_the_page_stack_only() -> None:
    http = answering({"result": {}})
    await adapter.block(http, PAGE, (ANN,))
    assert http.last.url == f"{PAGE_NODE}/moderate_conversations"
    assert http.last.json == {"user_ids": [{"id": "5005"}], "actions": ["block_user"]}
    for call in (adapter.block, adapter.unblock):
        with pytest.raises(SendError) as caught:
            await call(http, LOGIN, (ANN,))
        assert caught.value.fault.code == "not_offered"
        assert "Instagram app" in caught.value.fault.reason
    assert len(http.requests) == 1


async def test_a_page_whose_id_is_unknown_is_the_one_of_the_token() -> None:
    http = answering({"recipient_id": "5005", "message_id": "m_1"})
    await adapter.send(http, Account("instagram", "17841", "T", options={"stack": "page"}), envelope(), ())
    assert http.last.url == f"https://graph.facebook.com/{API_VERSION}/me/messages"


async def test_a_profile_with_empty_fields() -> None:
    http = answering({"name": None, "username": "ann.b", "profile_pic": None, "id": "5005"})
    assert await adapter.profile(http, LOGIN, (ANN,)) == Person((ANN,), username="ann.b")
    assert http.last.url == f"https://graph.instagram.com/{API_VERSION}/5005"
    assert http.last.query == {"fields": "name,username,profile_pic"}


async def test_a_profile_without_consent_is_none_and_not_a_fault_of_the_account() -> None:
    http = answering({"error": {"message": "User consent is required", "code": 230}}, status=403)
    assert await adapter.profile(http, PAGE, (ANN,)) is None


async def test_the_check_of_a_login_account() -> None:
    http = answering({"user_id": "17841", "id": "998", "username": "shop", "name": "Shop"})
    assert await adapter.check(http, LOGIN) == AccountFacts("17841", "shop", {"stack": "login"})
    assert http.last.url == f"https://graph.instagram.com/{API_VERSION}/me"


async def test_the_check_of_a_page_linked_account() -> None:
    page = {"id": "1001", "name": "Page", "instagram_business_account": {"id": "17841", "username": "shop"}}
    token = {"data": {"is_valid": True, "expires_at": 1_798_761_600}}
    facts = await adapter.check(answering(page, token), Account("instagram", "17841", "T", options={"stack": "page"}))
    options = {"stack": "page", "page_id": "1001"}
    assert facts == AccountFacts("17841", "shop", options, datetime(2027, 1, 1, tzinfo=UTC))


async def test_the_check_of_a_page_without_instagram() -> None:
    with pytest.raises(FetchError) as caught:
        await adapter.check(answering({"id": "1001", "name": "Page"}), PAGE)
    assert caught.value.fault.code == "not_found"
