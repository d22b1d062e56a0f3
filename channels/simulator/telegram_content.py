"""What a bot's send contains, checked as the Bot API checks it (facts, 4.3, 4.4, 4.6)."""

from __future__ import annotations

from urllib.parse import urlsplit

from channels.simulator.calls import Call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram import media_object
from channels.simulator.telegram_text import (
    CAPTION_LIMIT,
    TEXT_LIMIT,
    MarkupError,
    check_entities,
    markup_trouble,
    parse_html,
    utf16_length,
)
from channels.simulator.wire import as_list, as_number, as_object, as_text, digits_id
from channels.simulator.world import Account, Customer, Media
from channels.types import JsonObject, JsonValue

_MEGABYTE = 1024 * 1024
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
_ALBUM_KINDS = {"photo": "image", "video": "video", "audio": "audio", "document": "document"}

Content = tuple[str, str | None, JsonObject]
"""Kind, visible text, and the keys of the resulting Message."""


class Refusal(Exception):
    """An answer with ``"ok": false``."""

    def __init__(self, code: int, description: str, parameters: JsonObject | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def _bad(description: str) -> Refusal:
    return Refusal(400, f"Bad Request: {description}")


class TelegramContent:
    sends = frozenset({"sendmessage", "sendlocation", "sendvenue", "sendcontact", "sendpoll", *_MEDIA_METHODS})

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    async def build(self, account: Account, room: Customer, method: str, call: Call) -> Content:
        fields = call.fields
        quoted = self._quoted(account, room, fields)
        markup = self.markup(fields)
        kind, text, content = await self._build(account, method, call)
        return kind, text, {**quoted, **content, **markup}

    async def _build(self, account: Account, method: str, call: Call) -> Content:
        fields = call.fields
        if method in _MEDIA_METHODS:
            field, kind = _MEDIA_METHODS[method]
            media = await self._media(account, field, kind, fields.get(field), call)
            caption = self.caption(fields) if kind not in ("video_note", "sticker") else {}
            return kind, as_text(caption.get("caption")), {**media_object(kind, media), **caption}
        match method:
            case "sendmessage":
                content = self.text(fields)
                return "text", as_text(content["text"]), content
            case "sendlocation":
                return "location", None, {"location": _coordinates(fields)}
            case "sendvenue":
                title, address = _required(fields, "title"), _required(fields, "address")
                place = _coordinates(fields)
                return "location", title, {
                    "venue": {"location": place, "title": title, "address": address},
                    "location": place,
                }  # fmt: skip
            case "sendcontact":
                card: JsonObject = {"phone_number": _required(fields, "phone_number")}
                card["first_name"] = _required(fields, "first_name")
                card |= {key: fields[key] for key in ("last_name", "vcard") if fields.get(key)}
                return "contact", as_text(card["first_name"]), {"contact": card}
            case _:
                return self._poll(fields)

    @staticmethod
    def _poll(fields: JsonObject) -> Content:
        question = _required(fields, "question")
        options = as_list(fields.get("options"))
        if not 2 <= len(options) <= 12 or len(question) > 300:
            raise _bad("poll must have at least 2 option and at most 12, and a question of at most 300 characters")
        shown: list[JsonValue] = [
            {"text": as_text(option) or as_text(as_object(option).get("text")) or "", "voter_count": 0}
            for option in options
        ]
        return "poll", question, {"poll": {"id": digits_id(18), "question": question, "options": shown}}

    # --- Text ---------------------------------------------------------------------------------------------------------

    def text(self, fields: JsonObject) -> JsonObject:
        text, entities = _formatted(fields, "text", "entities")
        if not text.strip():
            raise _bad("message text is empty")
        if utf16_length(text) > TEXT_LIMIT:
            raise _bad("message is too long")
        return {"text": text, **({"entities": entities} if entities else {})}

    def caption(self, fields: JsonObject) -> JsonObject:
        text, entities = _formatted(fields, "caption", "caption_entities")
        if utf16_length(text) > CAPTION_LIMIT:
            raise _bad("message caption is too long")
        if not text:
            return {}
        return {"caption": text, **({"caption_entities": entities} if entities else {})}

    def markup(self, fields: JsonObject) -> JsonObject:
        markup = fields.get("reply_markup")
        trouble = markup_trouble(markup)
        if trouble is not None:
            raise _bad(trouble)
        return {"reply_markup": markup} if "inline_keyboard" in as_object(markup) else {}

    def _quoted(self, account: Account, room: Customer, fields: JsonObject) -> JsonObject:
        parameters = as_object(fields.get("reply_parameters"))
        number = as_number(parameters.get("message_id", fields.get("reply_to_message_id")))
        if number is None:
            return {}
        quoted = account.find_message(room.id, str(int(number)))
        if quoted is None or quoted.deleted:
            if parameters.get("allow_sending_without_reply") is True:
                return {}
            raise _bad("message to be replied not found")
        return {"reply_to_message": {key: value for key, value in quoted.content.items() if key != "reply_to_message"}}

    # --- Media --------------------------------------------------------------------------------------------------------

    async def _media(self, account: Account, field: str, kind: str, given: JsonValue, call: Call) -> Media:
        reference = as_text(given)
        attached = reference[9:] if reference and reference.startswith("attach://") else field
        file = call.files.get(attached)
        if file is not None:
            if not file.data:
                raise _bad("file must be non-empty")
            if len(file.data) > (10 if kind == "image" else 50) * _MEGABYTE:
                raise Refusal(413, "Request Entity Too Large")
            return self._world.add_media(account, kind, file.content_type, file.filename, file.data)
        if not reference:
            raise _bad(f"there is no {field} in the request")
        if reference.startswith(("http://", "https://")):
            return await self._fetched(account, kind, reference)
        known = self._world.media.get(reference)
        if known is None or known.account_id != account.account_id:
            raise _bad("wrong file identifier/HTTP URL specified")
        return known

    async def _fetched(self, account: Account, kind: str, url: str) -> Media:
        if not urlsplit(url).hostname:
            raise _bad("wrong HTTP URL specified")
        limit = (5 if kind == "image" else 20) * _MEGABYTE
        fetched = await self._simulation.fetch(url, limit + 1)
        if fetched is None:
            raise _bad("failed to get HTTP URL content")
        data, mime_type = fetched
        if len(data) > limit:
            raise _bad("file is too big")
        if mime_type == "text/html" or (kind == "image" and mime_type.startswith(("text/", "video/", "audio/"))):
            raise _bad("wrong type of the web page content")
        return self._world.add_media(account, kind, mime_type, url.rsplit("/", 1)[-1].split("?")[0] or kind, data)

    async def album(self, account: Account, call: Call) -> list[Content]:
        items = [as_object(item) for item in as_list(call.fields.get("media"))]
        if not 2 <= len(items) <= 10:
            raise _bad("an album must have from 2 to 10 items")
        group = digits_id(17)
        contents: list[Content] = []
        for item in items:
            kind = _ALBUM_KINDS.get(as_text(item.get("type")) or "")
            if kind is None:
                raise _bad("can't parse InputMedia: unknown type")
            media = await self._media(account, "", kind, item.get("media"), call)
            caption = self.caption(item)
            shown: JsonObject = {"media_group_id": group, **media_object(kind, media), **caption}
            contents.append((kind, as_text(caption.get("caption")), shown))
        return contents


def _formatted(fields: JsonObject, key: str, entities_key: str) -> tuple[str, list[JsonValue]]:
    given = fields.get(key)
    text = given if isinstance(given, str) else "" if given is None else str(given)
    mode = (as_text(fields.get("parse_mode")) or "").lower()
    try:
        if mode == "html":
            return parse_html(text)
        if mode not in ("", "markdown", "markdownv2"):
            raise _bad("unsupported parse_mode")
        return text, check_entities(text, fields.get(entities_key))
    except MarkupError as error:
        raise _bad(f"can't parse entities: {error}") from None


def _required(fields: JsonObject, key: str) -> str:
    value = fields.get(key)
    if value in (None, ""):
        raise _bad(f"{key} must be non-empty")
    return str(value)


def _coordinates(fields: JsonObject) -> JsonObject:
    latitude, longitude = as_number(fields.get("latitude")), as_number(fields.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        raise _bad("invalid coordinates specified" if latitude is not None else "latitude is empty")
    return {"latitude": latitude, "longitude": longitude}
