"""How contacts look to clients: in answers and in events alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from contacts.phones import normalise
from inbox.kernel.hours_input import TimeZone

MOST_TAGS: Final = 100
MOST_EVENT_FIELDS: Final = 50
MOST_CUSTOM: Final = 200
LONGEST_CUSTOM: Final = 4_000
MOST_CUSTOM_BYTES: Final = 64_000
"""As JSON. A contact travels whole in its events, so what it may hold bounds what every reader has to take."""


@dataclass(frozen=True, slots=True)
class BlockView:
    """Since when nothing goes out to a contact and what they send is set aside. ``until`` null: until it is lifted.

    ``by`` is the agent who blocked them or last changed why or until when.
    """

    at: datetime
    by: UUID | None
    reason: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ContactView:
    """``blocked`` is null unless they are. ``tags``: in the order in which they were put."""

    id: UUID
    name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    language: str | None
    time_zone: str | None
    avatar_url: str | None
    custom: dict[str, Any]
    tags: list[str]
    version: int
    blocked: BlockView | None
    merged_into: UUID | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class AddressView:
    """``retired_at``: since then it is the person's no longer, and nothing is sent there."""

    kind: str
    scope: str
    value: str
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdentityView:
    """The contact at one provider. ``unreachable`` says why nothing can be sent there, if so.

    ``marketing_stopped_at``: since when no marketing may be; the reason is `asked` or, by the provider, `refused`.
    """

    id: UUID
    provider: str
    name: str | None
    username: str | None
    unreachable: str | None
    unreachable_at: datetime | None
    marketing_stopped_at: datetime | None
    marketing_stopped_reason: str | None
    addresses: list[AddressView]


@dataclass(frozen=True, slots=True)
class ReachView:
    """Whether a contact can, and wants to, be written to at one provider."""

    contact_id: UUID
    identity_id: UUID
    provider: str
    unreachable: str | None
    unreachable_at: datetime | None
    marketing_stopped_at: datetime | None
    marketing_stopped_reason: str | None


@dataclass(frozen=True, slots=True)
class ProviderBlockView:
    """Whether the provider itself keeps a contact from writing to one channel.

    ``wanted`` is what was asked for, ``state`` how far that is; ``fault`` and ``reason`` say why it failed.
    """

    contact_id: UUID
    identity_id: UUID
    channel_id: UUID
    wanted: Literal["blocked", "unblocked"]
    state: Literal["pending", "done", "failed"]
    fault: str | None
    reason: str | None
    asked_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ContactDetail:
    contact: ContactView
    identities: list[IdentityView]


def _short(value: str | int | float | bool | None) -> str | int | float | bool | None:
    if isinstance(value, str) and len(value) > LONGEST_CUSTOM:
        raise PydanticCustomError("string_too_long", "a value has at most {most} characters", {"most": LONGEST_CUSTOM})
    return value


CustomKey: TypeAlias = Annotated[str, Field(max_length=100)]
CustomValue: TypeAlias = Annotated[str | int | float | bool | None, AfterValidator(_short)]


class ContactIn(BaseModel):
    """Fields that are left out stay as they are; ``null`` empties one."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=256)
    first_name: str | None = Field(default=None, max_length=128)
    last_name: str | None = Field(default=None, max_length=128)
    email: str | None = Field(default=None, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    phone: str | None = Field(default=None, max_length=32, description="E.164, for example +4915112345678")
    language: str | None = Field(default=None, max_length=35, description="BCP 47")
    time_zone: TimeZone | None = None
    custom: dict[CustomKey, CustomValue] | None = Field(
        default=None,
        max_length=MOST_CUSTOM,
        description="Fields of your own. A text has at most 4000 characters, all of them at most 64000 bytes as JSON.",
    )

    @field_validator("phone")
    @classmethod
    def e164(cls, value: str | None) -> str | None:
        return None if value is None else normalise(value)

    @field_validator("custom")
    @classmethod
    def bounded(cls, value: dict[CustomKey, CustomValue] | None) -> dict[CustomKey, CustomValue] | None:
        if value is not None and len(orjson.dumps(value)) > MOST_CUSTOM_BYTES:
            raise PydanticCustomError("too_large", "it has at most {most} bytes as JSON", {"most": MOST_CUSTOM_BYTES})
        return value


Tag: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), Field(examples=["customer"])
]


class TagsIn(BaseModel):
    """Tags to put and to take away; what is there already, or not there, is no error."""

    model_config = ConfigDict(extra="forbid")

    add: list[Tag] = Field(default_factory=list, max_length=MOST_TAGS)
    remove: list[Tag] = Field(default_factory=list, max_length=MOST_TAGS)

    @model_validator(mode="after")
    def decided(self) -> TagsIn:
        if set(self.add) & set(self.remove):
            raise PydanticCustomError("tags", "a tag cannot be put and taken away at once")
        return self


EventName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}$"), Field(examples=["order.placed"])
]


class HappenedIn(BaseModel):
    """Something that a contact did outside of the inbox."""

    model_config = ConfigDict(extra="forbid")

    name: EventName
    data: dict[CustomKey, CustomValue] = Field(default_factory=dict, max_length=MOST_EVENT_FIELDS)

    @field_validator("data")
    @classmethod
    def bounded(cls, value: dict[CustomKey, CustomValue]) -> dict[CustomKey, CustomValue]:
        if len(orjson.dumps(value)) > MOST_CUSTOM_BYTES:
            raise PydanticCustomError("too_large", "it has at most {most} bytes as JSON", {"most": MOST_CUSTOM_BYTES})
        return value


@dataclass(frozen=True, slots=True)
class HappenedView:
    contact_id: UUID
    name: str
    data: dict[str, Any]
    at: datetime
