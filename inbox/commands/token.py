"""`inbox token create`: an API token for somebody who has none yet, by whoever may read the database anyway."""

from __future__ import annotations

from uuid import UUID

import click
import orjson

from inbox.agents.principal import Principal
from inbox.agents.schemas import AgentView, TokenIn
from inbox.commands.failures import Failure
from inbox.commands.installation import on_runtime
from inbox.commands.reporting import reported
from inbox.runtime import Runtime

PAGE = 200
NOBODY = UUID(int=0)
"""In place of a token: whoever runs this command did not come with one."""


@click.group()
def token() -> None:
    """API tokens."""


@token.command()
@click.argument("workspace_id", type=click.UUID)
@click.argument("who", metavar="EMAIL|BOT")
@click.option("--name", default="command line", show_default=True, help="What the token is for.")
@click.option("--scope", "scopes", multiple=True, help="Only this permission; repeat for several. None: all.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@reported
def create(workspace_id: UUID, who: str, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make an API token for the person with this e-mail, or the bot with this name. It is shown once."""
    fields = TokenIn.model_validate({"name": name, "scopes": scopes})

    async def make(runtime: Runtime) -> dict[str, str]:
        agent = await _find(runtime, workspace_id, who)
        caller = Principal(workspace_id, agent.id, agent.name, agent.role, NOBODY)
        created = await runtime.tokens.create(caller, fields)
        return {"token": created.secret, "token_id": str(created.token.id), "agent_id": str(agent.id)}

    made = on_runtime(make)
    click.echo(orjson.dumps(made) if as_json else made["token"])


async def _find(runtime: Runtime, workspace_id: UUID, who: str) -> AgentView:
    reader = Principal(workspace_id, NOBODY, "command line", "admin", NOBODY)
    after: UUID | None = None
    while page := await runtime.agents.list(reader, after=after, limit=PAGE):
        for agent in page:
            if who.lower() == agent.email or (agent.role == "bot" and agent.name == who):
                return agent
        after = page[-1].id
    raise Failure(f"nobody in workspace {workspace_id} has the e-mail, and no bot the name, {who}")
