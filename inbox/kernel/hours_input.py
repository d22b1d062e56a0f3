"""Hours and time zones as clients write and read them: validated on the way in, the same JSON in rows and events."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from inbox.kernel.hours import minutes, zone_names


def _zone(name: str) -> str:
    if name not in zone_names():
        raise PydanticCustomError("time_zone", "it is not the name of a time zone, as in Europe/Berlin")
    return name


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise PydanticCustomError("date", "it is not a date, as in 2026-12-25") from None


TimeZone: TypeAlias = Annotated[
    str, Field(max_length=64, description="IANA", examples=["Europe/Berlin"]), AfterValidator(_zone)
]
TimeOfDay: TypeAlias = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])]
EndOfSpan: TypeAlias = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["17:00"])]
LocalDate: TypeAlias = Annotated[str, Field(max_length=10, examples=["2026-12-25"]), AfterValidator(_day)]
Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

OpenSpan = TypedDict("OpenSpan", {"from": TimeOfDay, "to": EndOfSpan})
OpenSpan.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]


def _forwards(span: OpenSpan) -> OpenSpan:
    if minutes(span["from"]) >= minutes(span["to"]):
        raise PydanticCustomError("span", "it begins before it ends; split one that goes over midnight")
    return span


class BusinessHours(TypedDict):
    """Weekdays that are left out are closed, and so are holidays."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    weekly: dict[Weekday, Annotated[list[Annotated[OpenSpan, AfterValidator(_forwards)]], Field(max_length=12)]]
    holidays: NotRequired[Annotated[list[LocalDate], Field(max_length=400)]]


QuietSpan = TypedDict(
    "QuietSpan",
    {
        "from": TimeOfDay,
        "to": TimeOfDay,
        "days": NotRequired[Annotated[list[Weekday], Field(min_length=1, max_length=7)]],
    },
)
QuietSpan.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]


def _ends(span: QuietSpan) -> QuietSpan:
    if span["from"] == span["to"]:
        raise PydanticCustomError("quiet", "it begins and ends at different times of the day")
    return span


QuietHours: TypeAlias = Annotated[QuietSpan, AfterValidator(_ends)]
"""Over midnight where ``to`` is the earlier time. ``days``: on which it begins; left out: every day."""
