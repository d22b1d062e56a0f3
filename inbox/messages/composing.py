"""From what a client sends to neutral parts: ids become the provider's, files say what they are, templates are filled.

Also says how each part is stored, which is what the thread shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from channels.abilities import HasTemplates
from channels.errors import ContentRefused
from channels.limits import check_reaction
from channels.outbound import OutboundAlbum, OutboundMedia, OutboundPart, OutboundReaction, OutboundTemplate
from channels.templates import GAP, preview
from inbox.connections.directory import Channel
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import InboxError, Invalid
from inbox.media.schemas import MediaView
from inbox.messages import repository as rows
from inbox.messages.schemas import AlbumIn, MediaIn, PartIn, ReactionIn, TemplateIn
from inbox.templates.repository import TemplateRow
from inbox.templates.service import Templates


class ContentTooLarge(InboxError):
    """The content does not fit what the channel takes. ``limit`` names the capability, ``allowed`` its value."""

    status, code, title = 422, "content_refused", "The channel does not take this content"

    @classmethod
    def of(cls, refused: ContentRefused) -> ContentTooLarge:
        return cls(
            refused.reason,
            reason=refused.code,
            limit=refused.limit,
            allowed=refused.allowed,
            pointer=f"/body/parts/{refused.part}",
        )


@dataclass(frozen=True, slots=True)
class Composed:
    """``shown``: as stored, to be encoded; an album is shown as its files."""

    parts: tuple[OutboundPart, ...]
    shown: tuple[object, ...]

    @property
    def templates_only(self) -> bool:
        return all(isinstance(part, OutboundTemplate) for part in self.parts)


def media_ids(parts: Sequence[PartIn]) -> set[UUID]:
    """Of all our files that these parts name."""
    return {media_id for part in parts for media_id in _files_of(part) if media_id is not None}


def _files_of(part: PartIn) -> Iterator[UUID | None]:
    match part:
        case MediaIn():
            yield part.media_id
        case AlbumIn():
            yield from (item.media_id for item in part.items)
        case TemplateIn() if part.file is not None:
            yield part.file.media_id


@dataclass(frozen=True, slots=True)
class Composer:
    """For one message of one conversation; ``files``: those named by its parts, by id."""

    templates: Templates
    unit: UnitOfWork
    channel: Channel
    conversation_id: UUID
    files: Mapping[UUID, MediaView]

    async def compose(self, given: Sequence[PartIn]) -> Composed:
        """Raises ``Invalid``, ``ContentTooLarge``."""
        parts: list[OutboundPart] = []
        shown: list[object] = []
        for index, one in enumerate(given):
            try:
                part, view = await self._part(one, index)
            except ContentRefused as refused:
                refused.part = index
                raise ContentTooLarge.of(refused) from None
            parts.append(part)
            shown += view
        return Composed(tuple(parts), tuple(shown))

    async def _part(self, given: PartIn, index: int) -> tuple[OutboundPart, list[object]]:
        match given:
            case ReactionIn():
                reaction = await self._reaction(given, index)
                return reaction, [reaction]
            case MediaIn():
                media = self._known(given.media(), f"/body/parts/{index}")
                return media, [self._shown(media)]
            case AlbumIn():
                return self._album(given, index)
            case TemplateIn():
                return await self._template(given, index)
            case _:
                part = given.part()
                return part, [part]

    async def _reaction(self, given: ReactionIn, index: int) -> OutboundReaction:
        """It names one of our messages; the provider wants its own id."""
        workspace_id = self.channel.workspace_id
        target = await rows.external_id_of(self.unit, workspace_id, self.conversation_id, given.message_id)
        if target is None:
            raise Invalid.at(f"/body/parts/{index}/message_id", "the provider knows no such message here")
        reaction = OutboundReaction(target, given.emoji)
        # The adapter plans by what its channel can do at all; this very account may do less.
        check_reaction(reaction, self.channel.capabilities, part_index=index, channel="This channel")
        return reaction

    def _album(self, given: AlbumIn, index: int) -> tuple[OutboundPart, list[object]]:
        pointer = f"/body/parts/{index}/items"
        items = [self._known(item.media(), f"{pointer}/{place}") for place, item in enumerate(given.items)]
        seen = [replace(items[0], caption=items[0].caption or given.caption), *items[1:]]
        return OutboundAlbum(tuple(items), given.caption), [self._shown(item) for item in seen]

    # --- templates ----------------------------------------------------------------------------------------------------

    async def _template(self, given: TemplateIn, index: int) -> tuple[OutboundPart, list[object]]:
        source = self.channel.capabilities.templates
        if given.components or (source == "given" and not given.any_given):
            return await self._raw_template(given, index)
        adapter = self.channel.adapter
        if source == "given":
            reason = "This channel does not list its templates: give the template's components instead of values."
            raise ContentRefused("template_components", reason, limit="templates", part=index)
        if not isinstance(adapter, HasTemplates):
            raise ContentRefused("not_offered", "This channel has no templates.", limit="templates", part=index)
        row = await self.templates.approved(self.unit, self.channel, given.name, given.language, index)
        file = given.file
        media = None if file is None else self._known(file.media(), f"/body/parts/{index}/header/file")
        values = given.values(media)
        part = adapter.fill(row.template, values)
        seen = preview(row.template, values)
        shown = _shown_template(part, row, header=seen.header, body=seen.body, footer=seen.footer, buttons=seen.buttons)
        return part, [shown if media is None else {**shown, "kind": media.kind, **self._view_of(media)}]

    async def _raw_template(self, given: TemplateIn, index: int) -> tuple[OutboundPart, list[object]]:
        values = _body_values(given.components)
        checked = await self.templates.check_raw(
            self.unit, self.channel, given.name, given.language, len(values), index
        )
        part = OutboundTemplate(given.name, given.language, tuple(given.components))
        if checked is None:
            # What the customer reads is the provider's secret; the thread shows at least what was said to it.
            words = ", ".join(_texts(given.components))
            return part, [{**asdict(part), "text": f"{part.name}: {words}" if words else part.name}]
        body = GAP.sub(lambda gap: values.get(gap[1], ""), checked.template.body)
        buttons = [button.title for button in checked.template.buttons]
        part = replace(part, text=body)
        shown = _shown_template(part, checked, header=None, body=body, footer=checked.template.footer, buttons=buttons)
        return part, [shown]

    # --- files --------------------------------------------------------------------------------------------------------

    def _known(self, media: OutboundMedia, pointer: str) -> OutboundMedia:
        """With what is known about one of our files."""
        if media.media_id is None:
            return media
        file = self.files.get(UUID(media.media_id))
        if file is None:
            raise Invalid.at(f"{pointer}/media_id", "there is no such file to send", "media_unknown")
        return replace(
            media,
            mime_type=file.mime_type,
            size=file.size,
            filename=media.filename or file.filename,
            width=file.width,
            height=file.height,
        )

    def _shown(self, media: OutboundMedia) -> object:
        """A part with one of our files holds its view, as those that came in do."""
        return media if media.media_id is None else {**asdict(media), **self._view_of(media)}

    def _view_of(self, media: OutboundMedia) -> dict[str, object]:
        return {} if media.media_id is None else {"media": self.files[UUID(media.media_id)]}


def _shown_template(
    part: OutboundTemplate,
    row: TemplateRow,
    *,
    header: str | None,
    body: str,
    footer: str | None,
    buttons: Sequence[str],
) -> dict[str, object]:
    """What the customer sees, and what it was made of."""
    return {
        "type": "template",
        "name": part.name,
        "language": part.language,
        "template_id": row.id,
        "header": header,
        "text": body,
        "footer": footer,
        "buttons": list(buttons),
    }


def _texts(components: Sequence[dict[str, Any]]) -> Iterator[str]:
    """All words that these components fill in, in order."""
    for component in components:
        given = component.get("parameters")
        for parameter in given if isinstance(given, list) else ():
            if isinstance(parameter, dict) and isinstance(text := parameter.get("text"), str) and text.strip():
                yield text


def _body_values(components: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The values of the body by the names of their gaps, from components as WhatsApp writes them."""
    values: dict[str, str] = {}
    for component in components:
        given = component.get("parameters")
        if str(component.get("type", "")).lower() == "body" and isinstance(given, list):
            for place, parameter in enumerate(given, 1):
                fields = parameter if isinstance(parameter, dict) else {}
                values[str(fields.get("parameter_name") or place)] = str(fields.get("text") or "")
    return values
