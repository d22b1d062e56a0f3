"""Files on both sides: what a bot uploads, names or links, and what it downloads (facts, 4.3)."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from channels.simulator.calls import Call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_rooms import Refusal, bad
from channels.simulator.telegram_shapes import SMALL, photo_sizes
from channels.simulator.wire import as_number, as_text
from channels.simulator.world import Account, Media
from channels.types import JsonObject, JsonValue

MEGABYTE = 1024 * 1024
DOWNLOAD_LIMIT = 20 * MEGABYTE
_UPLOAD, _UPLOAD_PHOTO = 50 * MEGABYTE, 10 * MEGABYTE
_LINK, _LINK_PHOTO = 20 * MEGABYTE, 5 * MEGABYTE
_MOST_SIDES, _MOST_RATIO = 10_000, 20
_FOLDERS = {"image": "photos", "video": "videos", "audio": "music", "voice": "voice", "sticker": "stickers"}
_NAMES = {
    "image": "Photo", "video": "Video", "audio": "Audio", "voice": "VoiceNote", "document": "Document",
    "sticker": "Sticker", "animation": "Animation", "video_note": "VideoNote", "live_photo": "Video",
}  # fmt: skip
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")


class TelegramFiles:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    # --- From the bot -------------------------------------------------------------------------------------------------

    async def take(self, account: Account, field: str, kind: str, given: JsonValue, call: Call) -> Media:
        """An upload under the field's name or ``attach://<name>``, a link, or a file id."""
        reference = as_text(given)
        attached = reference[9:] if reference and reference.startswith("attach://") else field
        file = call.files.get(attached)
        if file is not None:
            if not file.data:
                raise bad("file must be non-empty")
            if len(file.data) > (_UPLOAD_PHOTO if kind == "image" else _UPLOAD):
                raise Refusal(413, "Request Entity Too Large")
            if kind == "image":
                _check_picture(file.data)
            return self._world.add_media(account, kind, file.content_type, file.filename, file.data)
        if not reference:
            raise bad(f"there is no {field} in the request")
        if reference.startswith("attach://"):
            raise bad(f'can\'t find file "{attached}" among the uploaded ones')
        if reference.startswith(("http://", "https://")):
            return await self._fetched(account, kind, reference)
        known = self._of(account, reference)
        if known is None:
            raise bad("wrong file identifier/HTTP URL specified")
        if known.kind != kind and {known.kind, kind} != {"video", "animation"}:
            raise bad(f"can't use file of type {_NAMES.get(known.kind, 'Document')} as {_NAMES[kind]}")
        return known

    async def _fetched(self, account: Account, kind: str, url: str) -> Media:
        if kind == "video_note":
            raise bad("wrong file identifier/HTTP URL specified")
        if not urlsplit(url).hostname:
            raise bad("wrong HTTP URL specified")
        limit = _LINK_PHOTO if kind == "image" else _LINK
        fetched = await self._simulation.fetch(url, limit + 1)
        if fetched is None:
            raise bad("failed to get HTTP URL content")
        data, mime_type = fetched
        if len(data) > limit:
            raise bad("file is too big")
        if mime_type == "text/html" or (kind == "image" and mime_type.startswith(("text/", "video/", "audio/"))):
            raise bad("wrong type of the web page content")
        if kind == "voice" and len(data) > MEGABYTE:
            kind = "document"  # facts, 4.3
        return self._world.add_media(account, kind, mime_type, url.rsplit("/", 1)[-1].split("?")[0] or kind, data)

    # --- To the bot ---------------------------------------------------------------------------------------------------

    async def get_file(self, account: Account, call: Call) -> JsonValue:
        file_id = as_text(call.fields.get("file_id")) or ""
        media = self._of(account, file_id)
        if media is None:
            raise bad("invalid file_id")
        if len(media.data) > DOWNLOAD_LIMIT:
            raise bad("file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": ("AQAE" if file_id.endswith(SMALL) else "AQAD") + media.ticket[:12],
            "file_size": len(media.data),
            "file_path": f"{_FOLDERS.get(media.kind, 'documents')}/{media.id}/file_0{_extension(media.filename)}",
        }

    async def profile_photos(self, account: Account, call: Call) -> JsonValue:
        number = as_number(call.fields.get("user_id"))
        customer = account.customers.get(str(int(number))) if number is not None else None
        if customer is None or customer.is_group:
            raise bad("user not found")
        media = self._of(account, customer.chat.photo or "")
        offset = int(as_number(call.fields.get("offset")) or 0)
        shown: list[JsonValue] = [photo_sizes(media)] if media is not None and offset == 0 else []
        return {"total_count": 1 if media is not None else 0, "photos": shown}

    def chat_photo(self, account: Account, file_id: str | None) -> JsonObject:
        media = self._of(account, file_id or "")
        if media is None:
            return {}
        small, big = media.id + SMALL, media.id
        unique = media.ticket[:12]
        return {
            "photo": {
                "small_file_id": small,
                "small_file_unique_id": "AQAE" + unique,
                "big_file_id": big,
                "big_file_unique_id": "AQAD" + unique,
            }
        }

    def _of(self, account: Account, file_id: str) -> Media | None:
        """A file id is good for one bot only."""
        media = self._world.media.get(file_id.removesuffix(SMALL))
        return media if media is not None and media.account_id == account.account_id else None


def _extension(filename: str) -> str:
    """Of the name by which the file can be loaded, which is Telegram's own."""
    found = PurePosixPath(filename).suffix
    return found if found.isascii() and found[1:].isalnum() else ""


def _check_picture(data: bytes) -> None:
    if not data.startswith(_PICTURES):
        raise bad("IMAGE_PROCESS_FAILED")
    if data.startswith(_PICTURES[0]) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if width + height > _MOST_SIDES or max(width, height) > _MOST_RATIO * min(width, height):
            raise bad("PHOTO_INVALID_DIMENSIONS")
