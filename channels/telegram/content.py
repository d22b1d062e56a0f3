"""The content of one message as parts. Telegram sets a general field beside a specific one (an animation is also a
document, a venue also a location), so the specific field is asked first and only one of them counts.

Content of a known kind in an unknown shape, and kinds nobody taught us, become ``UnsupportedPart`` with what they held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from channels.content import (
    ChoicePart,
    ContactCard,
    ContactsPart,
    LocationPart,
    MediaKind,
    MediaPart,
    MediaRef,
    Part,
    SharePart,
    StoryPart,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.telegram.entities import read_entities
from channels.telegram.people import USER, display_name, read_phone
from channels.telegram.rich import plain_words
from channels.telegram.services import ENVELOPE, SERVICES, read_service
from channels.types import Address, JsonObject, JsonValue
from channels.wire import LONG, SHORT, as_integer, as_number, as_object, as_text, kept_object, objects

_Reader = Callable[[JsonValue, JsonObject], tuple[Part, ...]]
"""Field and whole message to parts; none when the field does not have the shape it should have."""


def read_parts(message: JsonObject) -> tuple[Part, ...]:
    """Never empty."""
    text = message.get("text")
    if isinstance(text, str) and text:
        parts: tuple[Part, ...] = (TextPart(text, read_entities(text, message.get("entities"))),)
    else:
        parts = _read_content(message)
    parts += _read_origin(message)
    if "quote" in message or "external_reply" in message or "reply_to_story" in message:
        return parts + _read_quoted(message)
    return parts


def _read_content(message: JsonObject) -> tuple[Part, ...]:
    broken: list[str] = []
    for key, reader in _CONTENT:
        if key in message:
            parts = reader(message[key], message)
            if parts:
                return parts
            broken.append(key)
    found = [read_service(key, message[key]) for key in message if key in SERVICES]
    if found:
        return tuple(found)
    unknown = broken or [key for key in message if key not in ENVELOPE] or ["message"]
    caption = as_text(message.get("caption"))
    words: tuple[Part, ...] = (_caption_alone(message, caption),) if caption else ()
    if words and not broken and unknown == ["message"]:
        return words
    data = {key: message[key] for key in unknown if key in message} or message
    return (*words, UnsupportedPart(unknown[0][:SHORT], "Not a kind of message we know.", kept_object(data)))


def _caption_alone(message: JsonObject, caption: str) -> TextPart:
    return TextPart(caption, read_entities(caption, message.get("caption_entities")))


# --- Files ------------------------------------------------------------------------------------------------------------


def _file(kind: MediaKind, source: JsonObject, message: JsonObject, mime_type: str | None = None) -> tuple[Part, ...]:
    file_id = as_text(source.get("file_id"), LONG)
    if file_id is None:
        return ()
    side = as_integer(source.get("length")) if kind == "video_note" else None
    caption = as_text(message.get("caption"))
    reference = MediaRef(
        id=file_id,
        mime_type=as_text(source.get("mime_type"), SHORT) or mime_type,
        size=_size(source.get("file_size")),
        filename=as_text(source.get("file_name"), SHORT),
        width=side or _size(source.get("width")),
        height=side or _size(source.get("height")),
        duration=as_number(source.get("duration")),
    )
    entities = read_entities(caption, message.get("caption_entities")) if caption else ()
    return (MediaPart(kind, reference, caption, entities, as_text(source.get("emoji"), 64)),)


def _size(value: JsonValue) -> int | None:
    number = as_integer(value)
    return number if number is not None and number >= 0 else None


def _reads_file(kind: MediaKind, mime_type: str | None = None) -> _Reader:
    def read(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
        return _file(kind, as_object(value), message, mime_type)

    return read


def _read_photo(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    sizes = [size for size in objects(value) if as_text(size.get("file_id"))]
    if not sizes:
        return ()
    return _file("image", max(sizes, key=_pixels), message, "image/jpeg")


def _pixels(size: JsonObject) -> tuple[int, int]:
    width, height = as_integer(size.get("width")) or 0, as_integer(size.get("height")) or 0
    return width * height, as_integer(size.get("file_size")) or 0


def _read_live_photo(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    """The moving picture, and its still where the message has one: two files, one caption."""
    live = as_object(value)
    still = _read_photo(message.get("photo") or live.get("photo"), message)
    return still + _file("video", live, {} if still else message, "video/mp4")


def _read_sticker(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    sticker = as_object(value)
    if sticker.get("is_animated") is True:
        return _file("sticker", sticker, message, "application/x-tgsticker")
    return _file("sticker", sticker, message, "video/webm" if sticker.get("is_video") is True else "image/webp")


def _read_paid_media(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    parts: list[Part] = []
    for item in objects(as_object(value).get("paid_media")):
        captioned = message if not parts else {}
        found = (
            _read_live_photo(item.get("live_photo"), captioned)
            or _file("video", as_object(item.get("video")), captioned)
            or _read_photo(item.get("photo"), captioned)
        )
        # A preview shows the size of what was not paid for, and no way to it.
        parts.extend(found or (UnsupportedPart("paid_media", "Shown only after payment.", kept_object(item)),))
    return tuple(parts)


# --- Everything else --------------------------------------------------------------------------------------------------


def _read_location(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    place = as_object(value)
    latitude, longitude = as_number(place.get("latitude")), as_number(place.get("longitude"))
    if latitude is None or longitude is None:
        return ()
    return (LocationPart(latitude, longitude, live_seconds=as_integer(place.get("live_period"))),)


def _read_venue(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    venue = as_object(value)
    for source in (venue.get("location"), message.get("location")):
        for place in _read_location(source, message):
            assert isinstance(place, LocationPart)
            name, address = as_text(venue.get("title"), SHORT), as_text(venue.get("address"), LONG)
            return (LocationPart(place.latitude, place.longitude, name, address),)
    return ()


def _read_contact(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    contact = as_object(value)
    phone, user = as_text(contact.get("phone_number"), 64), as_integer(contact.get("user_id"))
    names = (as_text(contact.get("first_name"), SHORT), as_text(contact.get("last_name"), SHORT))
    name = " ".join(name for name in names if name) or None
    if phone is None and name is None:
        return ()
    card = ContactCard(
        name=name,
        phones=(read_phone(phone) or phone,) if phone else (),
        vcard=as_text(contact.get("vcard"), 8 * LONG),
        addresses=() if user is None else (Address(USER, "", str(user)),),
    )
    return (ContactsPart((card,)),)


def _read_story(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    story = as_object(value)
    key, url = _story(story)
    return (SharePart("story", url, display_name(story), key),) if key else ()


def _story(story: JsonObject) -> tuple[str | None, str | None]:
    chat, number = as_object(story.get("chat")), as_integer(story.get("id"))
    chat_id = as_integer(chat.get("id"))
    if chat_id is None or number is None:
        return None, None
    username = as_text(chat.get("username"), 64)
    return f"{chat_id}:{number}", f"https://t.me/{username}/s/{number}" if username else None


def _read_web_app(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    answer = as_object(value)
    payload = as_text(answer.get("data"))
    if payload is None:
        return ()
    try:
        data = orjson.loads(payload)
    except ValueError:
        data = None
    parsed = kept_object(data) if isinstance(data, dict) else None
    return (ChoicePart("flow", payload, as_text(answer.get("button_text"), SHORT), data=parsed),)


def _read_rich(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    """The words, and the whole beside them: its layout and files have no neutral shape yet."""
    rich = as_object(value)
    words = plain_words(rich)
    whole = UnsupportedPart("rich_message", "Its layout is not shown.", kept_object(rich))
    return (TextPart(words), whole) if words else (whole,)


def _read_checklist(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
    checklist = as_object(value)
    title = as_text(checklist.get("title"), SHORT)
    tasks = [task for task in objects(checklist.get("tasks")) if as_text(task.get("text"))]
    if title is None and not tasks:
        return ()
    done = {True: "☑", False: "☐"}
    lines = [
        f"{done[bool(as_integer(task.get('completion_date')))]} {as_text(task.get('text'), SHORT)}" for task in tasks
    ]
    return (SystemPart("checklist", "\n".join([title or "", *lines]).strip(), kept_object(checklist)),)


def _reads_notice(kind: str, *text_keys: str) -> _Reader:
    def read(value: JsonValue, message: JsonObject) -> tuple[Part, ...]:
        if not isinstance(value, dict):
            return ()
        words = [word for key in text_keys if (word := as_text(value.get(key), LONG))]
        return (SystemPart(kind, " ".join(words) or None, kept_object(value)),)

    return read


def _read_origin(message: JsonObject) -> tuple[Part, ...]:
    """Where a forwarded message comes from: a person (known or hidden), a group, or a post of a broadcast channel."""
    origin = as_object(message.get("forward_origin"))
    if not origin:
        return ()
    chat = as_object(origin.get("chat")) or as_object(origin.get("sender_chat"))
    chat_id, number = as_integer(chat.get("id")), as_integer(origin.get("message_id"))
    username = as_text(chat.get("username"), 64)
    key = f"{chat_id}:{number}" if chat_id is not None and number else None
    url = f"https://t.me/{username}/{number}" if username and number else None
    return (SharePart("forward", url, display_name(origin), key),)


def _read_quoted(message: JsonObject) -> tuple[Part, ...]:
    """What the reply points at, where its external id alone does not tell: a chosen stretch, another chat, a story."""
    parts: list[Part] = []
    external, quote = as_object(message.get("external_reply")), as_object(message.get("quote"))
    words = as_text(quote.get("text"), LONG)
    if external:
        parts.append(SharePart("external_reply", None, words or display_name(as_object(external.get("origin")))))
    elif words and quote.get("is_manual") is True:
        parts.append(SharePart("quote", None, words))
    if "reply_to_story" in message:
        key, url = _story(as_object(message["reply_to_story"]))
        parts.append(StoryPart("reply", url, key))
    return tuple(parts)


_CONTENT: Final[tuple[tuple[str, _Reader], ...]] = (
    ("live_photo", _read_live_photo),
    ("photo", _read_photo),
    ("voice", _reads_file("voice")),
    ("video_note", _reads_file("video_note", "video/mp4")),
    ("video", _reads_file("video")),
    ("animation", _reads_file("animation")),
    ("audio", _reads_file("audio")),
    ("sticker", _read_sticker),
    ("paid_media", _read_paid_media),
    ("document", _reads_file("document")),
    ("venue", _read_venue),
    ("location", _read_location),
    ("contact", _read_contact),
    ("web_app_data", _read_web_app),
    ("story", _read_story),
    ("rich_message", _read_rich),
    ("checklist", _read_checklist),
    ("poll", _reads_notice("poll", "question")),
    ("dice", _reads_notice("dice", "emoji", "value")),
    ("game", _reads_notice("game", "title")),
    ("invoice", _reads_notice("invoice", "title")),
    ("successful_payment", _reads_notice("successful_payment")),
)
CONTENT_KEYS: Final = frozenset(key for key, _ in _CONTENT)
