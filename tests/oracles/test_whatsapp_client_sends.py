"""A real pywa client sends through the simulator: its answers are read, its refusals are the exceptions pywa knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pywa import errors
from pywa.types import Button, Section, SectionList, SectionRow, URLButton
from pywa.types.templates import BodyText, TemplateLanguage
from whatsapp_stage import ANN, NUMBER, Stage, errors_of, open_stage

from channels.simulator.samples import sample

PHONE = str(ANN["phone"])
EN = TemplateLanguage.ENGLISH_US


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        await stage.say(text="hi")
        await stage.told()
        yield stage


async def run(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """pywa waits for its answers in a thread, the simulator answers from this loop."""
    return await asyncio.to_thread(call, *arguments, **named)


async def test_messages(stage: Stage) -> None:
    wa = stage.wa
    theirs = (await stage.say(text="this"))["id"]
    rows = SectionList("Choose", [Section("All", [SectionRow("One", "1"), SectionRow("Two", "2", "the second")])])
    sent = [
        await run(wa.send_message, PHONE, "Hello", reply_to_message_id=theirs),
        await run(wa.send_message, PHONE, "See https://e.org", preview_url=True),
        await run(wa.send_message, PHONE, "Shall we?", header="Now", buttons=[Button("Yes", "y"), Button("No", "n")]),
        await run(wa.send_message, PHONE, "Look", buttons=URLButton("Open", "https://example.org")),
        await run(wa.send_message, PHONE, "Which?", footer="either", buttons=rows),
        await run(wa.send_image, PHONE, sample("image"), caption="Look", mime_type="image/png"),
        await run(wa.send_image, PHONE, "https://example.org/a.png"),
        await run(wa.send_document, PHONE, sample("document"), filename="a.pdf", mime_type="application/pdf"),
        await run(wa.send_video, PHONE, "https://example.org/a.mp4"),
        await run(wa.send_audio, PHONE, "https://example.org/a.mp3"),
        await run(wa.send_sticker, PHONE, sample("sticker"), mime_type="image/webp"),
        await run(wa.send_location, PHONE, 52.5, 13.4, "Cafe", "Weg 1"),
        await run(wa.send_reaction, PHONE, "👍", theirs),
        await run(wa.remove_reaction, PHONE, theirs),
        await run(wa.send_template, PHONE, "hello_world", EN, []),
        await run(
            wa.send_template, PHONE, "appointment_reminder", EN, [BodyText.params(first_name="Ann", day="Monday")]
        ),
    ]
    assert all(each.id.startswith("wamid.") for each in sent)
    seen = await stage.control.inbox(NUMBER, PHONE)
    assert [each["text"] for each in seen if each["kind"] == "text"][:2] == ["Hello", "See https://e.org"]
    assert any(each["text"] == "Ann, we look forward to seeing you on Monday." for each in seen)


async def test_a_recipient_by_business_scoped_id(stage: Stage) -> None:
    sent = await run(stage.wa.send_message, "US.4711", "Hello")
    assert sent.id.startswith("wamid.")
    assert (await stage.control.inbox(NUMBER, PHONE))[-1]["text"] == "Hello"


async def test_media_both_ways(stage: Stage) -> None:
    await stage.say("image", "look")
    (message,) = await stage.told()
    assert await run(message.image.get_bytes) == sample("image")
    media = await run(stage.wa.upload_media, sample("image"), "image/png", "a.png")
    found = await run(stage.wa.get_media_url, media.id)
    assert found.mime_type == "image/png"
    assert await run(stage.wa.get_media_bytes, found.url) == sample("image")


async def test_what_is_no_message(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    theirs = (await stage.say(text="read me"))["id"]
    assert await run(stage.wa.mark_message_as_read, theirs)
    assert await run(stage.wa.indicate_typing, theirs)
    templates = await run(stage.wa.get_templates)
    assert "hello_world" in {template.name for template in templates}
    assert not errors_of(caplog.records)  # pywa keeps a component raw that it cannot read, and says so there


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (errors.TemplateNotExists, lambda wa: wa.send_template(PHONE, "nothing", EN, [])),
        (errors.TemplateParamCountMismatch, lambda wa: wa.send_template(PHONE, "order_update", EN, [
            BodyText.params("Ann")])),
        (errors.WhatsAppError, lambda wa: wa.send_message(PHONE, "?", buttons=[Button("x" * 21, "y")])),
        (errors.WhatsAppError, lambda wa: wa.send_message(PHONE, "")),
    ],
)  # fmt: skip
async def test_refusals_have_their_exceptions(stage: Stage, error: type[Exception], call: Callable[[Any], Any]) -> None:
    with pytest.raises(error):
        await run(call, stage.wa)


async def test_throttles_and_tokens(stage: Stage) -> None:
    await stage.control.fault("api", "throttle", count=1)
    with pytest.raises(errors.ThrottlingError):
        await run(stage.wa.send_message, PHONE, "x")
    await stage.control.register("whatsapp", NUMBER, "another-token", options={"waba_id": "999"})
    with pytest.raises(errors.ExpiredAccessToken):
        await run(stage.wa.send_message, PHONE, "x")
