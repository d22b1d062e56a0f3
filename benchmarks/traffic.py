"""What the load generator sends: complete HTTP requests with signed bodies, each one different, built beforehand."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

MARK: Final = b'"text":"#'
"""How a message's text begins in a frame of the stream; its number follows."""
MARK_DIGITS: Final = 9
STATUSES: Final = (b"sent", b"delivered", b"read")


@dataclass(frozen=True, slots=True)
class Traffic:
    """``messages``: customers write; every ``new_every``-th comes from somebody new, the others from ``known`` people.

    ``receipts``: sent, delivered and read for our own messages. ``sends``: an agent writes (``bodies`` of ``paths``).
    Numbers run from ``first``, so that two loads never say the same.
    """

    kind: Literal["messages", "receipts", "sends"]
    count: int
    first: int = 0
    account_id: str = ""
    secret: str = ""
    known: int = 1
    new_every: int = 0
    at: int = 0
    """The provider's time of every item, in seconds since 1970."""
    paths: Sequence[str] = ()
    token: str = ""


def make_requests(traffic: Traffic, path: str, host: str) -> list[bytes]:
    match traffic.kind:
        case "messages":
            bodies = [message_body(traffic, number) for number in range(traffic.first, traffic.first + traffic.count)]
        case "receipts":
            bodies = [receipt_body(traffic, number) for number in range(traffic.first, traffic.first + traffic.count)]
        case "sends":
            return _sends(traffic, host)
    secret = traffic.secret.encode()
    head = b"POST %b HTTP/1.1\r\nHost: %b\r\nAccept: */*\r\nUser-Agent: facebookexternalua\r\n" % (
        path.encode(),
        host.encode(),
    )
    head += b"Content-Type: application/json\r\nX-Hub-Signature-256: sha256=%b\r\nContent-Length: %d\r\n\r\n"
    return [head % (hmac.digest(secret, body, "sha256").hex().encode(), len(body)) + body for body in bodies]


def phone_of(traffic: Traffic, number: int) -> int:
    """Known people have the phones from 15550000000 on, new ones those from 15551000000 on."""
    if traffic.new_every and number % traffic.new_every == 0:
        return 15551000000 + number
    return 15550000000 + number * 7919 % traffic.known


def message_body(traffic: Traffic, number: int) -> bytes:
    """About 900 bytes, the size and shape of what WhatsApp sends for a text (channel facts, section 1.2)."""
    phone = phone_of(traffic, number)
    return MESSAGE % (traffic.account_id.encode(), phone, phone, phone, phone, number, traffic.at, number)


def receipt_body(traffic: Traffic, number: int) -> bytes:
    message, stage = divmod(number, len(STATUSES))
    phone = 15550000000 + message % traffic.known
    return RECEIPT % (traffic.account_id.encode(), message, STATUSES[stage], traffic.at + stage, phone, message)


def _sends(traffic: Traffic, host: str) -> list[bytes]:
    requests = []
    for number in range(traffic.first, traffic.first + traffic.count):
        body = b'{"parts":[{"type":"text","text":"#%09d an answer"}],"client_token":"send %d"}' % (number, number)
        path = traffic.paths[number % len(traffic.paths)].encode()
        head = b"POST %b HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
        head %= (path, host.encode(), traffic.token.encode())
        requests.append(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return requests


_VALUE: Final = (
    b'{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{'
    b'"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"%b"},'
)
_END: Final = b'},"field":"messages"}]}]}'
_WORDS: Final = (
    b"Hello, I ordered a lamp from your shop last week and the parcel came yesterday, but one of the two screws for "
    b"the base is missing. Could you please send me another one, or tell me which size it is so I can buy it here? "
    b"The number of my order is below, and my address has not changed since. Thank you very much for your help!"
)
MESSAGE: Final = (
    _VALUE
    + b'"contacts":[{"profile":{"name":"Customer %d"},"wa_id":"%d","user_id":"US.13491208%d"}],"messages":[{'
    + b'"from":"%d","id":"wamid.HBgLMTU1NTEyMzAwMDEVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA%09d","timestamp":"%d",'
    + b'"text":{"body":"#%09d '
    + _WORDS
    + b'"},"type":"text"}]'
    + _END
)
RECEIPT: Final = (
    _VALUE
    + b'"statuses":[{"id":"wamid.out.%09d","status":"%b","timestamp":"%d","recipient_id":"%d",'
    + b'"biz_opaque_callback_data":"benchmark %d","conversation":{"id":"7f8c5ab3e0a4c1d5","expiration_timestamp":'
    + b'"1790086400","origin":{"type":"service"}},"pricing":{"billable":false,"pricing_model":"PMP",'
    + b'"category":"service","type":"free_customer_service"}}]'
    + _END
)
