"""What the log says about agents. Each event carries the whole agent, so that a client needs no further request."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.agents.schemas import AgentView
from inbox.kernel.eventlog import Event


@dataclass(frozen=True, slots=True)
class AgentCreated:
    agent: AgentView


@dataclass(frozen=True, slots=True)
class AgentUpdated:
    agent: AgentView


EVENTS: dict[str, type] = {
    "agent.created": AgentCreated,
    "agent.updated": AgentUpdated,
}


def created(workspace_id: UUID, agent: AgentView) -> Event:
    return Event.of(workspace_id, "agent.created", AgentCreated(agent))


def updated(workspace_id: UUID, agent: AgentView) -> Event:
    return Event.of(workspace_id, "agent.updated", AgentUpdated(agent))
