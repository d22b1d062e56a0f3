"""Handshake, signature and routing of a Meta app's endpoint (channel facts, section 0)."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from channels.adapter import WebhookSecrets
from channels.inbound import Inbound, UnsupportedEvent
from channels.meta import signature
from channels.meta.envelope import collect
from channels.meta.provider import MetaProvider
from channels.types import JsonObject

# RFC 4231, test case 2: an answer that does not come from this code.
RFC_KEY, RFC_BODY = "Jefe", b"what do ya want for nothing?"
RFC_DIGEST = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

SECRETS = WebhookSecrets(signing=("old secret", "new secret"), verify_token="open sesame")


def echo_parser(payload: JsonObject) -> list[Inbound]:
    return [UnsupportedEvent("a", "parsed", payload)]


def broken_parser(payload: JsonObject) -> list[Inbound]:
    raise KeyError("entry")


PROVIDER = MetaProvider({"page": echo_parser, "instagram": broken_parser})


def test_the_signature_is_the_one_of_the_rfc() -> None:
    assert signature.sign(RFC_BODY, RFC_KEY) == f"sha256={RFC_DIGEST}"
    assert signature.verify(f"sha256={RFC_DIGEST}", RFC_BODY, (RFC_KEY,))


def test_the_bytes_as_received_are_signed_not_their_meaning() -> None:
    escaped, plain = rb'{"a":"\u00e4"}', '{"a":"ä"}'.encode()
    header = "sha256=" + hmac.new(b"new secret", escaped, hashlib.sha256).hexdigest()
    assert PROVIDER.verify({"x-hub-signature-256": header}, escaped, SECRETS)
    assert not PROVIDER.verify({"x-hub-signature-256": header}, plain, SECRETS)


@pytest.mark.parametrize("secret", SECRETS.signing)
def test_every_secret_of_the_app_counts(secret: str) -> None:
    assert PROVIDER.verify({"x-hub-signature-256": signature.sign(b"{}", secret)}, b"{}", SECRETS)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        RFC_DIGEST,
        f"sha1={RFC_DIGEST}00",
        f"sha256={RFC_DIGEST}0",
        f"sha256={RFC_DIGEST[:-1]}",
        f"sha256={RFC_DIGEST.upper()}",
        f"sha256={RFC_DIGEST[:-1]}ä",
        f"sha256={'0' * 64}",
    ],
)
def test_any_other_header_is_refused(header: str | None) -> None:
    assert not signature.verify(header, RFC_BODY, (RFC_KEY,))


def test_an_empty_secret_verifies_nothing() -> None:
    forged = "sha256=" + hmac.new(b"", b"{}", hashlib.sha256).hexdigest()
    assert not signature.verify(forged, b"{}", ("",))
    assert not signature.verify(forged, b"{}", ())


GOOD_HANDSHAKE = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "open sesame"}


def test_the_challenge_goes_back() -> None:
    assert PROVIDER.handshake(GOOD_HANDSHAKE, SECRETS) == "1158201444"


@pytest.mark.parametrize(
    "change",
    [
        {"hub.mode": "unsubscribe"},
        {"hub.mode": ""},
        {"hub.verify_token": "open Sesame"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "öffne dich \ud800"},
        {"hub.challenge": ""},
        {"hub.challenge": "<script>alert(1)</script>"},
        {"hub.challenge": "1" * 300},
    ],
)
def test_any_other_handshake_is_refused(change: dict[str, str]) -> None:
    assert PROVIDER.handshake({**GOOD_HANDSHAKE, **change}, SECRETS) is None


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_verify_token_no_handshake_succeeds(token: str | None) -> None:
    secrets = WebhookSecrets(signing=("s",), verify_token=token)
    assert PROVIDER.handshake({**GOOD_HANDSHAKE, "hub.verify_token": ""}, secrets) is None


def test_the_object_chooses_the_parser() -> None:
    payload: JsonObject = {"object": "page", "entry": []}
    assert PROVIDER.parse(b'{"object":"page","entry":[]}') == [UnsupportedEvent("a", "parsed", payload)]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "body_not_json"),
        (b"\xff\xfe", "body_not_json"),
        (b"[" * 100_000, "body_not_json"),
        (b"[1]", "body_not_an_object"),
        (b"null", "body_not_an_object"),
        (b"{}", "object:None"),
        (b'{"object":"user"}', "object:user"),
        (b'{"object":["page"]}', "object:None"),
        (b'{"object":"instagram"}', "object:instagram:unparsed"),
    ],
)
def test_a_body_that_means_nothing_stays_visible(body: bytes, what: str) -> None:
    [event] = PROVIDER.parse(body)
    assert isinstance(event, UnsupportedEvent)
    assert event.what == what


def test_one_item_that_breaks_a_parser_costs_none_of_its_neighbours() -> None:
    def parse(item: JsonObject) -> list[Inbound]:
        return [UnsupportedEvent("a", str(item["name"]), None)]

    found: list[Inbound] = []
    collect(found, "a", "thing", [{"name": "first"}, {}, 7, {"name": "last"}], parse)
    assert found == [
        UnsupportedEvent("a", "first", None),
        UnsupportedEvent("a", "thing:unparsed", {}),
        UnsupportedEvent("a", "thing", 7),
        UnsupportedEvent("a", "last", None),
    ]
