"""`inbox workspace create`: a tenant with its first admin. Everything else an admin does over the API."""

from __future__ import annotations

import secrets
import sys

import click
import orjson

from inbox.commands.installation import on_runtime
from inbox.commands.reporting import reported
from inbox.runtime import Runtime

GENERATED_BYTES = 12


@click.group()
def workspace() -> None:
    """Workspaces (tenants)."""


@workspace.command()
@click.argument("name")
@click.option("--admin-email", required=True, help="With which the first admin logs in.")
@click.option("--admin-name", default="Admin", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; otherwise one is made.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@reported
def create(name: str, admin_email: str, admin_name: str, password_stdin: bool, as_json: bool) -> None:
    """Make a workspace and its first admin."""
    given = sys.stdin.readline().rstrip("\n") if password_stdin else None
    if given == "":
        raise click.UsageError("there is no password on standard input")
    password = given if given is not None else secrets.token_urlsafe(GENERATED_BYTES)

    async def make(runtime: Runtime) -> dict[str, str]:
        made = await runtime.workspaces.create_workspace(name, admin_name, admin_email, password)
        return {"workspace_id": str(made.workspace.id), "agent_id": str(made.admin.id), "email": str(made.admin.email)}

    made = on_runtime(make)
    if given is None:
        made["password"] = password
    if as_json:
        click.echo(orjson.dumps(made))
        return
    click.echo(f"workspace {made['workspace_id']}: {name}")
    click.echo(f"admin     {made['email']}" + ("" if given is not None else f"  password {password}  (shown once)"))
