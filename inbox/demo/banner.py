"""What a demo says once it is ready. Every line to try works as it stands when it is pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from inbox.demo.api import Json
from inbox.demo.record import FOLDER, Record

STORIES = """
  What to look at, in the lines below or with `watch`
    whatsapp     Grace Miller is told now, in 45 seconds, and tomorrow at ten: scheduled messages
    telegram     Tom Fischer goes through the sequence "Welcome"
    instagram    Prize Winners Ltd are blocked for two minutes; what they write is set aside
    messenger    a bot answers, and hands off to people whoever asks for one
"""
AT_THE_NEXT_FULL_MINUTE = '{"type": "recurring", "cron": "* * * * *", "count": 1, "zone": "UTC"}'


def banner(record: Record, folder: Path, *, seconds: float, per_minute: float, conversation: Json | None) -> str:
    url, inbox = record.url, program()
    where = "" if folder == FOLDER else f" --folder {shlex.quote(str(folder))}"
    people = "\n".join(f"    {each.role:<11} {each.email:<25} {each.password}" for each in record.people)
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
  API token    {record.token}   (the admin's)
{STORIES if per_minute else ""}
  Try in a second terminal
    {inbox} watch{where}
    {inbox} watch{where} --as supervisor
    {inbox} say{where} whatsapp "Hello"
    {inbox} say{where} messenger "What are your hours?"

    TOKEN='Authorization: Bearer {record.token}' JSON='Content-Type: application/json'
    curl -s {url}/v1/conversations -H "$TOKEN"
    curl -s {url}/v1/scheduled-messages -H "$TOKEN"
    curl -s {url}/v1/sequences -H "$TOKEN"
    curl -s {url}/v1/bots -H "$TOKEN"
{"" if conversation is None else _about(url, conversation)}
{talk} Ctrl-C stops everything; the data stays.
"""


def _about(url: str, conversation: Json) -> str:
    """Answer, now and at the next full minute; block and unblock."""
    thread, contact = f"{url}/v1/conversations/{conversation['id']}", f"{url}/v1/contacts/{conversation['contact_id']}"
    now = '{"parts": [{"type": "text", "text": "Hello from curl"}]}'
    later = f'{{"parts": [{{"type": "text", "text": "Still there?"}}], "when": {AT_THE_NEXT_FULL_MINUTE}}}'
    head = '-H "$TOKEN" -H "$JSON"'
    return f"""    curl -s {thread}/messages {head} -d '{now}'
    curl -s {thread}/scheduled-messages {head} -d '{later}'
    curl -s {contact}/block {head} -d '{{"reason": "Just trying"}}'
    curl -s {contact}/unblock {head} -X POST
    curl -s {contact}/paused -H "$TOKEN"
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
