"""How contacts look to clients: in answers and in events alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contacts.phones import normalise


@dataclass(frozen=True, slots=True)
class ContactView:
    id: UUID
    name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    language: str | None
    avatar_url: str | None
    custom: dict[str, Any]
    version: int
    blocked: bool
    merged_into: UUID | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class AddressView:
    kind: str
    scope: str
    value: str


@dataclass(frozen=True, slots=True)
class IdentityView:
    """The contact at one provider. ``unreachable`` says why nothing can be sent there, if so."""

    id: UUID
    provider: str
    name: str | None
    username: str | None
    unreachable: str | None
    addresses: list[AddressView]


@dataclass(frozen=True, slots=True)
class ContactDetail:
    contact: ContactView
    identities: list[IdentityView]


class ContactIn(BaseModel):
    """Fields that are left out stay as they are; ``null`` empties one."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=256)
    first_name: str | None = Field(default=None, max_length=128)
    last_name: str | None = Field(default=None, max_length=128)
    email: str | None = Field(default=None, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    phone: str | None = Field(default=None, max_length=32, description="E.164, for example +4915112345678")
    language: str | None = Field(default=None, max_length=35, description="BCP 47")
    custom: dict[str, str | int | float | bool | None] | None = Field(default=None)

    @field_validator("phone")
    @classmethod
    def e164(cls, value: str | None) -> str | None:
        return None if value is None else normalise(value)
