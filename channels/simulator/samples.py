"""Small media files with the right magic numbers, for customers who send a picture without naming one."""

from __future__ import annotations

import struct
import zlib
from functools import cache

MEDIA_TYPES = {
    "image": ("image/png", "png"),
    "video": ("video/mp4", "mp4"),
    "audio": ("audio/mpeg", "mp3"),
    "voice": ("audio/ogg; codecs=opus", "ogg"),
    "document": ("application/pdf", "pdf"),
    "sticker": ("image/webp", "webp"),
    "animation": ("video/mp4", "mp4"),
    "video_note": ("video/mp4", "mp4"),
}
"""Media kind → (mime type, file extension) of the sample."""

_WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
_MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(413)
_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int) -> bytes:
    """A soft gradient, so that a console shows something."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes((90 + x * 120 // width, 140 + y * 80 // height, 200))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(rows)))
        + _chunk(b"IEND", b"")
    )


def _ogg_opus() -> bytes:
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)
    page = b"OggS" + struct.pack("<BBqIIIBB", 0, 2, 0, 1, 0, 0, 1, len(head)) + head
    return page


@cache
def sample(kind: str) -> bytes:
    match kind:
        case "image":
            return _png(160, 100)
        case "video" | "animation" | "video_note":
            return _box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2mp41") + _box(b"mdat", bytes(64))
        case "audio":
            return _MP3_FRAME * 4
        case "voice":
            return _ogg_opus()
        case "sticker":
            return _WEBP
        case _:
            return _PDF
