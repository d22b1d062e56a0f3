"""What a demo says once it is ready. Every line to try works as it stands when it is pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from inbox.demo.record import FOLDER, Record


def banner(record: Record, folder: Path, *, seconds: float, per_minute: float, conversation_id: str | None) -> str:
    url, inbox = record.url, program()
    where = "" if folder == FOLDER else f" --folder {shlex.quote(str(folder))}"
    people = "\n".join(f"    {each.role:<11} {each.email:<25} {each.password}" for each in record.people)
    header = f"-H 'Authorization: Bearer {record.bot_token}'"
    reply = ""
    if conversation_id is not None:
        body = """-H 'Content-Type: application/json' -d '{"parts": [{"type": "text", "text": "Hello from curl"}]}'"""
        reply = f"\n    curl -s {url}/v1/conversations/{conversation_id}/messages {header} {body}"
    talk = (
        f"Simulated customers write about {per_minute:g} times a minute (--per-minute)."
        if per_minute
        else "Nobody writes by themselves (--per-minute 0)."
    )
    return f"""
The inbox is running, with four simulated channels. ({seconds:.1f} s)

  API          {url}   described at {url}/openapi.json
  Simulator    {record.simulator_url}   plays WhatsApp, Messenger, Instagram and Telegram
  Data         {folder}   logs: {folder / "server.log"}, {folder / "simulator.log"}

  Log-ins
{people}
  Bot token    {record.bot_token}

  Try in a second terminal
    {inbox} watch{where}
    {inbox} say{where} whatsapp "Hello"
    curl -s {url}/v1/conversations {header}{reply}

{talk} Ctrl-C stops everything; the data stays.
"""


def program() -> str:
    """How to call `inbox` from where the user stands."""
    script = Path(sys.executable).with_name("inbox")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m inbox"
    found = shutil.which("inbox")
    if found is not None and os.path.realpath(found) == os.path.realpath(script):
        return "inbox"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
