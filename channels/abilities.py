"""What an adapter may be able to do beyond the contract: each a protocol of its own, found by ``isinstance``.

So a new channel starts with ``channels.adapter.Adapter`` alone and grows by writing methods. What a channel
can do is published by its capabilities; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from channels.adapter import Adapter, Http
from channels.capabilities import Capabilities
from channels.outbound import OutboundPart, OutboundTemplate, TemplateValues
from channels.templates import Template
from channels.types import Account, Address


@runtime_checkable
class EditsMessages(Protocol):
    """Goes with ``capabilities.edit`` and ``capabilities.delete``."""

    async def edit(
        self, http: Http, account: Account, peer: Sequence[Address], external_id: str, parts: Sequence[OutboundPart]
    ) -> None:
        """Replace the content of a message of ours. Raises ``ContentRefused``, ``SendError``."""
        ...

    async def delete(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """Take a message of ours back for both sides. Raises ``SendError``."""
        ...


@runtime_checkable
class HasTemplates(Protocol):
    """Goes with ``capabilities.templates``."""

    async def templates(self, http: Http, account: Account) -> list[Template]:
        """All definitions that this account may use, in every state. Raises ``FetchError``."""
        ...

    def fill(self, template: Template, values: TemplateValues) -> OutboundTemplate:
        """The template with its gaps filled. Pure. Raises ``ContentRefused`` (``template_variables``)."""
        ...


@runtime_checkable
class Moderates(Protocol):
    """Goes with ``capabilities.blocks_people``: the provider itself keeps the person from writing to us."""

    async def block(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        """Raises ``SendError``. Blocking twice is no error."""
        ...

    async def unblock(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        """Raises ``SendError``."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the provider shall deliver: our webhook, what it is verified with, and (Telegram) the secret it sends."""

    url: str
    verify_token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``reason`` and ``remedy`` are sentences for the person who has to mend it."""

    code: str
    state: Literal["ok", "warning", "broken"]
    reason: str
    remedy: str | None = None


@runtime_checkable
class Connects(Protocol):
    """Tells the provider where to deliver, and looks whether it does."""

    async def subscribe(self, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
        """Make the provider deliver this account's events to the endpoint; repeating it changes nothing.

        Says what was done, and what a person still has to do by hand. Raises ``FetchError``.
        """
        ...

    async def inspect(self, http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
        """Everything that can be looked at: subscription, webhook, quality, rights, expiry. Changes nothing.

        A credential that does not work at all is a finding too, not an error.
        """
        ...


@dataclass(frozen=True, slots=True)
class NewToken:
    token: str = field(repr=False)
    expires_at: datetime | None


@runtime_checkable
class RenewsToken(Protocol):
    """For tokens that end unless they are exchanged in time."""

    async def renew(self, http: Http, account: Account) -> NewToken | None:
        """``None``: this account's token does not end. Raises ``FetchError``."""
        ...


@runtime_checkable
class VariesByAccount(Protocol):
    """For kinds whose accounts can do different things; ``capabilities`` names what any of them can."""

    def capabilities_of(self, account: Account) -> Capabilities:
        """By the account's options. Pure."""
        ...


def capabilities_of(adapter: Adapter, account: Account) -> Capabilities:
    """What this account can do."""
    return adapter.capabilities_of(account) if isinstance(adapter, VariesByAccount) else adapter.capabilities
