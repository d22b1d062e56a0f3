"""What a bot's send contains, checked as the Bot API checks it (facts, 4.3, 4.4, 4.6)."""

from __future__ import annotations

from channels.simulator.calls import Call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_files import TelegramFiles
from channels.simulator.telegram_markup import markup_trouble, shown_markup
from channels.simulator.telegram_rooms import Room, bad
from channels.simulator.telegram_shapes import media_object, poll_object
from channels.simulator.telegram_text import (
    CAPTION_LIMIT,
    TEXT_LIMIT,
    MarkupError,
    check_entities,
    parse_html,
    parse_markdown,
    utf16_length,
)
from channels.simulator.wire import as_list, as_number, as_object, as_text, digits_id
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

_MEDIA_METHODS = {
    "sendphoto": ("photo", "image"),
    "sendvideo": ("video", "video"),
    "sendaudio": ("audio", "audio"),
    "senddocument": ("document", "document"),
    "sendvoice": ("voice", "voice"),
    "sendvideonote": ("video_note", "video_note"),
    "sendanimation": ("animation", "animation"),
    "sendsticker": ("sticker", "sticker"),
}
"""Method → (field, kind)."""
ALBUM_KINDS = {"photo": "image", "video": "video", "audio": "audio", "document": "document"}
_ALBUM = (2, 10)
_POLL_OPTIONS = (2, 12)
_DICE = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "🎰": 64}

Content = tuple[str, str | None, JsonObject]
"""Kind, visible text, and the keys of the resulting Message."""


class TelegramContent:
    sends = frozenset({
        "sendmessage", "sendlocation", "sendvenue", "sendcontact", "sendpoll", "senddice", *_MEDIA_METHODS,
    })  # fmt: skip

    def __init__(self, simulation: Simulation, files: TelegramFiles) -> None:
        self._simulation = simulation
        self._files = files

    async def build(self, room: Room, method: str, call: Call) -> Content:
        quoted = quoted_by(room, call.fields)
        markup = self.markup(call.fields)
        kind, text, content = await self._build(room.account, method, call)
        return kind, text, {**quoted, **content, **markup}

    async def _build(self, account: Account, method: str, call: Call) -> Content:
        fields = call.fields
        if method in _MEDIA_METHODS:
            field, kind = _MEDIA_METHODS[method]
            media = await self._files.take(account, field, kind, fields.get(field), call)
            caption = self.caption(fields) if kind not in ("video_note", "sticker") else {}
            # A long voice recording by link arrives as the file it was taken for.
            shown = media_object("document" if kind == "voice" and media.kind == "document" else kind, media)
            return kind, as_text(caption.get("caption")), {**shown, **caption}
        match method:
            case "sendmessage":
                content = self.text(fields)
                return "text", as_text(content["text"]), content
            case "sendlocation":
                return "location", None, {"location": {**_coordinates(fields), **_live(fields)}}
            case "sendvenue":
                title, address = _required(fields, "title"), _required(fields, "address")
                place = _coordinates(fields)
                venue: JsonObject = {"location": place, "title": title, "address": address}
                return "location", title, {"venue": venue, "location": place}
            case "sendcontact":
                card: JsonObject = {"phone_number": _required(fields, "phone_number")}
                card["first_name"] = _required(fields, "first_name")
                card |= {key: fields[key] for key in ("last_name", "vcard") if fields.get(key)}
                return "contact", as_text(card["first_name"]), {"contact": card}
            case "senddice":
                emoji = as_text(fields.get("emoji")) or "🎲"
                if emoji not in _DICE:
                    raise bad("dice emoji is invalid")
                value = self._simulation.chance.randint(1, _DICE[emoji])
                return "dice", emoji, {"dice": {"emoji": emoji, "value": value}}
            case _:
                return _poll(fields)

    # --- Text ---------------------------------------------------------------------------------------------------------

    def text(self, fields: JsonObject) -> JsonObject:
        text, entities = _formatted(fields, "text", "entities")
        if not text.strip():
            raise bad("message text is empty")
        if utf16_length(text) > TEXT_LIMIT:
            raise bad("message is too long")
        content: JsonObject = {"text": text, **({"entities": entities} if entities else {})}
        preview = as_object(fields.get("link_preview_options"))
        return {**content, "link_preview_options": preview} if preview else content

    def caption(self, fields: JsonObject) -> JsonObject:
        text, entities = _formatted(fields, "caption", "caption_entities")
        if utf16_length(text) > CAPTION_LIMIT:
            raise bad("message caption is too long")
        if not text:
            return {}
        return {"caption": text, **({"caption_entities": entities} if entities else {})}

    def markup(self, fields: JsonObject) -> JsonObject:
        trouble = markup_trouble(fields.get("reply_markup"))
        if trouble is not None:
            raise bad(trouble)
        return shown_markup(fields.get("reply_markup"))

    # --- Albums and replaced media ------------------------------------------------------------------------------------

    async def album(self, room: Room, call: Call) -> list[Content]:
        items = [as_object(item) for item in as_list(call.fields.get("media"))]
        quoted = quoted_by(room, call.fields)
        if not _ALBUM[0] <= len(items) <= _ALBUM[1]:
            raise bad("group send failed: an album must have from 2 to 10 items" if items else "media is empty")
        group = digits_id(17)
        kinds = {as_text(item.get("type")) for item in items}
        if len(kinds) > 1 and kinds & {"audio", "document"}:
            raise bad("Document can't be mixed with other media types" if "document" in kinds else "Audio can't be "
                      "mixed with other media types")  # fmt: skip
        contents: list[Content] = []
        for item in items:
            kind, text, shown = await self.item(room.account, item, call)
            contents.append((kind, text, {**quoted, "media_group_id": group, **shown}))
        return contents

    async def item(self, account: Account, item: JsonObject, call: Call) -> Content:
        """One ``InputMedia``."""
        name = as_text(item.get("type")) or ""
        kind = {**ALBUM_KINDS, "animation": "animation"}.get(name)
        if kind is None:
            raise bad("can't parse InputMedia: type must be one of photo, video, audio, document, animation")
        media = await self._files.take(account, "media", kind, item.get("media"), call)
        caption = self.caption(item)
        return kind, as_text(caption.get("caption")), {**media_object(kind, media), **caption}


def quoted_by(room: Room, fields: JsonObject) -> JsonObject:
    """A reply, with the stretch it quotes. Without its target the whole send is refused, unless the bot allowed it."""
    parameters = as_object(fields.get("reply_parameters"))
    number = as_number(parameters.get("message_id", fields.get("reply_to_message_id")))
    if number is None:
        return {}
    elsewhere = parameters.get("chat_id")
    other = room.account.customers.get(str(elsewhere)) if elsewhere is not None else None
    source = room if other is None else Room(room.account, other)
    quoted = source.find(number)
    if quoted is None:
        if parameters.get("allow_sending_without_reply") is True:
            return {}
        raise bad("message to be replied not found")
    words = as_text(parameters.get("quote"))
    whole = quoted.text or ""
    if words and words not in whole:
        raise bad("QUOTE_TEXT_INVALID")
    told: JsonObject = {"reply_to_message": {k: v for k, v in quoted.content.items() if k != "reply_to_message"}}
    if source.key != room.key:
        sender = quoted.content.get("from")
        told = {"external_reply": {"origin": {"type": "user", "date": int(quoted.at), "sender_user": sender}}}
    if words:
        told["quote"] = {"text": words, "position": utf16_length(whole[: whole.index(words)]), "is_manual": True}
    return told


def _poll(fields: JsonObject) -> Content:
    question = _required(fields, "question")
    options = [as_text(each) or as_text(as_object(each).get("text")) or "" for each in as_list(fields.get("options"))]
    if len(question) > 300:
        raise bad("poll question length must not exceed 300")
    if len(options) < _POLL_OPTIONS[0]:
        raise bad(f"poll must have at least {_POLL_OPTIONS[0]} option")
    if len(options) > _POLL_OPTIONS[1]:
        raise bad(f"poll can't have more than {_POLL_OPTIONS[1]} options")
    if not all(options) or max(map(len, options)) > 100:
        raise bad("poll options length must not exceed 100" if all(options) else "poll options must be non-empty")
    multiple = fields.get("allows_multiple_answers") is True
    return "poll", question, {"poll": poll_object(digits_id(18), question, options, multiple=multiple)}


def _formatted(fields: JsonObject, key: str, entities_key: str) -> tuple[str, list[JsonValue]]:
    given = fields.get(key)
    text = given if isinstance(given, str) else "" if given is None else str(given)
    mode = (as_text(fields.get("parse_mode")) or "").lower()
    try:
        if mode == "html":
            return parse_html(text)
        if mode in ("markdown", "markdownv2"):
            return parse_markdown(text, strict=mode == "markdownv2")
        if mode:
            raise bad("unsupported parse_mode")
        return text, check_entities(text, fields.get(entities_key))
    except MarkupError as error:
        raise bad(f"can't parse entities: {error}") from None


def _required(fields: JsonObject, key: str) -> str:
    value = fields.get(key)
    if value in (None, ""):
        raise bad(f"{key} must be non-empty")
    return str(value)


def _coordinates(fields: JsonObject) -> JsonObject:
    latitude, longitude = as_number(fields.get("latitude")), as_number(fields.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        raise bad("invalid coordinates specified" if latitude is not None else "latitude is empty")
    return {"latitude": latitude, "longitude": longitude}


def _live(fields: JsonObject) -> JsonObject:
    period = as_number(fields.get("live_period"))
    if period is None:
        return {}
    if not 60 <= period <= 86400 and period != 0x7FFFFFFF:
        raise bad("invalid live_period specified")
    return {"live_period": int(period)}
