"""Who is calling, and the one rule for what they may see and do.

The same ``sees`` answers for REST, socket, search, export and webhooks (P10); nobody else compares roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from inbox.kernel.errors import Forbidden
from inbox.kernel.eventlog import EVERYONE

Role = Literal["admin", "supervisor", "agent", "bot"]
Permission = Literal[
    "conversations.read",
    "conversations.write",
    "messages.send",
    "contacts.read",
    "contacts.write",
    "channels.read",
    "channels.write",
    "agents.read",
    "agents.write",
    "stream",
    "subscriptions.read",
    "subscriptions.write",
    "scheduled.write",
    "scheduled.supervise",
    "sequences.read",
    "sequences.write",
    "sequences.enrol",
    "contacts.block",
    "contacts.set_aside",
    "bots.read",
    "bots.write",
    "conversations.handoff",
    "audit.read",
    "operations.manage",
    "workspace.write",
]

_READ_AND_TALK: frozenset[Permission] = frozenset(
    {
        "conversations.read",
        "conversations.write",
        "messages.send",
        "contacts.read",
        "contacts.write",
        "channels.read",
        "agents.read",
        "stream",
        "conversations.handoff",
    }
)
_WORK: frozenset[Permission] = _READ_AND_TALK | {
    "scheduled.write",
    "sequences.read",
    "sequences.enrol",
    "contacts.block",
    "bots.read",
}
_SUPERVISE: frozenset[Permission] = _WORK | {
    "scheduled.supervise",
    "sequences.write",
    "contacts.set_aside",
    "audit.read",
}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    "admin": _SUPERVISE
    | {
        "channels.write",
        "agents.write",
        "subscriptions.read",
        "subscriptions.write",
        "bots.write",
        "operations.manage",
        "workspace.write",
    },
    "supervisor": _SUPERVISE,
    "agent": _WORK,
    "bot": frozenset({"conversations.read", "messages.send", "conversations.handoff", "stream"}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``scopes`` empty: everything the role allows; otherwise only these permissions."""

    workspace_id: UUID
    agent_id: UUID
    name: str
    role: Role
    token_id: UUID
    scopes: frozenset[str] = frozenset()

    def may(self, permission: Permission) -> bool:
        return permission in PERMISSIONS[self.role] and (not self.scopes or permission in self.scopes)

    def require(self, permission: Permission) -> None:
        """Raises ``Forbidden`` that names the permission."""
        if not self.may(permission):
            raise Forbidden(f"this needs the permission {permission}", permission=permission)

    @property
    def confined(self) -> bool:
        """A program: it sees, and may do, only what concerns conversations that it holds."""
        return self.role == "bot"

    def sees(self, audience: int, holder_id: UUID | None = None) -> bool:
        """Whether an event of this audience (``eventlog.EVERYONE``, ``SUPERVISORS``) and holder is theirs to see."""
        if self.confined:
            return audience == EVERYONE and holder_id == self.agent_id
        return audience == EVERYONE or self.role in ("admin", "supervisor")
