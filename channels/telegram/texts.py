"""Words as ``sendMessage`` calls: plain text with entities, so that nothing a person typed can be taken for markup."""

from __future__ import annotations

from collections.abc import Sequence

from channels.content import Entity
from channels.errors import ContentRefused
from channels.outbound import OutboundText, Piece
from channels.split import split_spans
from channels.telegram.capabilities import TEXT
from channels.telegram.entities import clip_entities, write_entities
from channels.types import JsonObject
from channels.wire import plain


def render_text(part: OutboundText, index: int) -> list[Piece]:
    return [
        Piece({"method": "sendMessage", "params": params}, text=str(params["text"]))
        for params in text_params(part.text, part.entities, index, preview=part.preview_links)
    ]


def text_params(text: str, entities: Sequence[Entity], index: int, *, preview: bool = True) -> list[JsonObject]:
    """The fields of one call per message; an entity moves with its words and is cut only where it is longer than one.

    Raises ``ContentRefused``.
    """
    text = plain(text)
    spans = split_spans(text, TEXT, [(entity.offset, entity.length) for entity in entities])
    if not spans:
        reason = "The text has no visible character."
        raise ContentRefused("empty", reason, limit="text.minimum", allowed=1, part=index)
    found: list[JsonObject] = []
    for start, end in spans:
        params: JsonObject = {"text": text[start:end]}
        if not preview:
            params["link_preview_options"] = {"is_disabled": True}
        written = write_entities(text[start:end], clip_entities(entities, start, end))
        if written:
            params["entities"] = written
        found.append(params)
    return found
