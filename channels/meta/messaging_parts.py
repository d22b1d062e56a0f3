"""Contents of messages that Messenger and Instagram describe alike: attachments and referrals.

An attachment yields at least one part; a type without a reader becomes an ``UnsupportedPart`` that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from channels.content import (
    LocationPart,
    MediaKind,
    MediaPart,
    MediaRef,
    Part,
    SharePart,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.inbound import Referral
from channels.types import JsonObject, JsonValue
from channels.wire import LONG, SHORT, as_id, as_link, as_list, as_number, as_object, as_page, as_text, kept_object

AttachmentReader = Callable[[JsonObject, JsonObject], Sequence[Part]]
"""Gets the whole attachment and its payload, which is empty where there is none."""

_ELEMENTS: Final = 10
"""Of a template: the most that can be sent."""


def attachment_parts(attachments: JsonValue, readers: Mapping[str, AttachmentReader]) -> list[Part]:
    parts: list[Part] = []
    for attachment in attachments if isinstance(attachments, list) else [attachments]:
        if not isinstance(attachment, dict):
            parts.append(UnsupportedPart("attachment", data=kept_object(attachment)))
            continue
        kind = as_text(attachment.get("type"), SHORT) or "attachment"
        reader = readers.get(kind)
        read = reader(attachment, as_object(attachment.get("payload"))) if reader is not None else ()
        parts += read or (UnsupportedPart(kind, data=kept_object(attachment)),)
    return parts


def media(kind: MediaKind) -> AttachmentReader:
    def read(_attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
        # Up to 2026-08-30 a Messenger sticker is an image with a sticker id, from then on a type of its own.
        sticker = payload.get("sticker_id") is not None
        url = as_link(payload.get("url"))
        return (MediaPart("sticker" if sticker else kind, MediaRef(url=url) if url else None),)

    return read


def share(*, kind: str | None = None, id_key: str = "id", site: str = "") -> AttachmentReader:
    """``site`` completes links that come without one (facts 2.2, reels)."""

    def read(attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
        told = as_text(payload.get("url"), LONG) or as_text(attachment.get("url"), LONG)
        url = as_page(payload.get("url")) or as_page(attachment.get("url"))
        if url is not None and url.startswith("/") and not url.startswith("//"):
            url = site + url
        title = as_text(payload.get("title"), LONG) or as_text(attachment.get("title"), LONG)
        if url is None and title is None:
            title = told  # to be read, not to be opened
        reference = as_id(payload.get(id_key)) or as_id(payload.get("id"))
        return (SharePart(kind or as_text(attachment.get("type"), SHORT) or "share", url, title, reference),)

    return read


def location(attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
    coordinates = as_object(payload.get("coordinates"))
    latitude, longitude = as_number(coordinates.get("lat")), as_number(coordinates.get("long"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return ()
    name = as_text(attachment.get("title"), SHORT) or as_text(payload.get("title"), SHORT)
    return (LocationPart(latitude, longitude, name, url=as_page(attachment.get("url")) or as_page(payload.get("url"))),)


def template(attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
    """Product and generic templates carry elements, button templates a text: what a person sees of them is kept."""
    named = next((name for name in ("product", "generic") if isinstance(payload.get(name), dict)), None)
    kind = as_text(payload.get("template_type"), SHORT) or named or "template"
    parts: list[Part] = []
    if text := as_text(payload.get("text")):
        parts.append(TextPart(text))
    body = as_object(payload.get(named)) if named else payload
    parts += [_element(kind, item) for item in as_list(body.get("elements"))[:_ELEMENTS] if isinstance(item, dict)]
    title = as_text(attachment.get("title"), LONG)
    if not parts and title:
        parts.append(SharePart(kind, as_page(attachment.get("url")), title))
    return parts


def _element(kind: str, element: JsonObject) -> SharePart:
    action = as_object(element.get("default_action"))
    url = as_page(action.get("url")) or as_page(element.get("item_url")) or as_page(element.get("image_url"))
    return SharePart(kind, url, as_text(element.get("title"), LONG), as_id(element.get("id")))


def appointment(attachment: JsonObject, payload: JsonObject) -> Sequence[Part]:
    title = as_text(attachment.get("title"), LONG) or as_text(payload.get("title"), LONG)
    return (SystemPart("appointment_booking", title, kept_object(payload)),)


def referral_of(value: JsonValue) -> Referral | None:
    if not isinstance(value, dict) or not value:
        return None
    advert, product = as_object(value.get("ads_context_data")), as_object(value.get("product"))
    source = (as_text(value.get("source"), SHORT) or ("product" if product else "unknown")).lower()
    return Referral(
        # ``SHORTLINK`` and ``SHORTLINKS`` both occur (facts 3.2); ``ad`` is the word of the other channels.
        source={"shortlinks": "shortlink", "ads": "ad"}.get(source, source),
        id=as_id(value.get("ad_id")) or as_id(product.get("id")),
        ref=as_text(value.get("ref"), LONG),
        url=as_page(value.get("referer_uri")),
        headline=as_text(advert.get("ad_title"), LONG),
        data=kept_object(value),
    )
