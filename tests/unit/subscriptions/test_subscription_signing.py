"""Signatures as the public specification of Standard Webhooks describes them."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from inbox.subscriptions import signing
from inbox.subscriptions.posting import shown

# The example of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_known_answer() -> None:
    headers = signing.headers([signing.key_of(SECRET)], MESSAGE, TIMESTAMP, BODY)
    assert headers == {
        "Content-Type": "application/json",
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_one_signature_for_each_secret() -> None:
    both = signing.headers([b"other", signing.key_of(SECRET)], MESSAGE, TIMESTAMP, BODY)["webhook-signature"]
    other, known = both.split(" ")
    assert known == SIGNATURE
    assert other.startswith("v1,")
    assert other != known


def test_an_independent_receiver_accepts_either_secret_of_a_rotation_and_nothing_altered() -> None:
    old, new, stranger = (signing.new_secret() for _ in range(3))
    sent = signing.headers([signing.key_of(new), signing.key_of(old)], MESSAGE, int(time.time()), BODY)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, sent) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", sent)


def test_secrets_are_long_random_and_of_the_known_form() -> None:
    made = {signing.new_secret() for _ in range(50)}
    assert len(made) == 50
    for secret in made:
        assert secret.startswith("whsec_")
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
        assert len(key) == 32
        assert b64encode(signing.key_of(secret)) == b64encode(key)


def test_an_id_belongs_to_one_event_of_one_log() -> None:
    one, other = UUID(int=1 << 127), UUID(int=2 << 120)
    ids = {signing.message_id(s, e, p) for s in (one, other) for e in (one, other) for p in (1, 11)}
    assert len(ids) == 8
    assert all("." not in made for made in ids), "a dot would shift the parts of what is signed"


def test_answers_do_not_repeat_the_address() -> None:
    url = "https://hooks.example.com/services/T000/B000/XXXX?token=abcdef"
    text = b"no route for /services/T000/B000/XXXX?token=abcdef nor token=abcdef\xff\x00"
    assert shown(text, url) == "no route for *** nor ***\ufffd\ufffd"
    assert shown(b"no route for /", "https://hooks.example.com/") == "no route for /"
