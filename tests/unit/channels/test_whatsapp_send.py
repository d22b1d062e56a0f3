"""The calls of a WhatsApp number, over a fake client that records them."""

from __future__ import annotations

import pytest
from fake_http import FakeHttp

from channels.adapter import OutboundFile, Upload
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.outbound import Accepted, Envelope, Piece
from channels.types import Account, Address, JsonObject
from channels.whatsapp.adapter import WhatsAppAdapter

TOKEN = "EAAsecret0123456789"
ACCOUNT = Account("whatsapp", "111", TOKEN)
ADAPTER = WhatsAppAdapter()
PHONE = Address("whatsapp_phone", "", "15551230001")
NEW_PHONE = Address("whatsapp_phone", "", "15559990000")
BSUID = Address("whatsapp_user", "", "US.1")
USERNAME = Address("whatsapp_username", "", "ann")
GROUP = Address("whatsapp_group", "", "120@g.us")
TEXT = Piece({"type": "text", "text": {"body": "hi", "preview_url": False}}, text="hi")
TAKEN: JsonObject = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+15551230001", "wa_id": "15551230001", "user_id": "US.1"}],
    "messages": [{"id": "wamid.out", "message_status": "accepted"}],
}


def envelope(*recipient: Address, piece: Piece = TEXT, reply_to: str | None = None) -> Envelope:
    return Envelope(piece, recipient, "corr-1", reply_to)


async def test_a_text_goes_out_with_number_quote_and_correlation() -> None:
    http = FakeHttp()
    http.answer(TAKEN)
    accepted = await ADAPTER.send(http, ACCOUNT, envelope(BSUID, PHONE, reply_to="wamid.B"), ())
    assert accepted == Accepted(("wamid.out",), (PHONE, BSUID))
    [request] = http.requests
    assert (request.method, request.url) == ("POST", "https://graph.facebook.com/v26.0/111/messages")
    assert request.headers == {"authorization": f"Bearer {TOKEN}"}
    assert request.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+15551230001",
        "type": "text",
        "text": {"body": "hi", "preview_url": False},
        "context": {"message_id": "wamid.B"},
        "biz_opaque_callback_data": "corr-1",
    }


@pytest.mark.parametrize(
    ("recipient", "told"),
    [
        ((USERNAME, BSUID), {"recipient_type": "individual", "recipient": "US.1"}),
        ((BSUID, PHONE), {"recipient_type": "individual", "to": "+15551230001"}),
        ((GROUP,), {"recipient_type": "group", "to": "120@g.us"}),
        ((PHONE, NEW_PHONE), {"recipient_type": "individual", "to": "+15559990000"}),
        ((Address("whatsapp_user", "", "US.0"), BSUID), {"recipient_type": "individual", "recipient": "US.1"}),
    ],
    ids=["user id", "phone goes first", "group", "newest number", "newest id"],
)
async def test_whom_it_goes_to(recipient: tuple[Address, ...], told: JsonObject) -> None:
    http = FakeHttp()
    http.answer(TAKEN)
    await ADAPTER.send(http, ACCOUNT, envelope(*recipient), ())
    sent = http.last.json
    assert isinstance(sent, dict)
    assert {key: sent[key] for key in ("recipient_type", "to", "recipient") if key in sent} == told


async def test_a_username_alone_is_no_address_to_send_to() -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(USERNAME), ())
    assert refused.value.fault.code == "recipient_unavailable"
    assert http.requests == []


async def test_a_reaction_carries_no_quote() -> None:
    http = FakeHttp()
    http.answer(TAKEN)
    reaction = Piece({"type": "reaction", "reaction": {"message_id": "wamid.B", "emoji": "👍"}})
    await ADAPTER.send(http, ACCOUNT, envelope(PHONE, piece=reaction, reply_to="wamid.B"), ())
    assert isinstance(http.last.json, dict)
    assert "context" not in http.last.json


async def test_host_and_version_are_the_accounts() -> None:
    http = FakeHttp()
    http.answer(TAKEN)
    account = Account("whatsapp", "111", TOKEN, api_base="http://127.0.0.1:9", api_version="27.0")
    await ADAPTER.send(http, account, envelope(PHONE), ())
    assert http.last.url == "http://127.0.0.1:9/v27.0/111/messages"


async def test_an_answer_about_a_person_without_a_number_and_a_held_message() -> None:
    http = FakeHttp()
    http.answer(
        {
            "contacts": [{"input": "US.1", "user_id": "US.1"}],
            "messages": [{"id": "wamid.out", "message_status": "held_for_quality_assessment"}],
        }
    )
    accepted = await ADAPTER.send(http, ACCOUNT, envelope(BSUID), ())
    assert accepted == Accepted(("wamid.out",), (BSUID,), "held_for_quality_assessment")


FILE = OutboundFile("a.pdf", "application/pdf", b"%PDF")
DOCUMENT = Piece({"type": "document", "document": {"filename": "a.pdf"}}, media_ids=("m1",))


async def test_a_stored_file_is_uploaded_first() -> None:
    http = FakeHttp()
    http.answer({"id": "media-9"})
    http.answer(TAKEN)
    await ADAPTER.send(http, ACCOUNT, envelope(PHONE, piece=DOCUMENT), (FILE,))
    upload, message = http.requests
    assert (upload.method, upload.url) == ("POST", "https://graph.facebook.com/v26.0/111/media")
    assert upload.form == {"messaging_product": "whatsapp", "type": "application/pdf"}
    assert upload.files == (Upload("file", "a.pdf", "application/pdf", b"%PDF"),)
    assert isinstance(message.json, dict)
    assert message.json["document"] == {"filename": "a.pdf", "id": "media-9"}
    assert DOCUMENT.payload == {"type": "document", "document": {"filename": "a.pdf"}}, "the stored piece was changed"


async def test_a_missing_file_is_our_mistake() -> None:
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(FakeHttp(), ACCOUNT, envelope(PHONE, piece=DOCUMENT), ())
    assert refused.value.fault.ours


@pytest.mark.parametrize("failure", ["time-out", "no answer", "no id"])
async def test_a_failed_upload_has_sent_nothing_and_may_be_repeated(failure: str) -> None:
    http = FakeHttp()
    if failure == "time-out":
        http.fail(TimeoutError())
    elif failure == "no answer":
        http.answer(b"<html>", status=502)
    else:
        http.answer({})
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(PHONE, piece=DOCUMENT), (FILE,))
    assert (refused.value.fault.code, refused.value.fault.retryable) == ("temporary", True)
    assert len(http.requests) == 1


async def test_a_time_out_of_the_send_itself_passes_through() -> None:
    http = FakeHttp()
    http.fail(TimeoutError())
    with pytest.raises(TimeoutError):
        await ADAPTER.send(http, ACCOUNT, envelope(PHONE), ())


async def test_read_and_typing() -> None:
    http = FakeHttp()
    http.answer({"success": True})
    http.answer({"success": True})
    await ADAPTER.mark_read(http, ACCOUNT, (PHONE,), "wamid.in")
    await ADAPTER.typing(http, ACCOUNT, (PHONE,), "wamid.in")
    await ADAPTER.typing(http, ACCOUNT, (PHONE,), None)
    read: JsonObject = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in"}
    assert [request.json for request in http.requests] == [read, {**read, "typing_indicator": {"type": "text"}}]
    assert {request.url for request in http.requests} == {"https://graph.facebook.com/v26.0/111/messages"}


async def test_there_is_no_profile_and_no_tap_to_answer() -> None:
    http = FakeHttp()
    assert await ADAPTER.profile(http, ACCOUNT, (PHONE,)) is None
    await ADAPTER.acknowledge(http, ACCOUNT, "token")
    assert http.requests == []


async def fetched(http: FakeHttp, media: MediaRef, account: Account = ACCOUNT) -> bytes:
    async with ADAPTER.fetch(http, account, media) as stream:
        return b"".join([chunk async for chunk in stream.chunks()])


async def test_a_file_is_fetched_by_its_id_with_the_token() -> None:
    http = FakeHttp()
    http.answer({"url": "https://lookaside.fbsbx.com/whatsapp?mid=1", "mime_type": "image/jpeg", "file_size": 7})
    http.answer(b"picture")
    assert await fetched(http, MediaRef(id="1001")) == b"picture"
    asked, streamed = http.requests
    assert (asked.url, asked.query) == ("https://graph.facebook.com/v26.0/1001", {"phone_number_id": "111"})
    assert streamed.url == "https://lookaside.fbsbx.com/whatsapp?mid=1"
    assert streamed.headers == {"authorization": f"Bearer {TOKEN}"}


async def test_an_id_cannot_lead_elsewhere_in_the_api() -> None:
    http = FakeHttp()
    http.answer({"error": {"code": 100, "message": "no"}}, status=400)
    with pytest.raises(FetchError):
        await fetched(http, MediaRef(id="../me?x=1"))
    assert http.last.url == "https://graph.facebook.com/v26.0/..%2Fme%3Fx%3D1"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://lookaside.fbsbx.com/x", True),
        ("https://scontent.whatsapp.net/x", True),
        ("http://127.0.0.1:9/media/x", True),
        ("http://127.0.0.1:8/media/x", False),
        ("http://lookaside.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com:8443/x", False),
        ("https://evil.example/fbsbx.com", False),
        ("https://fbsbx.com.evil.example/x", False),
        ("https://evilfbsbx.com/x", False),
        (r"https://evil.example\.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com@evil.example/x", False),
        ("https://[broken/x", False),
    ],
)
async def test_the_token_goes_to_meta_and_to_the_stand_in_only(url: str, told: bool) -> None:
    http = FakeHttp()
    http.answer(b"x")
    await fetched(http, MediaRef(url=url), Account("whatsapp", "111", TOKEN, api_base="http://127.0.0.1:9"))
    assert ("authorization" in http.last.headers) is told


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(404, "not_found", True), (410, "not_found", False), (401, "token_invalid", False), (503, "temporary", True)],
)
async def test_a_file_that_cannot_be_had(status: int, code: str, retryable: bool) -> None:
    http = FakeHttp()
    http.answer(b"", status=status)
    with pytest.raises(FetchError) as refused:
        await fetched(http, MediaRef(url="https://lookaside.fbsbx.com/x"))
    assert (refused.value.fault.code, refused.value.fault.retryable) == (code, retryable)


@pytest.mark.parametrize("media", [MediaRef(), MediaRef(id="1001")])
async def test_a_file_without_a_way_to_it(media: MediaRef) -> None:
    http = FakeHttp()
    http.answer({})
    with pytest.raises(FetchError) as refused:
        await fetched(http, media)
    assert refused.value.fault.code == "not_found"


# --- Blocking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        ((BSUID, PHONE, NEW_PHONE), {"user": "+15559990000"}),
        ((USERNAME, BSUID), {"user": "US.1"}),
    ],
)
async def test_blocking_names_the_person_as_whatsapp_knows_them(peer: tuple[Address, ...], named: JsonObject) -> None:
    http = FakeHttp()
    http.answer({"block_users": {"added_users": [{"input": "x", "wa_id": "y"}]}})
    http.answer({"block_users": {"removed_users": [{"input": "x", "wa_id": "y"}]}})
    await ADAPTER.block(http, ACCOUNT, peer)
    await ADAPTER.unblock(http, ACCOUNT, peer)
    assert [request.method for request in http.requests] == ["POST", "DELETE"]
    assert {request.url for request in http.requests} == {"https://graph.facebook.com/v26.0/111/block_users"}
    assert [request.json for request in http.requests] == [
        {"messaging_product": "whatsapp", "block_users": [named]},
        {"messaging_product": "whatsapp", "block_users": [named]},
    ]


async def test_nobody_can_be_blocked_by_a_username() -> None:
    with pytest.raises(SendError) as refused:
        await ADAPTER.block(FakeHttp(), ACCOUNT, (USERNAME,))
    assert refused.value.fault.code == "recipient_unavailable"


@pytest.mark.parametrize("status", [200, 400])
async def test_a_block_that_failed_for_the_one_person_failed(status: int) -> None:
    http = FakeHttp()
    answer: JsonObject = {
        "messaging_product": "whatsapp",
        "block_users": {"failed_users": [{"input": "x", "errors": [{"code": 131047, "message": "Re-engagement"}]}]},
    }
    if status == 400:
        answer = {"error": {"code": 139100, "message": "Failed to block users"}, **answer}
    http.answer(answer, status=status)
    with pytest.raises(SendError) as refused:
        await ADAPTER.block(http, ACCOUNT, (PHONE,))
    fault = refused.value.fault
    assert "24 hours" in fault.reason
    assert (fault.closes_window, fault.ends_contact, fault.retryable) == (False, None, False)


async def test_a_broken_answer_to_a_block_may_be_asked_again() -> None:
    http = FakeHttp()
    http.answer(b"<html>", status=502)
    with pytest.raises(SendError) as refused:
        await ADAPTER.block(http, ACCOUNT, (PHONE,))
    assert refused.value.fault.retryable


def webp(size: int, *, moves: bool) -> bytes:
    """The beginning of an extended WebP file (RFC 9649, 2.7), filled up."""
    return (b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0" + bytes([0b10 if moves else 0])).ljust(size, b"\0")


LIMIT = 100 * 1024
STICKER = Piece({"type": "sticker", "sticker": {}}, media_ids=("m1",))


@pytest.mark.parametrize("data", [webp(LIMIT, moves=False), webp(5 * LIMIT, moves=True)], ids=["still", "moving"])
async def test_a_sticker_that_fits_is_sent(data: bytes) -> None:
    http = FakeHttp()
    http.answer({"id": "55"})
    http.answer(TAKEN)
    await ADAPTER.send(http, ACCOUNT, envelope(PHONE, piece=STICKER), [OutboundFile("s.webp", "image/webp", data)])
    assert len(http.requests) == 2


@pytest.mark.parametrize("data", [webp(LIMIT + 1, moves=False), b"RIFF".ljust(LIMIT + 1, b"\0")], ids=["still", "old"])
async def test_a_still_sticker_that_is_too_large_is_not_tried(data: bytes) -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(PHONE, piece=STICKER), [OutboundFile("s.webp", "image/webp", data)])
    assert (refused.value.fault.code, refused.value.fault.retryable) == ("media_refused", False)
    assert str(LIMIT) in refused.value.fault.reason
    assert http.requests == []
