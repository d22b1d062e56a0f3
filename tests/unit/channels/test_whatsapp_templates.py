"""WhatsApp templates: every definition that Meta lists is understood, and values become its components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_http import FakeHttp

from channels.abilities import HasTemplates
from channels.adapter import OutboundFile
from channels.errors import ContentRefused, FetchError, SendError
from channels.outbound import Envelope, OutboundLocation, OutboundMedia, TemplateValues
from channels.templates import Template, TemplateButton, TemplateHeader
from channels.types import Account, Address, JsonObject, JsonValue
from channels.whatsapp.adapter import WhatsAppAdapter

TOKEN = "EAAsecret0123456789"
ACCOUNT = Account("whatsapp", "111", TOKEN, options={"waba_id": "900"})
ADAPTER = WhatsAppAdapter()
PHONE = Address("whatsapp_phone", "", "15551230001")
LINK = "https://example.org/a.jpg"


def test_it_has_templates() -> None:
    assert isinstance(ADAPTER, HasTemplates)


# --- Definitions ------------------------------------------------------------------------------------------------------


def listed(*components: JsonValue, **facts: JsonValue) -> JsonObject:
    return {
        "id": "7",
        "name": "order_update",
        "language": "en_US",
        "status": "APPROVED",
        "category": "UTILITY",
        "components": [*components],
        **facts,
    }


BODY: JsonObject = {"type": "BODY", "text": "Hi {{1}}."}
PLAIN = Template("7", "order_update", "en_US", "approved", "utility", "positional", "Hi {{1}}.")

DEFINITIONS: dict[str, tuple[JsonObject, Template]] = {
    "body only": (listed(BODY), PLAIN),
    "named": (listed(BODY, parameter_format="NAMED"), replace(PLAIN, parameter_format="named")),
    "text header and footer": (
        listed({"type": "HEADER", "format": "TEXT", "text": "For {{1}}"}, BODY, {"type": "FOOTER", "text": "Shop"}),
        replace(PLAIN, header=TemplateHeader("text", "For {{1}}"), footer="Shop"),
    ),
    **{
        f"{kind} header": (
            listed({"type": "HEADER", "format": kind.upper(), "example": {"header_handle": ["x"]}}, BODY),
            replace(PLAIN, header=TemplateHeader(kind)),
        )
        for kind in ("image", "video", "document", "location")
    },
    "all buttons": (
        listed(
            BODY,
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "QUICK_REPLY", "text": "Yes"},
                    {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}", "example": ["x"]},
                    {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550000001"},
                    {"type": "COPY_CODE", "text": "Copy code", "example": "SAVE"},
                    {"type": "FLOW", "text": "Book", "flow_id": 1},
                    {"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"},
                    {"type": "VOICE_CALL", "text": "Ring"},
                    {"type": "HOLOGRAM"},
                ],
            },
        ),
        replace(
            PLAIN,
            buttons=(
                TemplateButton("quick_reply", "Yes"),
                TemplateButton("url", "Track", url="https://shop.example/{{1}}"),
                TemplateButton("phone", "Call", phone="+15550000001"),
                TemplateButton("copy_code", "Copy code"),
                TemplateButton("flow", "Book"),
                TemplateButton("url", "Copy", url="{{1}}"),
                TemplateButton("other", "Ring"),
                TemplateButton("other", "hologram"),
            ),
        ),
    ),
    "rejected": (
        listed(BODY, status="REJECTED", rejected_reason="TAG_CONTENT_MISMATCH"),
        replace(PLAIN, status="rejected", reason="Tag content mismatch."),
    ),
    "approved has no reason": (listed(BODY, rejected_reason="NONE"), PLAIN),
    "quality": (listed(BODY, quality_score={"score": "YELLOW", "date": 1}), replace(PLAIN, quality="yellow")),
    "appealed": (listed(BODY, status="IN_APPEAL"), replace(PLAIN, status="pending")),
    "paused": (listed(BODY, status="PAUSED"), replace(PLAIN, status="paused")),
    "disabled": (listed(BODY, status="DISABLED"), replace(PLAIN, status="disabled")),
    "unheard-of status": (listed(BODY, status="ARCHIVED"), replace(PLAIN, status="other")),
    "carousel": (listed(BODY, {"type": "CAROUSEL", "cards": []}), replace(PLAIN, unfillable="carousel")),
    "products": (
        listed(BODY, {"type": "BUTTONS", "buttons": [{"type": "MPM", "text": "View items"}]}),
        replace(PLAIN, buttons=(TemplateButton("other", "View items"),), unfillable="button mpm"),
    ),
    "unheard-of header": (
        listed({"type": "HEADER", "format": "PRODUCT"}, BODY),
        replace(PLAIN, unfillable="header product"),
    ),
    "harmless component": (listed(BODY, {"type": "CALL_PERMISSION_REQUEST"}), PLAIN),
    "number as id, broken parts": (
        listed(BODY, None, 7, {"type": "BUTTONS", "buttons": "x"}, id=7, quality_score=[]),
        PLAIN,
    ),
    "nothing in it": (
        {"id": "7", "name": "order_update", "language": "en_US"},
        Template("7", "order_update", "en_US", "other", "", "positional", ""),
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_a_listed_template_becomes_this_definition(name: str) -> None:
    item, template = DEFINITIONS[name]
    http = FakeHttp()
    http.answer({"data": [item]})
    assert await ADAPTER.templates(http, ACCOUNT) == [template]


async def test_all_pages_are_read_by_their_cursor() -> None:
    http = FakeHttp()
    for number, following in ((1, "b"), (2, "c"), (3, None)):
        paging: JsonObject = {"cursors": {"before": "x", "after": following or "end"}}
        if following:
            paging["next"] = "https://evil.example/steal-the-token"
        http.answer({"data": [listed(BODY, id=str(number)), {"id": "nameless"}], "paging": paging})
    found = await ADAPTER.templates(http, ACCOUNT)
    assert [template.external_id for template in found] == ["1", "2", "3"]
    assert {request.url for request in http.requests} == {"https://graph.facebook.com/v26.0/900/message_templates"}
    assert [request.query.get("after") for request in http.requests] == [None, "b", "c"]
    assert "quality_score" in http.requests[0].query["fields"]


async def test_a_list_that_breaks_off_is_not_taken_for_all() -> None:
    http = FakeHttp()
    http.answer({"data": [listed(BODY)], "paging": {"cursors": {"after": "b"}, "next": "x"}})
    http.answer({"error": {"code": 4}}, status=400)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.templates(http, ACCOUNT)
    assert refused.value.fault.code == "rate_limited"


async def test_a_list_that_goes_in_circles_ends() -> None:
    http = FakeHttp()
    for _ in range(2):
        http.answer({"data": [listed(BODY)], "paging": {"cursors": {"after": "b"}, "next": "x"}})
    assert len(await ADAPTER.templates(http, ACCOUNT)) == 2


async def test_without_the_account_there_are_no_templates_to_ask_for() -> None:
    http = FakeHttp()
    with pytest.raises(FetchError, match="waba_id"):
        await ADAPTER.templates(http, Account("whatsapp", "111", TOKEN))
    assert http.requests == []


# --- Filling ----------------------------------------------------------------------------------------------------------


def defined(body: str = "Hi {{1}}.", **facts: Any) -> Template:
    return replace(PLAIN, body=body, **facts)


def button(kind: Any, url: str | None = None) -> Template:
    return defined("Hi.", buttons=(TemplateButton("phone", "Call"), TemplateButton(kind, "Press", url=url)))


def text(value: str, **facts: str) -> JsonObject:
    return {"type": "text", **facts, "text": value}


ANN = TemplateValues(body={"1": "Ann"})
STORED = OutboundMedia("document", media_id="m1", mime_type="application/pdf", filename="a.pdf")

FILLED: dict[str, tuple[Template, TemplateValues, list[JsonObject]]] = {
    "no gaps": (defined("Hi."), TemplateValues(), []),
    "numbered in any order": (
        defined("{{2}} for {{1}}, {{10}} and {{2}}"),
        TemplateValues(body={"10": "c", "1": "a", "2": "b"}),
        [{"type": "body", "parameters": [text("a"), text("b"), text("c")]}],
    ),
    "named": (
        defined("{{day}} for {{name}}", parameter_format="named"),
        TemplateValues(body={"name": "Ann", "day": "Monday"}),
        [
            {
                "type": "body",
                "parameters": [text("Monday", parameter_name="day"), text("Ann", parameter_name="name")],
            }
        ],
    ),
    "text header": (
        defined("Hi.", header=TemplateHeader("text", "For {{1}}")),
        TemplateValues(header={"1": "Ann"}),
        [{"type": "header", "parameters": [text("Ann")]}],
    ),
    "text header without a gap": (defined("Hi.", header=TemplateHeader("text", "Hello")), TemplateValues(), []),
    "linked picture": (
        defined(header=TemplateHeader("image")),
        replace(ANN, header_media=OutboundMedia("image", url=LINK, mime_type="image/jpeg")),
        [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": LINK}}]},
            {"type": "body", "parameters": [text("Ann")]},
        ],
    ),
    "stored document": (
        defined("Hi.", header=TemplateHeader("document")),
        TemplateValues(header_media=STORED),
        [{"type": "header", "parameters": [{"type": "document", "document": {"filename": "a.pdf"}}]}],
    ),
    "location": (
        defined("Hi.", header=TemplateHeader("location")),
        TemplateValues(header_location=OutboundLocation(48.2, 16.4, "Dom", "Platz 3")),
        [
            {
                "type": "header",
                "parameters": [
                    {
                        "type": "location",
                        "location": {"latitude": "48.2", "longitude": "16.4", "name": "Dom", "address": "Platz 3"},
                    }
                ],
            }
        ],
    ),
    "quick reply": (
        button("quick_reply"),
        TemplateValues(buttons={1: "YES"}),
        [
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": "1",
                "parameters": [{"type": "payload", "payload": "YES"}],
            }
        ],
    ),
    "quick reply that gives back its title": (button("quick_reply"), TemplateValues(), []),
    "rest of a link": (
        button("url", "https://shop.example/{{1}}"),
        TemplateValues(buttons={1: "A-42"}),
        [{"type": "button", "sub_type": "url", "index": "1", "parameters": [text("A-42")]}],
    ),
    "whole link": (button("url", "https://shop.example"), TemplateValues(), []),
    "coupon": (
        button("copy_code"),
        TemplateValues(buttons={1: "SAVE10"}),
        [
            {
                "type": "button",
                "sub_type": "copy_code",
                "index": "1",
                "parameters": [{"type": "coupon_code", "coupon_code": "SAVE10"}],
            }
        ],
    ),
    "flow": (
        button("flow"),
        TemplateValues(buttons={1: "token-1"}),
        [
            {
                "type": "button",
                "sub_type": "flow",
                "index": "1",
                "parameters": [{"type": "action", "action": {"flow_token": "token-1"}}],
            }
        ],
    ),
    "flow without a token": (button("flow"), TemplateValues(), []),
    "button that takes nothing": (button("other"), TemplateValues(), []),
}


@pytest.mark.parametrize("name", FILLED)
def test_values_become_these_components(name: str) -> None:
    template, values, components = FILLED[name]
    filled = ADAPTER.fill(template, values)
    assert list(filled.components) == components
    assert (filled.name, filled.language) == ("order_update", "en_US")
    [piece] = ADAPTER.plan([filled])
    wanted: JsonObject = {"name": "order_update", "language": {"code": "en_US"}}
    assert piece.payload == {
        "type": "template",
        "template": {**wanted, "components": components} if components else wanted,
    }


def test_a_filled_template_reads_as_the_customer_sees_it() -> None:
    template = defined(header=TemplateHeader("text", "For {{1}}"), footer="Shop")
    filled = ADAPTER.fill(template, TemplateValues(header={"1": "you"}, body={"1": "Ann {{2}}"}))
    assert filled.text == "For you\n\nHi Ann {{2}}.\n\nShop"
    [piece] = ADAPTER.plan([filled])
    assert piece.text == filled.text


REFUSED: dict[str, tuple[Template, TemplateValues, str, str]] = {
    "no value": (PLAIN, TemplateValues(), "template_variables", "template.body"),
    "blank value": (PLAIN, TemplateValues(body={"1": " "}), "template_variables", "template.body"),
    "value too many": (PLAIN, TemplateValues(body={"1": "a", "2": "b"}), "template_variables", "template.body"),
    "line break": (PLAIN, TemplateValues(body={"1": "a\nb"}), "template_variables", "template.body"),
    "five spaces": (PLAIN, TemplateValues(body={"1": "a     b"}), "template_variables", "template.body"),
    "body too long": (PLAIN, TemplateValues(body={"1": "x" * 1021}), "too_long", "template.body.maximum"),
    "header too long": (
        defined("Hi.", header=TemplateHeader("text", "{{1}}")),
        TemplateValues(header={"1": "x" * 61}),
        "too_long",
        "template.header.maximum",
    ),
    "value for a header that is not there": (
        PLAIN,
        replace(ANN, header={"1": "a"}),
        "template_variables",
        "template.header",
    ),
    "no picture": (defined(header=TemplateHeader("image")), ANN, "template_variables", "template.header"),
    "picture too many": (
        PLAIN,
        replace(ANN, header_media=OutboundMedia("image", url=LINK)),
        "template_variables",
        "template.header",
    ),
    "video for a picture": (
        defined(header=TemplateHeader("image")),
        replace(ANN, header_media=OutboundMedia("video", url=LINK)),
        "template_variables",
        "template.header",
    ),
    "picture of the wrong type": (
        defined(header=TemplateHeader("image")),
        replace(ANN, header_media=OutboundMedia("image", url=LINK, mime_type="image/gif")),
        "media_type",
        "media.image.mime_types",
    ),
    "no location": (defined(header=TemplateHeader("location")), ANN, "template_variables", "template.header"),
    "location without a name": (
        defined(header=TemplateHeader("location")),
        replace(ANN, header_location=OutboundLocation(1, 2)),
        "template_variables",
        "template.header",
    ),
    "impossible location": (
        defined(header=TemplateHeader("location")),
        replace(ANN, header_location=OutboundLocation(91, 2, "a", "b")),
        "invalid",
        "location",
    ),
    "no rest of the link": (
        button("url", "https://x.example/{{1}}"),
        TemplateValues(),
        "template_variables",
        "template.buttons",
    ),
    "link too long": (
        button("url", "https://x.example/{{1}}"),
        TemplateValues(buttons={1: "x" * 1990}),
        "too_long",
        "template.button_link.maximum",
    ),
    "no coupon": (button("copy_code"), TemplateValues(), "template_variables", "template.buttons"),
    "long coupon": (
        button("copy_code"),
        TemplateValues(buttons={1: "x" * 16}),
        "too_long",
        "template.button_code.maximum",
    ),
    "long payload": (
        button("quick_reply"),
        TemplateValues(buttons={1: "x" * 257}),
        "too_long",
        "template.button_payload.maximum",
    ),
    "value for a button that takes none": (
        button("quick_reply"),
        TemplateValues(buttons={0: "x"}),
        "template_variables",
        "template.buttons",
    ),
    "button that is not there": (
        button("quick_reply"),
        TemplateValues(buttons={5: "x"}),
        "template_variables",
        "template.buttons",
    ),
    "carousel": (defined("Hi.", unfillable="carousel"), TemplateValues(), "template_variables", "template"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_do_not_fit_are_refused_with_the_place(name: str) -> None:
    template, values, code, limit = REFUSED[name]
    with pytest.raises(ContentRefused) as refused:
        ADAPTER.fill(template, values)
    assert (refused.value.code, refused.value.limit) == (code, limit)
    assert refused.value.reason.endswith(".")


# --- Sending ----------------------------------------------------------------------------------------------------------


TAKEN: JsonObject = {"messages": [{"id": "wamid.out"}]}
FILE = OutboundFile("a.pdf", "application/pdf", b"%PDF")


def envelope() -> Envelope:
    template = defined(header=TemplateHeader("document"))
    [piece] = ADAPTER.plan([ADAPTER.fill(template, replace(ANN, header_media=STORED))])
    assert piece.media_ids == ("m1",)
    return Envelope(piece, (PHONE,), "corr-1", purpose="template")


async def test_a_stored_file_is_uploaded_into_the_header() -> None:
    http = FakeHttp()
    http.answer({"id": "media-9"})
    http.answer(TAKEN)
    wanted = envelope()
    await ADAPTER.send(http, ACCOUNT, wanted, (FILE,))
    upload, message = http.requests
    assert (upload.url, upload.files[0].data) == ("https://graph.facebook.com/v26.0/111/media", b"%PDF")
    assert isinstance(message.json, dict)
    assert message.json["template"] == {
        "name": "order_update",
        "language": {"code": "en_US"},
        "components": [
            {
                "type": "header",
                "parameters": [{"type": "document", "document": {"filename": "a.pdf", "id": "media-9"}}],
            },
            {"type": "body", "parameters": [text("Ann")]},
        ],
    }
    assert wanted == envelope(), "the stored piece was changed"


@pytest.mark.parametrize("files", [(), (FILE, FILE)])
async def test_files_that_do_not_fit_the_template_are_our_mistake(files: tuple[OutboundFile, ...]) -> None:
    http = FakeHttp()
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(), files)
    assert refused.value.fault.ours
    assert http.requests == []
