"""`inbox demo` as a person runs it: real processes, all four channels there and back, stopped, and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
import pytest
from cluster import own_folder

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

KINDS = ("whatsapp", "messenger", "instagram", "telegram")
READY = "Ctrl-C stops everything"
PATIENCE = 60.0
Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class Program:
    """An `inbox` command that runs, and what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: Thread | None = None

    @classmethod
    def start(cls, *arguments: str, folder: Path, stdin: int = subprocess.DEVNULL) -> Program:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INBOX_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "inbox", *arguments],
            cwd=folder,
            env=environment | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        program = cls(process)
        program.reader = Thread(target=program._read, daemon=True)
        program.reader.start()
        return program

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def wait_for(self, words: str) -> str:
        """The first line with these words, from a program that may have ended after it."""

        def look() -> str | None:
            ended = self.reader is not None and not self.reader.is_alive()
            found = next((line for line in self.lines if words in line), None)
            if found is None and ended:
                pytest.fail(f"it ended without “{words}”:\n{self.output}")
            return found

        return until(look, lambda: self.output)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def until(look: Callable[[], T | None], explain: Callable[[], str]) -> T:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {PATIENCE:.0f} s for it in vain:\n{explain()}")


@dataclass
class Demo:
    """A demo in a folder of its own, with what it told about itself."""

    folder: Path
    program: Program

    @property
    def record(self) -> Json:
        found: Json = json.loads((self.folder / ".demo/demo.json").read_text())
        return found

    def call(self, path: str, body: Json | None = None) -> Json:
        record = self.record
        headers = {"Authorization": f"Bearer {record['token']}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(record["url"] + path, data, headers), timeout=30) as answer:  # noqa: S310
            found: Json = json.loads(answer.read())
        return found

    def conversations(self) -> list[Json]:
        found: list[Json] = self.call("/v1/conversations")["items"]
        return found

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.program.process.pid).children(recursive=True)

    def server(self) -> psutil.Process:
        return next(each for each in self.processes() if "serve" in each.cmdline())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Of one installation, which every test starts again."""
    with own_folder() as path:
        yield path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def run(*arguments: str, stdin: int = subprocess.DEVNULL, where: Path = folder) -> Program:
        started.append(Program.start(*arguments, folder=where, stdin=stdin))
        return started[-1]

    yield run
    for program in reversed(started):
        program.end()


@pytest.fixture
def demo(folder: Path, start: Callable[..., Program]) -> Demo:
    known = ("--simulator-port", "0") if not (folder / ".demo").exists() else ()
    program = start("demo", "--port", "0", *known, "--per-minute", "0")
    program.wait_for(READY)
    return Demo(folder, program)


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def events(program: Program) -> list[Json]:
    return [json.loads(line) for line in list(program.lines) if line.startswith("{")]


def of_kind(program: Program, kind: str) -> list[Json]:
    return [event for event in events(program) if event["kind"] == kind]


def received(program: Program) -> list[Json]:
    """Messages of customers; what the bot answers is another matter."""
    found = [event["data"]["message"] for event in of_kind(program, "message.created")]
    return [message for message in found if message["direction"] == "in"]


def statuses_of(program: Program, text: str) -> list[str]:
    messages = (event["data"]["message"] for event in of_kind(program, "message.created"))
    wanted = next(message["id"] for message in messages if message["parts"][0]["text"] == text)
    statuses = [event["data"] for event in of_kind(program, "message.status")]
    return [each["status"] for each in statuses if each["message_id"] == wanted]


def test_every_channel_there_and_back(demo: Demo, start: Callable[..., Program]) -> None:
    stream = start("watch", "--json")
    stream.wait_for('"start"')

    number = next(one for one in demo.call("/v1/channels")["items"] if one["kind"] == "whatsapp")
    assert demo.call(f"/v1/channels/{number['id']}/templates")["items"], "templates can be tried at once"
    checked = demo.call(f"/v1/channels/{number['id']}/check", {})
    assert "waba_id" not in json.dumps(checked["findings"]), "nothing is missing to look at the account"

    for kind in KINDS:
        assert start("say", kind, f"Hello by {kind}", "--as", "Zoë Test", "--wait", "0").process.wait(PATIENCE) == 0
    until(lambda: len(received(stream)) >= len(KINDS) or None, lambda: stream.output)

    came = received(stream)
    assert {message["parts"][0]["text"] for message in came} == {f"Hello by {kind}" for kind in KINDS}
    assert {item["id"] for item in demo.conversations()} == {message["conversation_id"] for message in came}

    # An agent picks the WhatsApp customer in a plain terminal and answers; the customer hears it.
    customer = start("say", "whatsapp", "Is anybody there?", "--as", "Zoë Test", "--wait", "50")
    agent = start("watch", "--as", "supervisor", stdin=subprocess.PIPE)
    agent.wait_for("Is anybody there?")
    listed = re.search(r"\[(\d+)\] whatsapp .*Is anybody there", agent.output)
    assert listed is not None
    agent.write(listed[1])
    agent.wait_for("--- Zoë Test ---")
    agent.write("Yes, I am \U0001f642")
    customer.wait_for("Yes, I am \U0001f642")
    assert customer.process.wait(PATIENCE) == 0
    agent.wait_for("read “Yes, I am \U0001f642”")
    agent.write("/close")
    agent.wait_for("is closed now")
    agent.write("/quit")
    assert agent.process.wait(PATIENCE) == 0

    assert statuses_of(stream, "Yes, I am \U0001f642") == ["sending", "sent", "delivered", "read"]
    assert "Yes, I am" in demo.program.output, "the demo's own lines show the answer too"

    processes = demo.processes()
    assert len(processes) >= 4, "server, simulator, bot and PostgreSQL"
    assert demo.program.stop() == 0
    assert gone(processes)


def test_a_killed_server_comes_back_and_the_stream_has_no_hole(demo: Demo, start: Callable[..., Program]) -> None:
    stream = start("watch", "--json")
    stream.wait_for('"start"')
    agent = start("watch", stdin=subprocess.PIPE)
    agent.wait_for("/help")

    before = len(of_kind(stream, "message.created"))
    start("say", "telegram", "before", "--wait", "0").process.wait(PATIENCE)
    until(lambda: len(of_kind(stream, "message.created")) > before or None, lambda: stream.output)
    demo.server().kill()
    start("say", "telegram", "while it is away", "--wait", "0").process.wait(PATIENCE)
    demo.program.wait_for("The server runs again.")
    start("say", "telegram", "after", "--wait", "0").process.wait(PATIENCE)
    until(lambda: len(of_kind(stream, "message.created")) >= before + 3 or None, lambda: stream.output)

    said = [event["data"]["message"]["parts"][0]["text"] for event in of_kind(stream, "message.created")]
    assert said[before:] == ["before", "while it is away", "after"]
    positions = [event["position"] for event in events(stream)]
    assert positions == sorted(set(positions))
    agent.wait_for("Connected again")
    agent.wait_for(": after")
    for words in ("before", "while it is away", "after"):
        assert len([line for line in agent.lines if line.endswith(f": {words}")]) == 1, agent.output


def test_another_start_goes_on_with_the_data(demo: Demo, start: Callable[..., Program]) -> None:
    said = start("say", "whatsapp", "Remember me", "--as", "Ida", "--wait", "0")
    assert said.process.wait(PATIENCE) == 0
    thread = until(
        lambda: next((one for one in demo.conversations() if one["last_message_preview"] == "Remember me"), None),
        lambda: demo.program.output,
    )
    record, count = demo.record, len(demo.conversations())
    assert demo.program.stop() == 0

    again = start("demo", "--port", "0", "--per-minute", "0")
    again.wait_for(READY)
    second = Demo(demo.folder, again)

    assert {**second.record, "url": ""} == {**record, "url": ""}
    assert len(second.conversations()) == count
    # The simulator, which forgot everything, was told who is in the inbox: an old conversation can be answered.
    sent = second.call(f"/v1/conversations/{thread['id']}/messages", {"parts": [{"type": "text", "text": "Of course"}]})
    until(
        lambda: second.call(f"/v1/messages/{sent['id']}")["status"] == "read" or None,
        lambda: str(second.call(f"/v1/messages/{sent['id']}")),
    )

    # A second demo in the folder is refused; a killed one leaves nothing behind.
    refused = start("demo")
    assert refused.process.wait(PATIENCE) == 1
    refused.wait_for("runs in .demo already, at http://127.0.0.1:")
    processes = second.processes()
    again.process.kill()
    assert gone(processes), "server, simulator, bot and PostgreSQL end with a demo that was killed"


def test_the_stories_are_told_once(start: Callable[..., Program]) -> None:
    """Scheduled message, sequence, bot and block: seen in the lines, and not again at a second start."""
    with own_folder() as folder:
        program = start("demo", "--port", "0", "--simulator-port", "0", "--per-minute", "1", where=folder)
        program.wait_for(READY)
        demo = Demo(folder, program)
        for words in (
            "Grace Miller · scheduled for",
            "Tom Fischer · in the sequence “Welcome” from now on, by Maya Agent; next is “hello” at",
            "Tom Fischer · “Welcome”: the step “hello” is sent; next is “delivery” at",
            "Prize Winners Ltd · blocked until",
            "Prize Winners Ltd · held back (the contact is blocked)",
            "Shop assistant (bot) → Bea Novak: We are here",
            "Bea Novak · the bot Shop assistant handed off to people",
            "Maya Agent → Bea Novak: Hello Bea",
            "Prize Winners Ltd · set aside, for supervisors alone (2 so far): “Last warning!!!”",
            "Grace Miller · sent as scheduled: “Your bicycle is ready",
        ):
            program.wait_for(words)
        told = everything_told(demo)
        assert program.stop() == 0

        again = start("demo", "--port", "0", "--per-minute", "1", where=folder)
        again.wait_for(READY)
        time.sleep(STORIES_BEGIN)
        assert everything_told(Demo(folder, again)) == told
        assert "does not go on" not in again.output
        assert again.stop() == 0


STORIES_BEGIN = 20.0
"""Seconds in which every story has begun, and would have said something again."""
PEOPLE = ("Grace Miller", "Tom Fischer", "Bea Novak", "Prize Winners Ltd")


def everything_told(demo: Demo) -> dict[str, list[object]]:
    """What people of the stories have said, been told, and have ahead of them."""
    told: dict[str, list[object]] = {}
    for name in PEOPLE:
        (contact,) = demo.call(f"/v1/contacts?search={quote(name)}")["items"]
        (thread,) = demo.call(f"/v1/conversations?contact_id={contact['id']}")["items"]
        messages = demo.call(f"/v1/conversations/{thread['id']}/messages?limit=100")["items"]
        path = f"/v1/contacts/{contact['id']}"
        told[name] = [
            [message["parts"][0]["text"] for message in messages],
            [each["preview"] for each in demo.call(f"{path}/scheduled-messages")["items"]],
            [each["sequence_name"] for each in demo.call(f"{path}/enrollments")["items"]],
            [each["parts"][0]["text"] for each in demo.call(f"{path}/set-aside")["items"]],
            contact["tags"],
        ]
    told["Tom Fischer"][0] = told["Tom Fischer"][0][:1]  # type: ignore[index]  # his sequence goes on, as it should
    return told
