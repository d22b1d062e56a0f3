"""The command line: which commands there are. A module is imported when its command is called, not before.

So ``inbox say`` does not wait for the server's libraries, and the server does not carry the demo's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

import click

STARTED = time.monotonic()
"""As early as we can tell: what `inbox serve` counts its time to ready from."""

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "inbox.commands.demo:demo",
        "watch": "inbox.commands.watch:watch",
        "say": "inbox.commands.say:say",
        "serve": "inbox.commands.serve:serve",
        "migrate": "inbox.commands.migrate:migrate",
        "workspace": "inbox.commands.workspace:workspace",
        "token": "inbox.commands.token:token",
        "channel": "inbox.commands.channel:channel",
        "quarantine": "inbox.commands.replay:quarantine",
        "replay": "inbox.commands.replay:replay",
        "settings": "inbox.commands.settings:settings",
        "openapi": "inbox.commands.openapi:openapi",
        "simulator": "inbox.commands.simulator:simulator",
    }
)
"""In the order in which `inbox --help` lists them."""


@dataclass(frozen=True, slots=True)
class Start:
    """What every command may ask the context for."""

    at: float


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="omnichannel-inbox", prog_name="inbox")
@click.pass_context
def inbox(context: click.Context) -> None:
    """One inbox for WhatsApp, Messenger, Instagram and Telegram.

    Settings come from the environment (INBOX_…); `inbox settings` lists them.
    """
    context.obj = Start(STARTED)


def main() -> None:
    inbox(prog_name="inbox")
