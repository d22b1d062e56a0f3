"""What a file really is, decided by its bytes and never by what the sender says; and what may be done with it.

Three questions: which type has it (``real_type``), does that fit the kind it came as (``fits``), may a browser show it
in our origin (``shown_inline``). Whatever is not on a list is a download without a meaning.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import filetype

from channels.content import MediaKind

HEAD: Final = 256 * 1024
"""Bytes looked at: a photo's frame header stands behind its thumbnail and colour profile."""
UNKNOWN: Final = "application/octet-stream"
LONGEST_NAME: Final = 120

_SNIFFED: Final = 8192
_NAMES: Final = {
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "video/x-m4v": "video/mp4",
    "image/apng": "image/png",
    "image/x-icon": "image/vnd.microsoft.icon",
}
"""What the sniffing library calls them → what the rest of the world does."""
_TEXTUAL: Final = frozenset(
    {"text/plain", "text/csv", "text/vcard", "text/calendar", "text/markdown", "application/json"}
)
_PROGRAMS: Final = frozenset(
    {
        "application/x-executable", "application/x-msdownload", "application/wasm", "application/x-deb",
        "application/x-rpm", "application/x-google-chrome-extension", "application/x-shockwave-flash",
    }
)  # fmt: skip
_INLINE_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"})
_IMAGES: Final = _INLINE_IMAGES | {"image/heic", "image/bmp", "image/tiff"}
_AUDIO: Final = frozenset(
    {"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/flac", "audio/wav", "audio/aiff"}
)
_VIDEO: Final = frozenset(
    {
        "video/mp4", "video/3gpp", "video/quicktime", "video/webm", "video/mpeg", "video/x-matroska",
        "video/x-msvideo", "video/x-ms-wmv", "video/ogg",
    }
)  # fmt: skip
_ALLOWED: Final[dict[MediaKind, frozenset[str]]] = {
    "image": _IMAGES,
    "video": _VIDEO,
    "video_note": _VIDEO,
    "audio": _AUDIO,
    "voice": _AUDIO,
    "animation": _VIDEO | {"image/gif", "image/webp"},
    # Telegram's animated stickers are gzipped Lottie, its video stickers WebM.
    "sticker": _IMAGES | _VIDEO | {"application/gzip"},
}
_EXTENSIONS: Final = {
    "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "video/mp4": "mp4",
    "video/3gpp": "3gp", "audio/ogg": "ogg", "audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/aac": "aac",
    "audio/amr": "amr", "application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv",
}  # fmt: skip
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def real_type(head: bytes, claimed: str | None, kind: MediaKind | None) -> str:
    """The type that these first bytes show. Words without a signature keep a harmless claim."""
    said = bare(claimed)
    found = filetype.guess(head[:_SNIFFED])
    mime = _NAMES.get(found.mime, found.mime) if found is not None else _by_hand(head)
    if mime == UNKNOWN:
        return said if said in _TEXTUAL and _is_text(head) else UNKNOWN
    if kind in ("audio", "voice") and mime in ("video/mp4", "video/3gpp", "video/webm", "video/quicktime"):
        # One container, with or without pictures: the sniffer sees the container only.
        return said if said in _AUDIO else "audio/mp4"
    if mime == "audio/ogg" and kind == "video":
        return "video/ogg"
    if mime == "application/zip" and said is not None and said.startswith("application/vnd.openxmlformats-"):
        return said  # an office document whose parts come in an order that the sniffer does not know
    return mime


def fits(kind: MediaKind, mime: str) -> bool:
    """Whether a file of this type may be kept as this kind. A document may be anything but a program."""
    return mime not in _PROGRAMS if kind == "document" else mime in _ALLOWED[kind]


def kind_of(mime: str) -> MediaKind:
    """The kind under which an upload of this type is sent, unless its sender says otherwise."""
    if mime == "image/gif":
        return "animation"
    if mime in _IMAGES:
        return "image"
    if mime in _VIDEO:
        return "video"
    return "audio" if mime in _AUDIO else "document"


def shown_inline(mime: str) -> bool:
    """What cannot carry a script: pictures, sound and films. All else is handed out as a download."""
    return mime in _INLINE_IMAGES or mime in _AUDIO or mime in _VIDEO


def bare(mime: str | None) -> str | None:
    """Without parameters, in lower case."""
    return mime.partition(";")[0].strip().lower() or None if mime else None


def safe_name(name: str | None) -> str | None:
    """A file name that names no folder, no device and nothing hidden, and shows in the order it is written."""
    if name is None:
        return None
    last = re.split(r"[/\\]", name)[-1]
    # Control and format characters: among them those that turn "gpj.exe" around.
    shown = "".join(c if c not in '<>:"|?*' else "_" for c in last if unicodedata.category(c)[0] != "C")
    shown = " ".join(shown.split()).strip(". ")
    if not shown or _DEVICES.fullmatch(shown):
        return None
    stem, dot, extension = shown.rpartition(".")
    if len(shown) <= LONGEST_NAME or not dot or len(extension) > 12:
        return shown[:LONGEST_NAME].rstrip(". ")
    return f"{stem[: LONGEST_NAME - len(extension) - 1]}.{extension}"


def name_for(kind: str, mime: str) -> str:
    """For a file that came without a name."""
    extension = _EXTENSIONS.get(mime)
    return f"{kind}.{extension}" if extension else kind


def _by_hand(head: bytes) -> str:
    """Voice and sound that the library does not know."""
    if head.startswith(b"#!AMR"):
        return "audio/amr"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # a frame of MPEG audio, layer III
        return "audio/mpeg"
    return UNKNOWN


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # cut inside a character
    return True
