"""Pages of a list, continued by an opaque cursor: a position in the order of the list, never an offset.

A cursor holds the sort keys of the last item; the list goes on after it whatever was added or removed meanwhile.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypeForm

from inbox.kernel.encoding import encode
from inbox.kernel.errors import Invalid
from inbox.kernel.payload import value_fault

T = TypeVar("T")
Keys = TypeVar("Keys", bound=tuple[object, ...])
AFTER: Final = "/query/after"


class Page(BaseModel, Generic[T]):
    """Some of a list; `next` is the cursor that the following page is asked for with, or null at the end."""

    model_config = ConfigDict(frozen=True)

    items: list[T]
    next: str | None = Field(default=None, description="Pass as `after` for the next page; null when there is none.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Names read `ConversationOutPage` in the API description."""
        if all(isinstance(param, type) for param in params):
            return "".join(param.__name__ for param in params) + cls.__name__
        return super().model_parametrized_name(params)


def encode_cursor(*parts: str | int | float | bool | UUID | datetime | None) -> str:
    """The sort keys of the last item of a page, as one opaque word."""
    return urlsafe_b64encode(encode(parts)).rstrip(b"=").decode()


def decode_cursor(cursor: str, shape: TypeForm[Keys], *, pointer: str = AFTER) -> Keys:
    """The keys that `encode_cursor` was given, as a `shape` such as `tuple[datetime, UUID]`.

    Whatever no page of the list can have given is refused as `Invalid` at `pointer`: the cursor is the client's word.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        adapter: TypeAdapter[Keys] = _adapter(shape)  # type: ignore[arg-type]  # every form of a type is hashable
        keys = adapter.validate_json(raw, strict=True)
    except (UnicodeEncodeError, binascii.Error, ValidationError):
        pass
    else:
        if not any(value_fault(pointer, key) for key in keys):
            return keys
    raise Invalid.at(pointer, "this is not a cursor that a page of this list gave", "cursor")


class Identified(Protocol):
    """An item of a list that is ordered by id."""

    @property
    def id(self) -> UUID: ...


Item = TypeVar("Item", bound=Identified)


class ListQuery(BaseModel):
    """A page of a list that is ordered by id."""

    model_config = ConfigDict(frozen=True)

    after: str | None = Field(default=None, max_length=200, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)

    def last_id(self) -> UUID | None:
        """The last item of the page before; ``None`` asks for the first page. Raises ``Invalid``."""
        return None if self.after is None else decode_cursor(self.after, tuple[UUID])[0]

    def page(self, found: Sequence[Item]) -> Page[Item]:
        """``found`` was read with a limit of one more, which tells whether there is a next page."""
        # As text: an id that comes from a row is of asyncpg's own class.
        last = str(found[self.limit - 1].id) if len(found) > self.limit else None
        return Page(items=list(found[: self.limit]), next=None if last is None else encode_cursor(last))


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)
