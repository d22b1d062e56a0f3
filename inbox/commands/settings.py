"""`inbox settings`: every setting with its meaning, its default and what it is now. Secrets are only said to be set."""

from __future__ import annotations

import click
import orjson
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from inbox.commands.installation import load_settings
from inbox.commands.reporting import reported
from inbox.kernel.settings import Settings


@click.command()
@click.option("--markdown", is_flag=True, help="As a table for documents, without the current values.")
@reported
def settings(markdown: bool) -> None:
    """List the settings: environment variable, current value, default, meaning."""
    fields = Settings.model_fields
    if markdown:
        click.echo("| variable | default | meaning |\n|---|---|---|")
        for name, field in fields.items():
            click.echo(f"| `{variable(name)}` | `{shown(default_of(field))}` | {field.description or ''} |")
        return
    current = load_settings()
    width = max(len(variable(name)) for name in fields)
    for name, field in fields.items():
        value, default = getattr(current, name), default_of(field)
        changed = value != default
        click.secho(f"{variable(name):{width}}  {shown(value)}", bold=changed, nl=False)
        click.echo(f"   (default {shown(default)})" if changed else "")
        if field.description:
            click.echo(f"{'':{width}}  {field.description}")


def variable(name: str) -> str:
    return f"INBOX_{name.upper()}"


def default_of(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True, validated_data={})


def shown(value: object) -> str:
    """As it would be written into the environment."""
    match value:
        case None:
            return "unset"
        case SecretStr():
            return "set"
        case tuple():
            return orjson.dumps(value, default=str).decode()
        case bool():
            return str(value).lower()
    return str(value)
