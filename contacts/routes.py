"""Contacts over HTTP. The version of a contact is its ETag: a change can demand that nobody else was there first."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import Field

from contacts.schemas import ContactDetail, ContactIn, ContactView, HappenedIn, HappenedView, TagsIn
from contacts.service import Contacts, ContactUnknown
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.versions import ETAG, IfMatch, VersionChanged, etag, wanted_version
from inbox.kernel.web import Answer, Query, get, patch, post


class Caller(Protocol):
    """What contacts need to know of whoever is calling; the router injects whatever proves it."""

    @property
    def workspace_id(self) -> UUID: ...

    def require(self, permission: Literal["contacts.read", "contacts.write"]) -> None:
        """Raises ``Forbidden``."""


class ContactQuery(ListQuery):
    """Newest first."""

    search: str | None = Field(default=None, min_length=1, max_length=100, description="In name, e-mail and phone.")


class ContactRoutes:
    """People, and how they can be reached."""

    def __init__(self, contacts: Contacts) -> None:
        self._contacts = contacts

    @get("/v1/contacts", errors=(Forbidden,))
    async def list(self, caller: Caller, query: Annotated[ContactQuery, Query()]) -> Page[ContactView]:
        """List contacts, newest first."""
        caller.require("contacts.read")
        return query.page(
            await self._contacts.list(
                caller.workspace_id, after=query.last_id(), search=query.search, limit=query.limit + 1
            )
        )

    @post("/v1/contacts", status=201, errors=(Forbidden,), headers=ETAG)
    async def create(self, caller: Caller, body: ContactIn) -> Answer[ContactView]:
        """Add a contact by hand."""
        caller.require("contacts.write")
        return _tagged(await self._contacts.create(caller.workspace_id, body))

    @get("/v1/contacts/{contact_id}", errors=(Forbidden, ContactUnknown), headers=ETAG)
    async def read(self, caller: Caller, contact_id: UUID) -> Answer[ContactDetail]:
        """Read a contact with its identities. One that was merged answers as the contact it became."""
        caller.require("contacts.read")
        detail = await self._contacts.read(caller.workspace_id, contact_id)
        return Answer(detail, headers=etag(detail.contact.version))

    @patch("/v1/contacts/{contact_id}", errors=(Forbidden, ContactUnknown, VersionChanged), headers=ETAG)
    async def change(
        self, caller: Caller, contact_id: UUID, body: ContactIn, if_match: IfMatch = None
    ) -> Answer[ContactView]:
        """Change a contact. Fields that are left out stay, null empties one."""
        caller.require("contacts.write")
        version = wanted_version(if_match)
        return _tagged(await self._contacts.change(caller.workspace_id, contact_id, body, version=version))

    @patch("/v1/contacts/{contact_id}/tags", errors=(Forbidden, ContactUnknown), headers=ETAG)
    async def tag(self, caller: Caller, contact_id: UUID, body: TagsIn) -> Answer[ContactView]:
        """Put tags on a contact, or take them away. A tag that nobody has used before is simply put."""
        caller.require("contacts.write")
        return _tagged(await self._contacts.tag(caller.workspace_id, contact_id, add=body.add, remove=body.remove))

    @post("/v1/contacts/{contact_id}/events", status=202, errors=(Forbidden, ContactUnknown))
    async def note_happened(self, caller: Caller, contact_id: UUID, body: HappenedIn) -> HappenedView:
        """Tell of something that the contact did elsewhere, such as an order: it may stop a sequence."""
        caller.require("contacts.write")
        return await self._contacts.note_happened(caller.workspace_id, contact_id, body)


def _tagged(contact: ContactView) -> Answer[ContactView]:
    return Answer(contact, headers=etag(contact.version))
