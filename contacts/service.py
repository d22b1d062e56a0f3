"""Creating, reading and changing contacts by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from contacts import events
from contacts import repository as rows
from contacts.schemas import MOST_TAGS, ContactDetail, ContactIn, ContactView, HappenedIn, HappenedView
from inbox.kernel.database import Database
from inbox.kernel.errors import Invalid, NotFound
from inbox.kernel.ids import new_id
from inbox.kernel.versions import VersionChanged


class ContactUnknown(NotFound):
    code = "contact_not_found"


class Contacts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, workspace_id: UUID, *, after: UUID | None, search: str | None, limit: int
    ) -> list[ContactView]:
        """Newest first, below ``after``. ``search`` looks in name, e-mail and phone."""
        async with self._database.transaction(readonly=True) as unit:
            return await rows.page(unit, workspace_id, after=after, search=search, limit=limit)

    async def read(self, workspace_id: UUID, contact_id: UUID) -> ContactDetail:
        """A contact that was merged is answered with the one it became. Raises ``ContactUnknown``."""
        async with self._database.snapshot() as unit:
            contact = await rows.find(unit, workspace_id, contact_id)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            identities = await rows.identities(unit, workspace_id, contact.id)
        return ContactDetail(contact, identities)

    async def create(self, workspace_id: UUID, fields: ContactIn) -> ContactView:
        async with self._database.transaction() as unit:
            contact = await rows.insert(unit, workspace_id, new_id(), fields.model_dump(exclude_none=True))
            unit.record(events.created(workspace_id, contact))
        return contact

    async def change(
        self, workspace_id: UUID, contact_id: UUID, fields: ContactIn, *, version: int | None
    ) -> ContactView:
        """``version``: refuse when the contact has changed since. Raises ``ContactUnknown``, ``VersionChanged``."""
        given = fields.model_dump(exclude_unset=True)
        if given.get("custom", ...) is None:
            given["custom"] = {}
        async with self._database.transaction() as unit:
            contact = await rows.find(unit, workspace_id, contact_id, lock=True)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            if version is not None and version != contact.version:
                raise VersionChanged("the contact has changed since you read it", version=contact.version)
            if any(getattr(contact, field) != value for field, value in given.items()):
                contact = await rows.update(unit, workspace_id, contact.id, given)
                unit.record(events.updated(workspace_id, contact))
        return contact

    async def tag(
        self, workspace_id: UUID, contact_id: UUID, *, add: Sequence[str], remove: Sequence[str]
    ) -> ContactView:
        """Put some tags and take others away; repeating it changes nothing. Raises ``ContactUnknown``, ``Invalid``."""
        async with self._database.transaction() as unit:
            contact = await rows.find(unit, workspace_id, contact_id, lock=True)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            tags = list(dict.fromkeys([*(tag for tag in contact.tags if tag not in remove), *add]))
            if len(tags) > MOST_TAGS:
                raise Invalid.at("/body/add", f"a contact has at most {MOST_TAGS} tags", "too_long")
            if tags != contact.tags:
                contact = await rows.update(unit, workspace_id, contact.id, {"tags": tags})
                unit.record(events.updated(workspace_id, contact))
        return contact

    async def note_happened(self, workspace_id: UUID, contact_id: UUID, what: HappenedIn) -> HappenedView:
        """Write into the log what a contact did elsewhere; whoever waits for it hears it there.

        Raises ``ContactUnknown``.
        """
        async with self._database.transaction() as unit:
            contact = await rows.find(unit, workspace_id, contact_id)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            happened = HappenedView(contact.id, what.name, dict(what.data), datetime.now(UTC))
            unit.record(events.happened(workspace_id, happened))
        return happened
