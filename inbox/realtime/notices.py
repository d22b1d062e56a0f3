"""Typing, viewing and presence: to live readers of this node at once, to other nodes by the relay. Never stored."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from inbox.kernel.clock import Clock
from inbox.realtime.presence import Presence, Sighting
from inbox.realtime.protocol import PresenceNotice, TypingNotice, framed
from inbox.realtime.relay import Relay
from inbox.realtime.session import Session
from inbox.realtime.tail import Tails

GATHER_SECONDS: Final = 0.2
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
    """``grace`` is in seconds: see ``Pace``. Changes of presence are gathered for a moment and told in one frame."""

    def __init__(
        self, tails: Tails, presence: Presence, relay: Relay | None, clock: Clock, *, node: str, grace: float
    ) -> None:
        self.presence = presence
        self._tails = tails
        self._relay = relay
        self._clock = clock
        self._node = node
        self._grace = grace
        self._changed: dict[UUID, set[UUID]] = {}
        self._newcomers: dict[UUID, set[Session]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._goodbyes: dict[tuple[UUID, UUID], asyncio.TimerHandle] = {}
        if relay is not None:
            relay.subscribe(self._heard)

    def stop(self) -> None:
        for timer in (self._timer, *self._goodbyes.values()):
            if timer is not None:
                timer.cancel()
        self._goodbyes.clear()

    def arrived(self, session: Session) -> None:
        principal = session.principal
        if timer := self._goodbyes.pop((principal.workspace_id, principal.agent_id), None):
            timer.cancel()
        self._sighted(self.presence.arrived(principal.workspace_id, principal.agent_id))

    def newcomer(self, session: Session) -> None:
        """A reader went live: it is told everything about presence, soon."""
        self._newcomers.setdefault(session.principal.workspace_id, set()).add(session)
        self._tell_soon()

    def left(self, session: Session) -> None:
        principal = session.principal
        sighting = self.presence.left(principal.workspace_id, principal.agent_id, session.viewing)
        if sighting.online:
            self._sighted(sighting)
            return
        loop = asyncio.get_running_loop()
        whom = (principal.workspace_id, principal.agent_id)
        self._goodbyes[whom] = loop.call_later(self._grace, self._gone, sighting)

    def _gone(self, sighting: Sighting) -> None:
        self._goodbyes.pop((sighting.workspace_id, sighting.agent_id), None)
        self._sighted(sighting)

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
        self._type(principal.workspace_id, notice, but=(session,))
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
        for workspace_id, agent_id in self.presence.forget_stale():
            self._change(workspace_id, agent_id)

    def _sighted(self, sighting: Sighting) -> None:
        if self.presence.learn(self._node, sighting):
            self._change(sighting.workspace_id, sighting.agent_id)
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
            self._type(told.workspace_id, TypingNotice(told.agent_id, told.typing_in, told.on))
        elif told.online is not None:
            sighting = Sighting(told.workspace_id, told.agent_id, told.online, told.viewing)
            if self.presence.learn(told.node, sighting):
                self._change(told.workspace_id, told.agent_id)

    def _type(self, workspace_id: UUID, notice: TypingNotice, but: Collection[Session] = ()) -> None:
        if room := self._tails.find_room(workspace_id):
            room.whisper(framed(notice), notice.conversation_id, but=but)

    # --- presence, gathered -------------------------------------------------------------------------------------------

    def _change(self, workspace_id: UUID, agent_id: UUID) -> None:
        self._changed.setdefault(workspace_id, set()).add(agent_id)
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell_presence)

    def _tell_presence(self) -> None:
        """What changed to those who know the rest, everything to those who do not: few frames for many arrivals."""
        self._timer = None
        changed, self._changed = self._changed, {}
        newcomers, self._newcomers = self._newcomers, {}
        for workspace_id in changed.keys() | newcomers.keys():
            room = self._tails.find_room(workspace_id)
            if room is None:
                continue
            fresh = newcomers.get(workspace_id, set())
            missed: list[Session] = []
            if agent_ids := changed.get(workspace_id):
                notice = PresenceNotice(self.presence.states(workspace_id, agent_ids), full=False)
                missed += room.whisper(framed(notice), but=fresh)
            if fresh:
                everybody = self.presence.states(workspace_id, self.presence.online(workspace_id))
                full = framed(PresenceNotice(everybody, full=True))
                missed += [one for one in fresh if one.lane is not None and not room.whisper_to(one, full)]
            for session in missed:
                self.newcomer(session)  # busy now; told everything when it is less so

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
