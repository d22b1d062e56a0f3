"""Width and height of an image from its first bytes: four formats, no decoder, so nothing in a picture is executed.

Total: whatever the bytes are, the answer is a size or ``None``. Sources: PNG (W3C) 11.2.2, GIF89a 18, JPEG (T.81) B.2.2
with the orientation of EXIF 2.3, WebP container (RFC 9649).
"""

from __future__ import annotations

import struct
from typing import Final

Size = tuple[int, int]

_LARGEST: Final = 1_000_000
"""A larger side is nonsense, and would not fit everywhere."""
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_ORIENTATION: Final = 0x0112


def dimensions(head: bytes) -> Size | None:
    """As a viewer shows it: a JPEG that says it lies on its side is turned."""
    try:
        found = _read(head)
    except (struct.error, IndexError):
        return None
    if found is None or not all(0 < side <= _LARGEST for side in found):
        return None
    return found


def _read(head: bytes) -> Size | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", head, 16)
        return width, height
    if head.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack_from("<HH", head, 6)
        return width, height
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    return _jpeg(head) if head.startswith(b"\xff\xd8") else None


def _webp(head: bytes) -> Size | None:
    chunk = head[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _jpeg(head: bytes) -> Size | None:
    at, turned = 2, False
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF or marker in _BARE:  # padding, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", head, at + 2)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return (height, width) if turned else (width, height)
        if marker == 0xDA or length < 2:  # the picture itself begins without a frame before it
            return None
        if marker == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            turned = _lies(head[at + 10 : at + 2 + length])
        at += 2 + length
    return None


def _lies(tiff: bytes) -> bool:
    """Whether the orientation turns the picture by a quarter (5 to 8). An unreadable one does not."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for entry in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return bool(5 <= value <= 8)
    except struct.error:
        return False
    return False
