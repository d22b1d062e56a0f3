"""Templates approved by a provider, as data, and what fills their gaps.

The definition is the contract: values are checked against it before anything is queued (channel facts, section 1.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from channels.errors import ContentRefused
from channels.outbound import TemplateValues

TemplateStatus = Literal["approved", "pending", "rejected", "paused", "disabled", "other"]
GAP: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
"""A gap in a definition: ``{{1}}`` or ``{{name}}``."""


@dataclass(frozen=True, slots=True)
class TemplateHeader:
    kind: Literal["text", "image", "video", "document", "location"]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateButton:
    kind: Literal["quick_reply", "url", "phone", "copy_code", "flow", "other"]
    title: str
    url: str | None = None
    """May end in a gap."""
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """One template in one language. ``category`` as the provider names it, in lower case."""

    external_id: str
    name: str
    language: str
    status: TemplateStatus
    category: str
    parameter_format: Literal["positional", "named"]
    body: str
    header: TemplateHeader | None = None
    footer: str | None = None
    buttons: tuple[TemplateButton, ...] = ()
    quality: str | None = None
    reason: str | None = None
    """Why it was rejected or paused."""
    unfillable: str | None = None
    """What in it cannot be filled here (a carousel, products): such a template is listed and never sent."""


@dataclass(frozen=True, slots=True)
class TemplatePreview:
    """How it reads to the customer."""

    body: str
    header: str | None
    footer: str | None
    buttons: tuple[str, ...]


def gaps(text: str | None) -> tuple[str, ...]:
    """The names of the gaps in the order of their first appearance."""
    return tuple(dict.fromkeys(GAP.findall(text or "")))


def preview(template: Template, values: TemplateValues) -> TemplatePreview:
    """Filled in, after a check that no value is missing and none is left over.

    Raises ``ContentRefused`` (``template_variables``) that names the gap; ``limit`` says where: ``template.body``, …
    """
    if template.unfillable is not None:
        raise _refused("template", f"has a part that cannot be filled here: {template.unfillable}")
    header = template.header
    wants_file = header is not None and header.kind in ("image", "video", "document")
    wants_place = header is not None and header.kind == "location"
    media = values.header_media
    if wants_file != (media is not None):
        word = header.kind if header is not None and wants_file else "file"
        raise _refused(
            "template.header", f"needs {_a(word)} in its header" if wants_file else "has no file in its header"
        )
    if header is not None and media is not None and media.kind != header.kind:
        raise _refused("template.header", f"needs {_a(header.kind)} in its header, not {_a(media.kind)}")
    if wants_place != (values.header_location is not None):
        raise _refused("template.header", "needs a location in its header" if wants_place else "has no location")
    buttons = []
    for place, button in enumerate(template.buttons):
        if _takes_value(button):
            if not values.buttons.get(place, "").strip() and button.kind in ("url", "copy_code"):
                raise _refused("template.buttons", f"needs a value for its button {place} (“{button.title}”)")
        elif place in values.buttons:
            raise _refused("template.buttons", f"takes no value for its button {place} (“{button.title}”)")
        buttons.append(button.title)
    if unknown := sorted(place for place in values.buttons if place >= len(template.buttons)):
        raise _refused("template.buttons", f"has no button {unknown[0]}")
    return TemplatePreview(
        _filled(template.body, values.body, "body"),
        _filled(header.text if header is not None else None, values.header, "header") or None,
        template.footer,
        tuple(buttons),
    )


def _takes_value(button: TemplateButton) -> bool:
    return button.kind in ("quick_reply", "copy_code", "flow") or (button.kind == "url" and bool(gaps(button.url)))


def _filled(text: str | None, values: Mapping[str, str], where: str) -> str:
    wanted = gaps(text)
    for name in wanted:
        if not values.get(name, "").strip():
            raise _refused(f"template.{where}", f"needs a value for {{{{{name}}}}} in its {where}")
    for name in values:
        if name not in wanted:
            raise _refused(f"template.{where}", f"has no {{{{{name}}}}} in its {where}")
    return GAP.sub(lambda gap: values[gap[1]], text or "")


def _refused(limit: str, reason: str) -> ContentRefused:
    return ContentRefused("template_variables", f"The template {reason}.", limit=limit)


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
