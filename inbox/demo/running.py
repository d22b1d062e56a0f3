"""Runs a demo: its child processes, everything they need, a line per message, and one Ctrl-C that ends it all.

The server and the simulator are the same programs that `inbox serve` and `inbox simulator` are, and the bot is the one
of the documentation. A child that dies is started again; when we die, however, all see their pipe close and stop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from channels.simulator.client import SimulatorClient
from inbox.demo.api import Api, Json
from inbox.demo.banner import banner
from inbox.demo.children import Child, command, script
from inbox.demo.equipment import PROGRAM, publish_sequence, register_bot
from inbox.demo.errors import Away, DemoError, Refused
from inbox.demo.feed import Feed
from inbox.demo.founding import Founding
from inbox.demo.ports import choose_port, is_free, port_of
from inbox.demo.record import Record, find_record, new_record
from inbox.demo.seeding import Seeding
from inbox.demo.stories import Stories
from inbox.kernel.postgres_home import try_lock

API_PORT, SIMULATOR_PORT, BOT_PORT = 8080, 8081, 8082
SECONDS_TO_START = 120.0
SECONDS_TO_FIRST_MESSAGE = 10.0
CUSTOMERS = 8
KEPT_SETTINGS = ("INBOX_POSTGRES_BINARIES", "INBOX_LOG_LEVEL", "INBOX_LOG_FORMAT")
"""Of the caller's environment: a demo must not write into the database of somebody's real installation."""
MOST_DEATHS, DEATHS_WITHIN = 4, 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says."""

    folder: Path
    host: str
    port: int | None
    simulator_port: int | None
    per_minute: float
    quiet: bool
    colour: bool


class Demo:
    def __init__(self, wish: Wish, say: Say) -> None:
        self._wish = wish
        self._say = say
        self._stop = asyncio.Event()
        self._children: list[Child] = []
        self._record: Record
        self._api: Api
        self._bot_port: int

    async def run(self) -> None:
        """Until a signal. Raises ``DemoError``."""
        folder = self._wish.folder
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder / "demo.lock")
        if lock is None:
            running = find_record(folder)
            raise DemoError(f"a demo runs in {folder} already{f', at {running.url}' if running else ''}")
        try:
            await self._until_stopped()
        finally:
            os.close(lock)

    async def _until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        work = loop.create_task(self._work(), name="demo")
        stopped = loop.create_task(self._stop.wait(), name="stopped")
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            stopped.cancel()
            work.cancel()
            await asyncio.wait([work])
            await asyncio.gather(*(child.stop() for child in self._children))

    def _signalled(self) -> None:
        if self._stop.is_set():
            for child in self._children:
                child.tell_to_stop()
            return
        self._stop.set()
        self._say("\nStopping … (Ctrl-C again to hurry)")

    async def _work(self) -> None:
        started = time.monotonic()
        folder = self._wish.folder
        first = find_record(folder)
        self._say("Starting the demo …" if first else "Starting the demo for the first time …")
        self._record = first or new_record()
        self._place()
        self._record.save(folder)
        server, simulator = self._make_children()
        async with Api(self._record.url) as self._api, Founding(self._record, self._environment()) as founding:
            if first is None:
                await founding.prepare()
            await asyncio.gather(self._begin(simulator), self._begin(server))
            await self._log_in(founding)
            seeding = Seeding(self._api, self._record, folder)
            await seeding.run()
            await publish_sequence(self._api)
            _, bot = await asyncio.gather(seeding.connect(), self._begin_bot())
            await self._chatter()
            self._say(
                banner(
                    self._record,
                    folder,
                    seconds=time.monotonic() - started,
                    per_minute=self._wish.per_minute,
                    conversation=await self._some_conversation(),
                )
            )
            async with asyncio.TaskGroup() as tasks:
                for child in self._children:
                    tasks.create_task(self._keep(child, seeding))
                if not self._wish.quiet:
                    tasks.create_task(Feed(self._api, self._say, colour=self._wish.colour).run())
                if self._wish.per_minute:
                    tasks.create_task(self._tell_stories(bot=bot))

    # --- places -------------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Channels keep pointing to the simulator's port of the first start; the server's may change."""
        record, wish = self._record, self._wish
        kept, wanted = port_of(record.simulator_url), wish.simulator_port
        if kept is not None and wanted not in (None, kept):
            raise DemoError(
                f"the channels of this demo are connected to a simulator at port {kept}",
                f"leave --simulator-port out, or move {wish.folder} away to begin with a new demo",
            )
        if kept is not None and not is_free(kept):
            raise DemoError(
                f"port {kept}, where the channels of this demo expect the simulator, is in use",
                f"stop the other program, or start a demo elsewhere with --folder ({wish.folder} keeps its data)",
            )
        simulator_port = kept or self._choose("the simulator", wanted, SIMULATOR_PORT, but=wish.port or 0)
        port = self._choose("the server", wish.port, API_PORT, but=simulator_port)
        record.simulator_url = f"http://127.0.0.1:{simulator_port}"
        record.url = f"http://127.0.0.1:{port}"

    def _choose(self, what: str, wanted: int | None, pleasant: int, *, but: int) -> int:
        if wanted is not None and wanted != 0:
            if not is_free(wanted):
                raise DemoError(f"port {wanted} is in use", "choose another one, or leave the option out")
            return wanted
        port = choose_port(0 if wanted == 0 else pleasant, but=but)
        if port != pleasant and wanted is None:
            self._say(f"Port {pleasant} is in use: {what} takes {port}.")
        return port

    def _make_children(self) -> tuple[Child, Child]:
        wish, environment = self._wish, self._environment()
        port, simulator_port = str(port_of(self._record.url)), str(port_of(self._record.simulator_url))
        serve = command(["serve", "--host", wish.host, "--port", port, "--end-with-parent"])
        server = Child("server", serve, environment, wish.folder / "server.log")
        play = command(["simulator", "--port", simulator_port, "--end-with-parent"])
        simulator = Child("simulator", play, environment, wish.folder / "simulator.log")
        self._children = [server, simulator]
        return server, simulator

    def _environment(self) -> Mapping[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("INBOX_") or name in KEPT_SETTINGS
        }
        return kept | {
            "INBOX_DATA_FOLDER": str((self._wish.folder / "data").resolve()),
            "INBOX_ALLOW_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
            "PYTHONUNBUFFERED": "1",
        }

    # --- getting ready ------------------------------------------------------------------------------------------------

    async def _begin(self, child: Child) -> None:
        await child.start()
        if not await self._comes_up(child):
            problem = "does not answer" if child.running else "did not start"
            raise DemoError(f"the {child.name} {problem}; {child.log_file} ends with:\n{child.last_words()}")

    async def _comes_up(self, child: Child) -> bool:
        deadline = time.monotonic() + SECONDS_TO_START
        while not await self._answers(child):
            if not child.running or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _answers(self, child: Child) -> bool:
        if child.name == "server":
            return await self._api.alive()
        if child.name == "bot":
            return not is_free(self._bot_port)
        async with SimulatorClient(self._record.simulator_url) as simulator:
            try:
                await simulator.health()
            except (aiohttp.ClientError, OSError):
                return False
        return True

    async def _begin_bot(self) -> bool:
        """Whether there is one."""
        if not PROGRAM.exists():
            return False
        self._bot_port = choose_port(BOT_PORT)
        url = f"http://127.0.0.1:{self._bot_port}"
        bot = await register_bot(self._api, self._record, self._wish.folder, url)
        environment = {**self._environment(), "BOT_SECRET": bot.secret, "BOT_TOKEN": bot.token}
        environment["INBOX_URL"] = self._record.url
        child = Child("bot", script(PROGRAM, str(self._bot_port)), environment, self._wish.folder / "bot.log")
        self._children.append(child)
        await self._begin(child)
        return True

    async def _log_in(self, founding: Founding) -> None:
        """As the admin, who is made with the workspace on the first start."""
        admin = self._record.person("admin")
        try:
            await self._api.log_in(admin.email, admin.password)
        except Refused as refused:
            if refused.status != 401:
                raise
            await founding.found()
            await self._api.log_in(admin.email, admin.password)

    async def _chatter(self) -> None:
        async with SimulatorClient(self._record.simulator_url) as simulator:
            await simulator.chatter(per_minute=self._wish.per_minute, customers=CUSTOMERS)

    async def _some_conversation(self) -> Json | None:
        """The newest one, waiting for the first message to come all the way in."""
        deadline = time.monotonic() + (SECONDS_TO_FIRST_MESSAGE if self._wish.per_minute else 0)
        while True:
            page = await self._api.get("/v1/conversations")
            if page["items"]:
                newest: Json = page["items"][0]
                return newest
            if time.monotonic() >= deadline:
                if self._wish.per_minute:
                    self._say(f"No message came in so far; {self._wish.folder / 'server.log'} may say why.")
                return None
            await asyncio.sleep(0.1)

    async def _tell_stories(self, *, bot: bool) -> None:
        async with Api(self._record.url) as api:
            agent = self._record.person("agent")
            await api.log_in(agent.email, agent.password)
            await Stories(api, self._record, self._say, bot=bot).run()

    # --- staying there ------------------------------------------------------------------------------------------------

    async def _keep(self, child: Child, seeding: Seeding) -> None:
        deaths: list[float] = []
        while True:
            code = await child.wait()
            deaths = [at for at in deaths if time.monotonic() - at < DEATHS_WITHIN] + [time.monotonic()]
            if len(deaths) >= MOST_DEATHS:
                raise DemoError(f"the {child.name} keeps ending; {child.log_file} ends with:\n{child.last_words()}")
            self._say(f"The {child.name} ended by itself ({code}) and is started again.")
            await asyncio.sleep(len(deaths) - 1)
            await child.start()
            if not await self._comes_up(child):
                continue  # counted as another death
            if child.name == "simulator":
                await self._reconnect(seeding)
            self._say(f"The {child.name} runs again.")

    async def _reconnect(self, seeding: Seeding) -> None:
        while True:
            try:
                await seeding.connect()
                break
            except Away:  # the server is down too, and brought back beside us
                await asyncio.sleep(1)
        await self._chatter()
