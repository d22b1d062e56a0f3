"""Who is online and what they look at, over all nodes, without a table: nodes tell each other and forget by time.

Each node repeats what it knows of its own sockets with every heartbeat; what was not repeated for a while is gone. So a
node that dies takes its agents offline by itself, and a lost message is repaired by the next beat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from inbox.kernel.clock import Clock
from inbox.realtime.protocol import Present


@dataclass(frozen=True, slots=True)
class Sighting:
    """One agent as one node sees it. Not online: no socket of theirs is left there."""

    workspace_id: UUID
    agent_id: UUID
    online: bool
    viewing: frozenset[UUID] = frozenset()


class Presence:
    """``expires`` is in seconds. Methods that learn something say whose state, as seen over all nodes, that changed."""

    def __init__(self, clock: Clock, *, expires: float) -> None:
        self._clock = clock
        self._expires = expires
        self._sockets: dict[tuple[UUID, UUID], Counter[UUID | None]] = {}
        # (workspace, agent) -> node -> what it looks at there, and until when that is believed
        self._seen: dict[UUID, dict[UUID, dict[str, tuple[frozenset[UUID], float]]]] = {}

    # --- sockets of this node -----------------------------------------------------------------------------------------

    def arrived(self, workspace_id: UUID, agent_id: UUID) -> Sighting:
        self._sockets.setdefault((workspace_id, agent_id), Counter())[None] += 1
        return self._sighting(workspace_id, agent_id)

    def looks(self, workspace_id: UUID, agent_id: UUID, before: UUID | None, now: UUID | None) -> Sighting:
        views = self._sockets[workspace_id, agent_id]
        views[before] -= 1
        views[now] += 1
        return self._sighting(workspace_id, agent_id)

    def left(self, workspace_id: UUID, agent_id: UUID, viewing: UUID | None) -> Sighting:
        views = self._sockets[workspace_id, agent_id]
        views[viewing] -= 1
        if not views.total():
            del self._sockets[workspace_id, agent_id]
        return self._sighting(workspace_id, agent_id)

    def own(self) -> Iterator[Sighting]:
        """Everybody with a socket on this node, to be repeated to the others."""
        for workspace_id, agent_id in list(self._sockets):
            yield self._sighting(workspace_id, agent_id)

    def _sighting(self, workspace_id: UUID, agent_id: UUID) -> Sighting:
        views = self._sockets.get((workspace_id, agent_id))
        if views is None:
            return Sighting(workspace_id, agent_id, False)
        return Sighting(workspace_id, agent_id, True, frozenset(one for one, n in views.items() if one and n > 0))

    # --- all nodes ----------------------------------------------------------------------------------------------------

    def learn(self, node: str, sighting: Sighting) -> bool:
        """Whether this changed the agent's state."""
        agents = self._seen.setdefault(sighting.workspace_id, {})
        nodes = agents.setdefault(sighting.agent_id, {})
        before = _state(sighting.agent_id, nodes)
        if sighting.online:
            nodes[node] = (sighting.viewing, self._clock.monotonic() + self._expires)
        else:
            nodes.pop(node, None)
        if not nodes:
            del agents[sighting.agent_id]
            if not agents:
                del self._seen[sighting.workspace_id]
        return _state(sighting.agent_id, nodes) != before

    def forget_stale(self) -> list[tuple[UUID, UUID]]:
        """Drop what no node repeated in time; answers workspace and agent of those whose state changed by that."""
        now = self._clock.monotonic()
        stale = [
            (node, Sighting(workspace_id, agent_id, False))
            for workspace_id, agents in self._seen.items()
            for agent_id, nodes in agents.items()
            for node, (_, until) in nodes.items()
            if until < now
        ]
        return [(sighting.workspace_id, sighting.agent_id) for node, sighting in stale if self.learn(node, sighting)]

    def online(self, workspace_id: UUID) -> frozenset[UUID]:
        """Agents with a live socket on any node, as far as this node heard."""
        return frozenset(self._seen.get(workspace_id, {}))

    def states(self, workspace_id: UUID, agent_ids: Iterable[UUID]) -> list[Present]:
        agents = self._seen.get(workspace_id, {})
        return [_state(agent_id, agents.get(agent_id, {})) for agent_id in agent_ids]


def _state(agent_id: UUID, nodes: dict[str, tuple[frozenset[UUID], float]]) -> Present:
    viewing: frozenset[UUID] = frozenset().union(*(views for views, _ in nodes.values()))
    return Present(agent_id, bool(nodes), tuple(sorted(viewing)))
