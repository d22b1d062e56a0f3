"""Typing, viewing and presence: to live readers of this node at once, to other nodes by the relay. Never stored."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from inbox.kernel.clock import Clock
from inbox.realtime.presence import Presence, Sighting
from inbox.realtime.protocol import Ephemeral, TypingNotice, framed
from inbox.realtime.relay import Relay
from inbox.realtime.session import Session
from inbox.realtime.tail import Tails

ALLOWANCE: Final = 20.0
PER_SECOND: Final = 5.0
"""Notices one socket may cause: ``ALLOWANCE`` at once, ``PER_SECOND`` for long. More are dropped, as they may be."""


class _Told(BaseModel):
    """What nodes tell each other; ``kind`` tells the two apart."""

    node: str
    workspace_id: UUID
    agent_id: UUID
    online: bool | None = None
    viewing: frozenset[UUID] = frozenset()
    typing_in: UUID | None = None
    on: bool = False


class Notices:
    def __init__(self, tails: Tails, presence: Presence, relay: Relay | None, clock: Clock, *, node: str) -> None:
        self.presence = presence
        self._tails = tails
        self._relay = relay
        self._clock = clock
        self._node = node
        if relay is not None:
            relay.subscribe(self._heard)

    def arrived(self, session: Session) -> None:
        self._sighted(self.presence.arrived(session.principal.workspace_id, session.principal.agent_id))

    def left(self, session: Session) -> None:
        principal = session.principal
        self._sighted(self.presence.left(principal.workspace_id, principal.agent_id, session.viewing))

    def views(self, session: Session, conversation_id: UUID | None) -> None:
        if session.viewing == conversation_id or not self._allowed(session):
            return
        before, session.viewing = session.viewing, conversation_id
        principal = session.principal
        self._sighted(self.presence.looks(principal.workspace_id, principal.agent_id, before, conversation_id))

    def types(self, session: Session, conversation_id: UUID, on: bool) -> None:
        if not self._allowed(session):
            return
        principal = session.principal
        notice = TypingNotice(principal.agent_id, conversation_id, on)
        self._whisper(principal.workspace_id, notice, conversation_id, but=session)
        self._tell(
            _Told(
                node=self._node,
                workspace_id=principal.workspace_id,
                agent_id=principal.agent_id,
                typing_in=conversation_id,
                on=on,
            )
        )

    def repeat(self) -> None:
        """With every heartbeat: say again who is here, and forget whom nobody mentioned."""
        for sighting in self.presence.own():
            self._sighted(sighting)
        for workspace_id, notice in self.presence.forget_stale():
            self._whisper(workspace_id, notice)

    def _sighted(self, sighting: Sighting) -> None:
        for notice in self.presence.learn(self._node, sighting):
            self._whisper(sighting.workspace_id, notice)
        self._tell(
            _Told(
                node=self._node,
                workspace_id=sighting.workspace_id,
                agent_id=sighting.agent_id,
                online=sighting.online,
                viewing=frozenset(sorted(sighting.viewing)[:100]),
            )
        )

    def _heard(self, text: str) -> None:
        try:
            told = _Told.model_validate_json(text)
        except ValidationError:
            return  # from a newer version
        if told.typing_in is not None:
            notice = TypingNotice(told.agent_id, told.typing_in, told.on)
            self._whisper(told.workspace_id, notice, told.typing_in)
        elif told.online is not None:
            sighting = Sighting(told.workspace_id, told.agent_id, told.online, told.viewing)
            for change in self.presence.learn(told.node, sighting):
                self._whisper(told.workspace_id, change)

    def _whisper(
        self, workspace_id: UUID, notice: Ephemeral, conversation_id: UUID | None = None, *, but: Session | None = None
    ) -> None:
        if room := self._tails.find_room(workspace_id):
            room.whisper(framed(notice), conversation_id, but=but)

    def _tell(self, told: _Told) -> None:
        if self._relay is not None:
            self._relay.publish(told.model_dump_json(exclude_defaults=True))

    def _allowed(self, session: Session) -> bool:
        now = self._clock.monotonic()
        session.allowance = min(ALLOWANCE, session.allowance + (now - session.allowed_at) * PER_SECOND)
        session.allowed_at = now
        if session.allowance < 1:
            return False
        session.allowance -= 1
        return True
