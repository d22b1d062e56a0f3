"""What a file is, is decided by its bytes; what a browser may show, by a list; what it is called, by us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.content import MediaKind
from channels.simulator.samples import sample
from inbox.media.content import fits, kind_of, real_type, safe_name, shown_inline
from inbox.media.serving import disposition

MP4 = sample("video")
OGG = sample("voice")


@pytest.mark.parametrize(
    ("label", "head", "claimed", "kind", "found", "fitting"),
    [
        ("a picture", sample("image"), "image/jpeg", "image", "image/png", True),
        ("a film", MP4, "video/mp4", "video", "video/mp4", True),
        ("sound in a film's container", MP4, "audio/mp4", "audio", "audio/mp4", True),
        ("a film sent as sound, unnamed", MP4, None, "voice", "audio/mp4", True),
        ("a voice", OGG, "audio/ogg; codecs=opus", "voice", "audio/ogg", True),
        ("sound", sample("audio"), "audio/mpeg", "audio", "audio/mpeg", True),
        ("sound in another frame", b"\xff\xfa\x90\x64" + bytes(90), "audio/mpeg", "audio", "audio/mpeg", True),
        ("a wide-band voice", b"#!AMR-WB\n" + bytes(9), "audio/amr", "voice", "audio/amr", True),
        ("a sticker", sample("sticker"), "image/webp", "sticker", "image/webp", True),
        ("a moving sticker", b"\x1f\x8b\x08" + bytes(20), "application/gzip", "sticker", "application/gzip", True),
        ("a PDF", sample("document"), "application/pdf", "document", "application/pdf", True),
        ("a PDF said to be a picture", sample("document"), "image/png", "image", "application/pdf", False),
        ("a table", b"a;b\n1;2\n", "text/csv", "document", "text/csv", True),
        ("words that end inside a letter", "Größe".encode()[:4], "text/plain", "document", "text/plain", True),
        ("bytes said to be words", b"a\0b", "text/plain", "document", "application/octet-stream", True),
        ("a page", b"<html>", "text/html", "document", "application/octet-stream", True),
        ("a drawing as a picture", b"<svg/>", "image/svg+xml", "image", "application/octet-stream", False),
        ("a program", b"MZ" + bytes(60), "application/pdf", "document", "application/x-msdownload", False),
        ("an office document", b"PK\x03\x04" + bytes(40), "application/vnd.openxmlformats-officedocument.x", "document",
         "application/vnd.openxmlformats-officedocument.x", True),
        ("an archive", b"PK\x03\x04" + bytes(40), "image/png", "image", "application/zip", False),
    ],
)  # fmt: skip
def test_the_bytes_decide(
    label: str, head: bytes, claimed: str | None, kind: MediaKind, found: str, fitting: bool
) -> None:
    mime = real_type(head, claimed, kind)
    assert (mime, fits(kind, mime)) == (found, fitting)


@given(st.binary(max_size=300), st.text(max_size=30))
def test_nothing_that_can_run_is_shown(head: bytes, claimed: str) -> None:
    mime = real_type(head, claimed, None)
    if shown_inline(mime):
        assert mime.partition("/")[0] in ("image", "audio", "video")
        assert "svg" not in mime
    assert kind_of(mime)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("  two  words .txt ", "two words .txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\b.doc", "b.doc"),
        (".htaccess", "htaccess"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("exe.\u202egpj", "exe.gpj"),
        ('a"<b>|c?.txt', "a__b__c_.txt"),
        ("NUL", None),
        ("lpt1.pdf", None),
        ("...", None),
        ("", None),
        (None, None),
        ("Ünïcode — имя.pdf", "Ünïcode — имя.pdf"),
        ("x" * 300, "x" * 120),
    ],
)
def test_a_name_for_a_download(given_name: str | None, name: str | None) -> None:
    assert safe_name(given_name) == name


@given(st.text(max_size=200))
def test_a_name_leads_nowhere_and_breaks_no_header(given_name: str) -> None:
    name = safe_name(given_name)
    if name is not None:
        assert name not in ("", ".", "..")
        assert not set(name) & set('/\\:\r\n\0"')
        assert len(name) <= 120
        disposition("attachment", name).encode("latin-1")
        assert safe_name(name) == name
