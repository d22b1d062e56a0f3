"""What a client asks of messages that were sent, and how that looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from inbox.messages.schemas import ChoicesIn, FaultView, TextIn

ChangeKind = Literal["edit", "delete"]
ChangeState = Literal["sending", "done", "refused", "not_sent", "unknown"]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """An edit or deletion that was asked of the provider. ``unknown``: nobody knows whether it was done."""

    id: UUID
    kind: ChangeKind
    state: ChangeState
    asked_by: UUID
    started_at: datetime
    finished_at: datetime | None
    fault: FaultView | None


class EditIn(BaseModel):
    """New words, or new buttons, of a message that was sent. The words of a message with a file are its caption."""

    model_config = ConfigDict(extra="forbid")

    part: Annotated[TextIn | ChoicesIn, Field(discriminator="type")]
    epoch: int | None = Field(default=None, description="Of a bot's lease; a late edit is refused.")
