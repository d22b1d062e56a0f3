"""What the log says about agents and their workspace. Each event carries all of it: nobody needs a further request."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.agents.schemas import AgentView, WorkspaceDetail
from inbox.kernel.eventlog import Event


@dataclass(frozen=True, slots=True)
class AgentCreated:
    agent: AgentView


@dataclass(frozen=True, slots=True)
class AgentUpdated:
    agent: AgentView


@dataclass(frozen=True, slots=True)
class WorkspaceUpdated:
    workspace: WorkspaceDetail


EVENTS: dict[str, type] = {
    "agent.created": AgentCreated,
    "agent.updated": AgentUpdated,
    "workspace.updated": WorkspaceUpdated,
}


def created(workspace_id: UUID, agent: AgentView) -> Event:
    return Event.of(workspace_id, "agent.created", AgentCreated(agent))


def updated(workspace_id: UUID, agent: AgentView) -> Event:
    return Event.of(workspace_id, "agent.updated", AgentUpdated(agent))


def workspace_updated(workspace: WorkspaceDetail) -> Event:
    return Event.of(workspace.id, "workspace.updated", WorkspaceUpdated(workspace))
