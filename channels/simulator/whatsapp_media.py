"""WhatsApp's files: uploads, look-ups, and what of them may be sent as what (facts, 1.3)."""

from __future__ import annotations

import hashlib

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, missing, no_such_node
from channels.simulator.simulation import Simulation
from channels.simulator.wire import as_text
from channels.simulator.world import Account, Media, World
from channels.types import JsonObject

_MEGABYTE = 1024 * 1024
MEDIA_LIMITS = {
    "image": 5 * _MEGABYTE, "video": 16 * _MEGABYTE, "audio": 16 * _MEGABYTE, "document": 100 * _MEGABYTE,
    "sticker": 500 * 1024,
}  # fmt: skip
MEDIA_TYPES = {
    "image": frozenset({"image/jpeg", "image/png"}),
    "video": frozenset({"video/mp4", "video/3gpp", "video/3gp"}),
    "audio": frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}),
    "sticker": frozenset({"image/webp"}),
}
"""Kind → mime types. A document may be anything."""
STILL_STICKER_LIMIT = 100 * 1024


def plain_type(mime_type: str) -> str:
    return mime_type.split(";")[0].strip().lower()


def check_reference(world: World, account: Account, about: JsonObject, path: str) -> None:
    """Exactly one of ``id`` and ``link``, and an id of this number's own files."""
    media_id, link = as_text(about.get("id")), as_text(about.get("link"))
    if bool(media_id) == bool(link):
        raise bad(f"Param {path} must have exactly one of id and link.")
    if link is not None and not link.startswith(("http://", "https://")):
        raise bad(f"Param {path}['link'] is not a valid URI.")
    if media_id is not None and find_media(world, account, media_id) is None:
        raise bad(f"Param {path}['id'] is not a valid whatsapp business account media attachment ID")


def find_media(world: World, account: Account, media_id: str) -> Media | None:
    media = world.media.get(media_id)
    if media is None or media.account_id != account.account_id or world.now() - media.created_at > media.life:
        return None
    return media


def acceptable(kind: str, mime_type: str, data: bytes) -> bool:
    """Whether WhatsApp delivers this file as this kind; a refusal comes later, as 131053."""
    if len(data) > MEDIA_LIMITS[kind]:
        return False
    if kind in MEDIA_TYPES and plain_type(mime_type) not in MEDIA_TYPES[kind]:
        return False
    if kind == "audio" and plain_type(mime_type) == "audio/ogg":
        return _is_mono_opus(data)
    if kind == "sticker" and b"ANIM" not in data[:64]:
        return len(data) <= STILL_STICKER_LIMIT
    return True


def _is_mono_opus(data: bytes) -> bool:
    """Ogg is taken with one channel of Opus only. The header names the channels in its tenth byte (RFC 7845, 5.1)."""
    start = data.find(b"OpusHead", 0, 200)
    return start >= 0 and data[start + 9 : start + 10] == b"\x01"


class WhatsAppMedia:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    def upload(self, account: Account, call: Call) -> Reply:
        if call.fields.get("messaging_product") != "whatsapp":
            raise bad("The parameter messaging_product is required.")
        file = call.files.get("file")
        if file is None:
            raise missing("file")
        mime_type = as_text(call.fields.get("type")) or file.content_type
        kind = next((kind for kind, types in MEDIA_TYPES.items() if plain_type(mime_type) in types), "document")
        if not file.data:
            raise GraphError(131053, "(#131053) Media upload error", details="The file is empty.")
        if len(file.data) > MEDIA_LIMITS[kind]:
            details = f"{kind} file size {len(file.data)} is larger than the limit of {MEDIA_LIMITS[kind]} bytes"
            raise GraphError(131053, "(#131053) Media upload error", details=details)
        media = self._world.add_media(account, kind, mime_type, file.filename, file.data)
        return Reply({"id": media.id})

    def node(self, account: Account, media: Media, call: Call) -> Reply:
        number = as_text(call.fields.get("phone_number_id"))
        if find_media(self._world, account, media.id) is None or number not in (None, account.account_id):
            raise no_such_node(media.id, call.method)
        if call.method == "DELETE":
            self._world.drop_media(media.id)
            return Reply({"success": True})
        return Reply({
            "url": self._simulation.download_link(account, media),
            "mime_type": media.mime_type,
            "sha256": hashlib.sha256(media.data).hexdigest(),
            "file_size": len(media.data),
            "id": media.id,
            "messaging_product": "whatsapp",
        })  # fmt: skip
