"""Instagram webhooks (``object: instagram``, both stacks) as neutral events. Pure and total (facts 3.1, 3.2).

Comments, mentions and live comments are no messages: they come as changes and stay ``UnsupportedEvent``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from channels.content import MediaPart, Part, StoryPart, UnsupportedPart
from channels.inbound import Inbound
from channels.meta.messaging import Dialect, Reader, parse_entries
from channels.meta.messaging_events import (
    HANDOVER,
    message_reader,
    reaction_reader,
    read_edit,
    read_postback,
    read_referral,
    read_seen,
)
from channels.meta.messaging_parts import AttachmentReader, media, share, template
from channels.types import JsonObject
from channels.wire import as_id, as_page, kept_object

_SITE: Final = "https://www.instagram.com"


def _story_mention(_attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
    """Only the link, which dies after 24 hours: the media must not be stored."""
    return (StoryPart("mention", as_page(payload.get("url")), as_id(payload.get("id"))),)


def _heart(_attachment: JsonObject, _payload: JsonObject) -> Sequence[Part]:
    return (MediaPart("sticker", None, emoji="❤️"),)


def _ephemeral(attachment: JsonObject, _payload: JsonObject) -> Sequence[Part]:
    reason = "View-once content: Instagram gives no way to it"
    return (UnsupportedPart("ephemeral", reason, kept_object(attachment)),)


_ATTACHMENTS: Final[Mapping[str, AttachmentReader]] = {
    "image": media("image"),
    "video": media("video"),
    "audio": media("audio"),
    "file": media("document"),
    # What kind of file it is, the provider does not say; its content will tell.
    "media": media("document"),
    "sticker": media("sticker"),
    "like_heart": _heart,
    "ephemeral": _ephemeral,
    "story_mention": _story_mention,
    # Somebody's story or post passed on: a link, not a file that was sent.
    "story": share(site=_SITE),
    "ig_story": share(site=_SITE),
    "share": share(site=_SITE),
    "post": share(site=_SITE),
    "ig_post": share(id_key="ig_post_media_id", site=_SITE),
    "reel": share(id_key="reel_video_id", site=_SITE),
    "ig_reel": share(id_key="reel_video_id", site=_SITE),
    "template": template,
    "fallback": share(kind="link"),
}

_READERS: Final[Mapping[str, Reader]] = {
    "message": message_reader(_ATTACHMENTS),
    "message_edit": read_edit,
    "reaction": reaction_reader(opens_window=False),
    "postback": read_postback,
    "referral": read_referral,
    "read": read_seen,
    **HANDOVER,
}

_DIALECT: Final = Dialect("instagram_user", _READERS, entry_is_account=False)


def parse(payload: JsonObject) -> list[Inbound]:
    return parse_entries(payload, _DIALECT)
