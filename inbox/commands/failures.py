"""What went wrong, in one line, with what to do about it: nobody should have to read a traceback to start a server.

click.ClickException
└── Failure   exit code 1; the reason, and optionally the way out
"""

from __future__ import annotations

from typing import IO, Any

import click


class Failure(click.ClickException):
    def __init__(self, reason: str, what_to_do: str | None = None) -> None:
        super().__init__(reason.rstrip("."))
        self.what_to_do = what_to_do

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"inbox: {self.format_message()}", file=file, err=file is None)
        if self.what_to_do:
            click.echo(f"  What to do: {self.what_to_do.rstrip('.')}.", file=file, err=file is None)
