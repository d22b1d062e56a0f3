"""Instants as clients give them: in a zone, and within what every calendar, zone and database can reckon with.

Invariant: what passes is in UTC, and centuries away from where arithmetic on it could leave the calendar.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic_core import PydanticCustomError

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _bounded(at: datetime) -> datetime:
    # Compared before it is converted: at the ends of the calendar another zone has no name for the instant.
    if not EARLIEST <= at < LATEST:
        raise PydanticCustomError("instant", "that is not a time between 1970 and 2200")
    return at.astimezone(UTC)


Instant: TypeAlias = Annotated[AwareDatetime, AfterValidator(_bounded), Field(examples=["2026-12-24T09:00:00Z"])]
