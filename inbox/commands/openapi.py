"""`inbox openapi`: the description of the API, from the code that answers it. Needs no database."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import orjson

from inbox.app import api_description, route_groups
from inbox.commands.reporting import reported
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime


@click.command()
@reported
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the REST API."""
    with tempfile.TemporaryDirectory() as folder:  # a runtime makes its key; this one is never used
        settings = Settings(data_folder=Path(folder), secret_keys=None)
        document = api_description(route_groups(Runtime(settings, "postgresql:///nowhere")))
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
