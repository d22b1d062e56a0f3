"""Sizes of images from their first bytes: right for four formats, and total for everything else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.simulator.samples import sample
from inbox.media.images import dimensions

PNG = sample("image")
FRAME = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 480, 640) + b"\x03" + bytes(9)


def exif(orientation: int, order: str = ">") -> bytes:
    mark = b"MM" if order == ">" else b"II"
    tiff = mark + struct.pack(f"{order}HIH", 42, 8, 2)
    tiff += struct.pack(f"{order}HHII", 0x0100, 4, 1, 7) + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def webp(chunk: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(body)) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body


FORMATS = [
    ("PNG", PNG, (160, 100)),
    ("GIF", b"GIF89a" + struct.pack("<HH", 3, 70_00) + bytes(3), (3, 7000)),
    ("WebP, lossy", webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 550 | 0x4000, 368)), (550, 368)),
    ("WebP, lossless", webp(b"VP8L", b"\x2f" + struct.pack("<I", (299) | (199 << 14))), (300, 200)),
    ("WebP, extended", webp(b"VP8X", bytes(4) + b"\x7f\x07\x00" + b"\x37\x04\x00"), (1920, 1080)),
    ("WebP of the simulator", sample("sticker"), (1, 1)),
    ("JPEG", b"\xff\xd8\xff\xe0\x00\x04ab" + FRAME, (640, 480)),
    ("JPEG with padding", b"\xff\xd8\xff\xff\xff\xe0\x00\x04ab" + FRAME, (640, 480)),
    ("JPEG behind a large profile", b"\xff\xd8" + (b"\xff\xe2\xff\xff" + bytes(65_533)) * 3 + FRAME, (640, 480)),
    ("JPEG, upright", b"\xff\xd8" + exif(1) + FRAME, (640, 480)),
    ("JPEG, upside down", b"\xff\xd8" + exif(3, "<") + FRAME, (640, 480)),
    ("JPEG on its side", b"\xff\xd8" + exif(6) + FRAME, (480, 640)),
    ("JPEG on its side, little-endian", b"\xff\xd8" + exif(8, "<") + FRAME, (480, 640)),
    ("nothing", b"", None),
    ("cut PNG", PNG[:20], None),
    ("cut JPEG", (b"\xff\xd8" + FRAME)[:8], None),
    ("JPEG without a frame", b"\xff\xd8\xff\xda\x00\x04ab" + FRAME, None),
    ("JPEG with a length of none", b"\xff\xd8\xff\xe0\x00\x00" + FRAME, None),
    ("no width", b"GIF89a\0\0\x01\0\0", None),
    ("absurd height", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", 1, 2**31), None),
]  # fmt: skip


@pytest.mark.parametrize(("label", "head", "size"), FORMATS, ids=[label for label, _, _ in FORMATS])
def test_the_size_of_an_image(label: str, head: bytes, size: tuple[int, int] | None) -> None:
    assert dimensions(head) == size


@given(st.sampled_from([head for _, head, _ in FORMATS]), st.data())
def test_whatever_the_bytes_are_there_is_an_answer(head: bytes, data: st.DataObject) -> None:
    head = head[:200]
    at = data.draw(st.integers(0, len(head)))
    found = dimensions(head[:at] + data.draw(st.binary(max_size=40)) + head[at + data.draw(st.integers(0, 9)) :])
    assert found is None or all(0 < side <= 1_000_000 for side in found)
