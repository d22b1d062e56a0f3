"""How workspaces, agents and their credentials look to clients: in answers and in events alike.

No view holds a password, a token or a digest; the ``…Created`` and ``…Out`` answers show a new secret this one time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from inbox.agents.principal import Permission, Role
from inbox.kernel.hours_input import BusinessHours, QuietHours, TimeZone
from inbox.kernel.instants import Instant

SHORTEST_PASSWORD: Final = 10

Name: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Email: TypeAlias = Annotated[
    str,
    # ASCII only: what "lower case" means for other letters differs between Python and PostgreSQL's locales.
    StringConstraints(to_lower=True, max_length=254, pattern=r"^[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+$"),
    Field(examples=["ada@example.com"]),
]
NewPassword: TypeAlias = Annotated[SecretStr, Field(min_length=SHORTEST_PASSWORD, max_length=256)]
GivenPassword: TypeAlias = Annotated[SecretStr, Field(min_length=1, max_length=256)]


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class WorkspaceDetail:
    """``business_hours`` and ``quiet_hours`` are on the wall clock of ``time_zone``; null: always open, never quiet."""

    id: UUID
    name: str
    time_zone: str
    business_hours: BusinessHours | None
    quiet_hours: QuietHours | None


class WorkspacePatch(BaseModel):
    """What is left out stays as it is; null empties hours."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    time_zone: TimeZone | None = None
    business_hours: BusinessHours | None = None
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, slots=True)
class AgentView:
    """A person, or a bot (role ``bot``, no e-mail)."""

    id: UUID
    name: str
    email: str | None
    role: Role
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenView:
    """``hint`` is the end of the token, by which its owner knows it. ``scopes`` empty: all that the role allows."""

    id: UUID
    agent_id: UUID
    kind: Literal["session", "api"]
    name: str
    hint: str
    scopes: list[Permission]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class PersonIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["admin", "supervisor", "agent"]
    name: Name
    email: Email
    password: NewPassword


class BotIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["bot"]
    name: Name


AgentIn: TypeAlias = Annotated[PersonIn | BotIn, Field(discriminator="role")]


class AgentPatch(BaseModel):
    """What is left out or null stays as it is. A new password ends the sessions of the agent."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    role: Literal["admin", "supervisor", "agent"] | None = None
    disabled: bool | None = None
    password: NewPassword | None = None


class LogIn(BaseModel):
    """``workspace_id`` is needed only by people who work in several workspaces with one e-mail and password."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: GivenPassword
    workspace_id: UUID | None = None


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current: GivenPassword
    new: NewPassword


@dataclass(frozen=True, slots=True)
class SessionOut:
    """``token`` goes into ``Authorization: Bearer …``; it is not shown again."""

    token: str = field(repr=False)
    expires_at: datetime
    agent: AgentView
    workspace: WorkspaceView


@dataclass(frozen=True, slots=True)
class Me:
    """Who is calling, and what this token may do."""

    agent: AgentView
    workspace: WorkspaceView
    token_id: UUID
    permissions: list[Permission]


class TokenIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    agent_id: UUID | None = Field(default=None, description="A bot (needs agents.write); left out: the caller.")
    scopes: list[Permission] = Field(
        default_factory=list, max_length=32, description="Only these permissions; empty: all that the role allows."
    )
    expires_at: Instant | None = Field(
        default=None, description="At most ten years ahead; left out: valid until it is revoked."
    )


@dataclass(frozen=True, slots=True)
class TokenCreated:
    """``secret`` is shown this one time; only its digest is kept."""

    secret: str = field(repr=False)
    token: TokenView


@dataclass(frozen=True, slots=True)
class TicketOut:
    """Opens one socket at ``url`` until ``expires_at``."""

    ticket: str = field(repr=False)
    expires_at: datetime
    url: str
