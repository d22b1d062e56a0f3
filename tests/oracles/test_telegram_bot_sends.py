"""A real aiogram bot talks to the simulator: it gets parsed answers, and refusals as the exceptions it knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    InputMediaVideo,
    KeyboardButton,
    Message,
    ReactionTypeEmoji,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from strictness import unknown_fields
from telegram_stage import ANN, BOT, TOKEN, Stage, open_stage

from channels.simulator.samples import sample

PHOTO = BufferedInputFile(sample("image"), "photo.png")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(fetch_links=False) as stage:
        await stage.say(text="hi")
        yield stage


def bot_of(stage: Stage, token: str = TOKEN) -> Bot:
    base = stage.server.telegram_url
    server = TelegramAPIServer(f"{base}/bot{{token}}/{{method}}", f"{base}/file/bot{{token}}/{{path}}")
    return Bot(token, session=AiohttpSession(api=server))


@pytest.fixture
async def bot(stage: Stage) -> AsyncIterator[Bot]:
    made = bot_of(stage)
    yield made
    await made.session.close()


async def test_every_kind_of_message(stage: Stage, bot: Bot) -> None:
    file = BufferedInputFile(sample("video"), "clip.mp4")
    link = "https://example.org/file"
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Yes", callback_data="y")]])
    replies = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Yes"), KeyboardButton(text="No")]])
    sent = [
        await bot.send_message(42, "<b>Hello</b>", parse_mode="HTML", reply_markup=keyboard),
        await bot.send_message(42, "Shall we?", reply_markup=replies),
        await bot.send_photo(42, PHOTO, caption="Look"),
        await bot.send_photo(42, link + ".png"),
        await bot.send_video(42, file),
        await bot.send_animation(42, file),
        await bot.send_audio(42, BufferedInputFile(sample("audio"), "a.mp3")),
        await bot.send_voice(42, BufferedInputFile(sample("voice"), "a.ogg")),
        await bot.send_document(42, BufferedInputFile(sample("document"), "a.pdf")),
        await bot.send_video_note(42, file),
        await bot.send_sticker(42, BufferedInputFile(sample("sticker"), "a.webp")),
        await bot.send_location(42, 52.5, 13.4),
        await bot.send_venue(42, 52.5, 13.4, "Cafe", "Weg 1"),
        await bot.send_contact(42, "+46700000001", "Bo"),
        await bot.send_poll(42, "Which?", ["One", "Two"]),
        await bot.send_dice(42),
        *await bot.send_media_group(42, [InputMediaPhoto(media=PHOTO), InputMediaVideo(media=file, caption="two")]),
    ]
    assert [each.content_type.value for each in sent] == [
        "text", "text", "photo", "photo", "video", "animation", "audio", "voice", "document", "video_note", "sticker",
        "location", "venue", "contact", "poll", "dice", "photo", "video",
    ]  # fmt: skip
    assert not [path for each in sent for path in unknown_fields(each)]
    assert sent[0].html_text == "<b>Hello</b>"
    assert len(await stage.control.inbox(BOT, "42")) == len(sent)


async def test_changes_and_look_ups(stage: Stage, bot: Bot) -> None:
    sent = await bot.send_photo(
        42,
        PHOTO,
        caption="one",
        reply_parameters=ReplyParameters(message_id=1, chat_id=42, allow_sending_without_reply=True),
    )
    where = {"chat_id": 42, "message_id": sent.message_id}
    edited = await bot.edit_message_caption(**where, caption="two")
    assert isinstance(edited, Message)
    assert edited.caption == "two"
    media = InputMediaVideo(media=BufferedInputFile(sample("video"), "a.mp4"), caption="three")
    moved = await bot.edit_message_media(media, **where)
    assert isinstance(moved, Message)
    assert (moved.caption, moved.photo) == ("three", None)
    assert moved.video is not None
    await stage.say(text="react")
    theirs = int((await stage.control.inbox(BOT, "42", everything=True))[-1]["id"])  # type: ignore[arg-type]
    assert await bot.set_message_reaction(42, theirs, [ReactionTypeEmoji(emoji="👍")])
    assert await bot.send_chat_action(42, "typing")
    data = await bot.download(moved.video)
    assert data is not None
    assert data.read() == sample("video")
    assert await bot.delete_message(**where)
    await stage.control.customer(BOT, ANN, bio="Hello", photo=True)
    chat = await bot.get_chat(42)
    assert (chat.bio, chat.photo is not None) == ("Hello", True)
    assert (await bot.get_user_profile_photos(42)).total_count == 1
    assert (await bot.get_me()).id == int(BOT)
    assert (await bot.get_webhook_info()).url == stage.hook.url


async def test_a_dispatcher_polls(stage: Stage, bot: Bot) -> None:
    heard: list[str | None] = []
    dispatcher = Dispatcher()

    async def hear(message: Message) -> None:
        heard.append(message.text)
        await message.answer(f"you said {message.text}")
        await dispatcher.stop_polling()

    dispatcher.message.register(hear)
    assert await bot.delete_webhook(drop_pending_updates=True)
    await stage.say(text="one")
    async with asyncio.timeout(20):
        await dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False, polling_timeout=1)
    assert heard == ["one"]
    assert (await stage.control.inbox(BOT, "42"))[-1]["text"] == "you said one"


async def test_a_dispatcher_behind_a_webhook(stage: Stage, bot: Bot) -> None:
    heard: list[str | None] = []
    dispatcher = Dispatcher()

    async def hear(message: Message) -> None:
        heard.append(message.text)

    dispatcher.message.register(hear)
    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token="other").register(app, "/hook")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    assert await bot.set_webhook(hook, secret_token="wrong", allowed_updates=["message"], drop_pending_updates=True)
    await stage.say(text="nobody listens")
    async with asyncio.timeout(5):
        while (await bot.get_webhook_info()).last_error_message is None:
            await asyncio.sleep(0.01)
    assert "401" in str((await bot.get_webhook_info()).last_error_message)
    assert await bot.set_webhook(hook, secret_token="other")
    assert await stage.control.flush()
    await runner.cleanup()
    assert heard == ["nobody listens"]


async def test_refusals_have_their_exceptions(stage: Stage, bot: Bot) -> None:
    with pytest.raises(TelegramConflictError):
        await bot.get_updates()
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(999, "x")
    sent = await bot.send_message(42, "x")
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_text("x", chat_id=42, message_id=sent.message_id)
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query("1")
    await stage.control.say(BOT, ANN, "hi", group={"id": "-500", "title": "Team"})
    await stage.control.say(BOT, ANN, kind="migrate", group={"id": "-500"}, telegram={"moved_to": "-100500"})
    with pytest.raises(TelegramMigrateToChat) as moved:
        await bot.send_message(-500, "x")
    assert moved.value.migrate_to_chat_id == -100500
    await stage.control.fault("api", "throttle", count=1, retry_after=9)
    with pytest.raises(TelegramRetryAfter) as throttled:
        await bot.send_message(42, "x")
    assert throttled.value.retry_after == 9
    await stage.control.fault("api", "down", count=1)
    with pytest.raises(TelegramServerError):
        await bot.send_message(42, "x")
    await stage.control.clear_faults()
    await stage.say("block")
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(42, "x")


@pytest.mark.parametrize(
    ("token", "error"), [(f"{BOT}:BBBB-another-token", TelegramUnauthorizedError), (f"{BOT}:short", TelegramNotFound)]
)
async def test_tokens_that_are_wrong(stage: Stage, token: str, error: type[Exception]) -> None:
    stranger = bot_of(stage, token)
    with pytest.raises(error):
        await stranger.get_me()
    await stranger.session.close()
