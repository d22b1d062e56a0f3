"""Makes the workspace: the one thing that the API does not offer, as only who has the database may make a tenant.

The command needs seconds to load what it needs, and reads the password before it does anything. So it is begun beside
the server, and told the password once the server is ready; left without one, it does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import orjson

from inbox.demo.children import command
from inbox.demo.errors import DemoError
from inbox.demo.record import Record


class Founding:
    def __init__(self, record: Record, environment: Mapping[str, str]) -> None:
        self._record = record
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def prepare(self) -> None:
        admin = self._record.person("admin")
        arguments = ["workspace", "create", self._record.workspace, "--admin-email", admin.email]
        arguments += ["--admin-name", admin.name, "--password-stdin", "--json"]
        self._process = await asyncio.create_subprocess_exec(
            *command(arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._environment),
            start_new_session=True,
        )

    async def found(self) -> None:
        """Raises ``DemoError``."""
        if self._process is None:
            await self.prepare()
        process = self._process
        assert process is not None
        out, err = await process.communicate(f"{self._record.person('admin').password}\n".encode())
        if process.returncode != 0 or "workspace_id" not in orjson.loads(out or b"{}"):
            raise DemoError(f"the workspace could not be made: {err.decode(errors='replace').strip()}")
