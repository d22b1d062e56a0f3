"""pywa accepts the signature of every webhook of the simulated WhatsApp, reads it, and finds no value it does not know.

An unknown value of an enumeration is a warning of pywa's, and warnings are errors here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pywa import types
from pywa.errors import ReEngagementMessage, WhatsAppError
from whatsapp_stage import ANN, NUMBER, Stage, errors_of, open_stage

ACTS: dict[str, type] = {
    **dict.fromkeys(
        ("text", "image", "video", "audio", "voice", "document", "sticker", "location", "contact", "reaction",
         "unreact", "order", "referral", "unsupported", "contact_info"), types.Message,
    ),
    "edit": types.EditedMessage,
    "unsend": types.DeletedMessage,
    "button": types.CallbackButton,
    "list_reply": types.CallbackSelection,
    "flow_reply": types.FlowCompletion,
    "number_changed": types.PhoneNumberChange,
    "identity_changed": types.IdentityChange,
    "opt_out": types.UserMarketingPreferences,
    "opt_in": types.UserMarketingPreferences,
    "call_permission": types.CallPermissionUpdate,
}  # fmt: skip
PAYLOADS = {
    "number_changed": "15557654321", "call_permission": "accept", "contact_info": "contact_request",
    "flow_reply": '{"flow_token": "t", "size": "XL"}',
}  # fmt: skip
TARGETED = frozenset({"reaction", "unreact", "edit", "unsend", "button", "list_reply"})


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


@pytest.mark.parametrize("kind", ACTS)
async def test_each_act(stage: Stage, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    person = {"phone": f"1555999{list(ACTS).index(kind):04}", "name": "Cy"}
    target = (await stage.say(text="before", who=person))["id"]
    await stage.told()
    caplog.clear()
    more = {"message_id": target} if kind in TARGETED else {}
    await stage.say(kind, "after", who=person, title="Yes", payload=PAYLOADS.get(kind, "y"), **more)
    (update,) = await stage.told()
    assert not errors_of(caplog.records)
    assert type(update) is ACTS[kind]


async def test_the_words_arrive(stage: Stage) -> None:
    said = await stage.say(text="Hällo 🙂 / ok")
    (message,) = await stage.told()
    assert (message.text, message.id, message.from_user.name) == ("Hällo 🙂 / ok", said["id"], "Ann Lee")
    assert (message.from_user.wa_id, message.from_user.bsuid) == ("15551230001", "US.4711")
    await stage.say(text="yes", reply_to=said["id"])
    (reply,) = await stage.told()
    assert reply.reply_to_message.id == said["id"]
    await stage.say(text="fwd", forwarded=True)
    (forwarded,) = await stage.told()
    assert forwarded.forwarded is True


async def test_receipts(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.say(text="hi")
    await stage.told()
    await stage.control.receipts(NUMBER, auto=True, delivered_after=0, read_after=0)
    caplog.clear()
    sent = await asyncio.to_thread(stage.wa.send_message, ANN["phone"], "hello", tracker="t-1")
    statuses = await stage.told()
    assert [status.status.value for status in statuses] == ["sent", "delivered", "read"]
    assert {(status.id, status.tracker) for status in statuses} == {(sent.id, "t-1")}
    await stage.control.customer(NUMBER, ANN, wrote_hours_ago=25)
    assert not errors_of(caplog.records)
    late = await asyncio.to_thread(stage.wa.send_message, ANN["phone"], "late")
    assert await stage.control.flush()
    # pywa wants `contacts`, which failures leave out (facts, 1.2): here it is the judge who errs.
    assert [each.split("] ")[-1] for each in errors_of(caplog.records)] == [
        "Failed to construct update (field=messages)"
    ]
    (failed,) = stage.raw[-1]["entry"][0]["changes"][0]["value"]["statuses"]
    assert failed["id"] == late.id
    assert type(WhatsAppError.from_dict(failed["errors"][0])) is ReEngagementMessage
    await stage.told()
    await stage.control.receipts(NUMBER, auto=False)


async def test_echoes_of_the_business_app(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.say(text="hi")
    await stage.told()
    caplog.clear()
    await stage.control.native(NUMBER, ANN, "from the phone")
    (echo,) = await stage.told()
    assert type(echo) is types.OutgoingMessage
    assert echo.text == "from the phone"
    assert not errors_of(caplog.records)


@pytest.mark.parametrize(
    ("event", "details", "kind"),
    [
        *(
            ("template_status", {"name": "hello_world", "status": status}, types.TemplateStatusUpdate)
            for status in ("PAUSED", "FLAGGED", "REJECTED", "DISABLED", "REINSTATED", "APPROVED")
        ),
        ("template_quality", {"name": "hello_world", "score": "YELLOW"}, types.TemplateQualityUpdate),
        ("template_category", {"name": "hello_world", "category": "MARKETING"}, types.TemplateCategoryUpdate),
        ("template_components", {"name": "order_update", "components": [
            {"type": "BODY", "text": "Hi {{1}}"}, {"type": "FOOTER", "text": "Bye"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Thanks"}]}]},
         types.TemplateComponentsUpdate),
        ("account_update", {}, types.AccountUpdate),
    ],
)  # fmt: skip
async def test_what_concerns_the_account(
    stage: Stage, caplog: pytest.LogCaptureFixture, event: str, details: dict[str, Any], kind: type
) -> None:
    await stage.told()
    caplog.clear()
    await stage.control.event(NUMBER, event, **details)
    (update,) = await stage.told()
    assert not errors_of(caplog.records)
    assert type(update) is kind
