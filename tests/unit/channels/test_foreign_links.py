"""Links that a customer wrote: shown to be opened only where opening them is harmless, and to be read otherwise."""

from __future__ import annotations

import pytest

from channels.content import Entity, SharePart
from channels.meta.messaging_parts import location, referral_of, share, template
from channels.telegram.entities import read_entities
from channels.types import JsonObject

SCRIPT = "javascript:alert(1)"


@pytest.mark.parametrize(
    ("attachment", "part"),
    [
        ({"title": "A page", "payload": {"url": SCRIPT}}, SharePart("link", None, "A page")),
        ({"payload": {"url": SCRIPT}}, SharePart("link", None, SCRIPT)),
        ({"url": SCRIPT}, SharePart("link", None, SCRIPT)),
        ({"payload": {"url": "mailto:ann@a.test"}}, SharePart("link", "mailto:ann@a.test")),
        ({"payload": {"url": SCRIPT}, "url": "https://a.test"}, SharePart("link", "https://a.test")),
    ],
)
def test_a_shared_link(attachment: JsonObject, part: SharePart) -> None:
    payload = attachment.get("payload")
    assert share(kind="link")(attachment, payload if isinstance(payload, dict) else {}) == (part,)


def test_the_links_of_an_element_a_place_and_an_advert() -> None:
    element: JsonObject = {"title": "Shoe", "default_action": {"url": SCRIPT}, "item_url": "https://a.test/shoe"}
    [shown] = template({}, {"template_type": "generic", "elements": [element]})
    assert shown == SharePart("generic", "https://a.test/shoe", "Shoe")
    [place] = location({"url": SCRIPT}, {"coordinates": {"lat": 1, "long": 2}})
    assert getattr(place, "url", SCRIPT) is None
    referral = referral_of({"source": "ADS", "referer_uri": SCRIPT})
    assert referral is not None
    assert referral.url is None


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ({"type": "text_link", "url": SCRIPT}, None),
        ({"type": "text_link", "url": "tg://user?id=1"}, "tg://user?id=1"),
        ({"type": "url"}, "a.test"),
    ],
)
def test_a_link_in_a_text_of_telegram(told: JsonObject, url: str | None) -> None:
    assert read_entities("a.test", [{**told, "offset": 0, "length": 6}]) == (Entity("link", 0, 6, url),)
