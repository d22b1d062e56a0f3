"""aiogram keeps fields that it does not know; here each of them is an error of ours, or news of Telegram's."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel


def unknown_fields(value: object, path: str = "") -> Iterator[str]:
    """Paths of the fields that no type of aiogram has."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{place}]")
