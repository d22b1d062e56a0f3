"""The command line itself: every command can be loaded, mistakes are said in one line, secrets are never said."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from inbox.cli import COMMANDS, inbox
from inbox.commands.failures import Failure
from inbox.commands.installation import load_settings
from inbox.commands.listening import listen, url_of
from inbox.kernel.settings import Settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("INBOX_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(inbox, [name, "--help"])

    assert result.exit_code == 0, result.output
    assert f"Usage: inbox {name}" in result.output


def test_a_misspelt_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(inbox, ["serv"]).exit_code == 2


def test_speaking_as_a_customer_does_not_load_the_server() -> None:
    program = (
        "import sys, inbox.commands.say; print([m for m in ('sqlalchemy', 'asyncpg', 'uvicorn') if m in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout == "[]\n"


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_lists_all_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_DATABASE_URL", "postgresql://someone:hunter2@127.0.0.1/x")
    monkeypatch.setenv("INBOX_PORT", "9999")

    result = CliRunner().invoke(inbox, ["settings"])

    assert result.exit_code == 0, result.output
    assert all(f"INBOX_{name.upper()}" in result.output for name in Settings.model_fields)
    assert re.search(r"INBOX_PORT +9999   \(default 8080\)", result.output)
    assert re.search(r"INBOX_DATABASE_URL +set", result.output)
    assert "hunter2" not in result.output


def test_settings_as_a_table() -> None:
    result = CliRunner().invoke(inbox, ["settings", "--markdown"])

    rows = [line for line in result.output.splitlines() if line.startswith("| `INBOX_")]
    assert len(rows) == len(Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("INBOX_PORT", "eighty", "INBOX_PORT"),
        ("INBOX_DATABASE_CONNECTIONS", "1", "INBOX_DATABASE_CONNECTIONS"),
        ("INBOX_ALLOW_PRIVATE_NETWORKS", "[not json", "allow_private_networks"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)

    result = CliRunner().invoke(inbox, ["settings"])

    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_what_the_command_line_says_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_PORT", "1234")
    monkeypatch.setenv("INBOX_HOST", "127.0.0.9")

    settings = load_settings(port=4321, host=None)

    assert (settings.host, settings.port) == ("127.0.0.9", 4321)


# --- serving ----------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_DATA_FOLDER", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = CliRunner().invoke(inbox, ["serve", "--port", str(port)])

    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1 is in use" in result.output
    assert "What to do:" in result.output
    assert not list(tmp_path.iterdir()), "nothing may be started before the port is known to be free"


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(Failure, match=r"192\.0\.2\.1 is no address of this machine"), listen("192.0.2.1", 0):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_the_url_is_one_that_works_here(host: str) -> None:
    with listen(host, 0) as listener:
        listener.listen()
        url = url_of(listener)
        assert url.startswith("http://127.0.0.1:")
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5).close()


@pytest.mark.parametrize("arguments", [["serve", "--roles", "cook"], ["serve", "--port", "99999"]])
def test_a_wrong_option_of_serve(arguments: list[str]) -> None:
    result = CliRunner().invoke(inbox, arguments)

    assert result.exit_code == 1
    assert "a setting is not right" in result.output


def test_a_database_that_cannot_be_reached_is_one_line_without_the_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        environment = {**os.environ, "INBOX_DATABASE_URL": f"postgresql://someone:hunter2@127.0.0.1:{port}/x"}
        result = subprocess.run(
            [sys.executable, "-m", "inbox", "serve", "--port", "0"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert result.returncode == 1
    assert "the database cannot be reached" in result.stderr
    assert "INBOX_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_openapi_needs_no_database() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "inbox", "openapi"], capture_output=True, text=True, timeout=60, check=True
    )

    document = json.loads(result.stdout)
    assert document["openapi"] == "3.1.0"
    assert "/v1/conversations" in document["paths"]
    # Half a cursor, no permission, a cursor of before.
    assert {"400", "401", "403", "409"} <= document["paths"]["/v1/events"]["get"]["responses"].keys()


# --- other arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["migrate", "--check", "--revision", "x"], "do not go together"),
        (["replay", "--until", "2026-01-01"], "--until needs --since"),
        (["replay", "--since", "2026-01-01", "--reason", "unparsable"], "give one of them"),
        (["watch", "--once"], "go with --json"),
        (["watch", "--url", "http://127.0.0.1:1"], "--url needs --token"),
        (["watch", "--json", "--after", "7"], "not an epoch and a position"),
        (["say", "whatsapp"], "say what?"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(inbox, arguments)

    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("ran", "still_open", "said"),
    [
        (0, 0, "there is nothing to run again\n"),
        (1, 0, "1 webhook was run again; nothing is left in quarantine\n"),
        (3, 1, "3 webhooks were run again; 1 entry is still in quarantine, `inbox quarantine` lists it\n"),
        (3, 2, "3 webhooks were run again; 2 entries are still in quarantine, `inbox quarantine` lists them\n"),
        (0, 2, "there is nothing to run again; 2 entries are still in quarantine, `inbox quarantine` lists them\n"),
    ],
)
def test_replay_says_what_it_did_not_get_out_of_quarantine(
    ran: int, still_open: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inbox.commands.replay.on_runtime", lambda run: (ran, still_open))

    assert CliRunner().invoke(inbox, ["replay"]).output == said


@pytest.mark.parametrize("arguments", [["watch"], ["say", "whatsapp", "Hello"]])
def test_without_a_demo_the_way_to_one_is_told(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(inbox, [*arguments, "--folder", str(tmp_path)])

    assert result.exit_code == 1
    assert "there is no demo in" in result.output
    assert "make demo" in result.output


def test_a_failure_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Failure("it is broken.", "repair it").show()

    assert capsys.readouterr().err == "inbox: it is broken\n  What to do: repair it.\n"
    assert isinstance(Failure("x"), click.ClickException)
    assert Failure("x").exit_code == 1


def test_a_child_ends_when_the_pipe_of_its_parent_closes() -> None:
    program = (
        "import signal, sys, threading\n"
        "from inbox.commands.parent import end_with_parent\n"
        "told = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('told'), sys.exit(0)))\n"
        "end_with_parent(); print('up', flush=True)\n"
        "while True: told.wait(0.05)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    killer = threading.Timer(30, child.kill)
    killer.start()
    try:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "up\n"
        child.stdin.close()
        assert child.stdout.read() == "told\n"
        assert child.wait(10) == 0
    finally:
        killer.cancel()
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
