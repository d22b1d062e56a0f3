"""What a demo remembers in its folder: log-ins, tokens and the simulated accounts. Only its owner may read it.

Everything random is drawn before anything is made with it, so an interrupted start is simply continued by the next.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from inbox.demo.errors import DemoError

FILE = "demo.json"
FOLDER = Path(".demo")
PASSWORD_BYTES = 9

Kind = Literal["whatsapp", "messenger", "instagram", "telegram"]
Role = Literal["admin", "supervisor", "agent"]


class Person(BaseModel):
    role: Role
    name: str
    email: str
    password: str


class DemoChannel(BaseModel):
    """``account_id`` and ``token`` are what the simulator knows the business by."""

    kind: Kind
    name: str
    account_id: str
    token: str

    @property
    def options(self) -> dict[str, str]:
        """Facts of the kind, for the channel; the simulator is told the same owner of the number."""
        match self.kind:
            case "whatsapp":
                return {"waba_id": f"9{self.account_id}"}
            case "instagram":
                return {"stack": "login"}
            case _:
                return {}


class Bot(BaseModel):
    """The example bot's credentials, as they were shown when it was registered."""

    secret: str
    token: str


class Record(BaseModel):
    """``token`` calls the API as the admin."""

    url: str
    simulator_url: str
    workspace: str = "Demo"
    people: list[Person]
    token: str | None = None
    bot: Bot | None = None
    app_secret: str
    verify_token: str
    telegram_secret: str
    channels: list[DemoChannel]

    def person(self, role: Role) -> Person:
        return next(person for person in self.people if person.role == role)

    def channel(self, wanted: str) -> DemoChannel:
        """By kind or name. Raises ``DemoError``."""
        for channel in self.channels:
            if wanted.lower() in (channel.kind, channel.name.lower()):
                return channel
        raise DemoError(f"the demo has no channel {wanted}", "choose " + ", ".join(each.kind for each in self.channels))

    def save(self, folder: Path) -> None:
        """Complete or not at all."""
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=2) + "\n")
        os.replace(name, folder / FILE)


def find_record(folder: Path) -> Record | None:
    """Raises ``DemoError`` for one that cannot be read."""
    try:
        return Record.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DemoError(
            f"{folder / FILE} cannot be read ({type(error).__name__})",
            f"move {folder} away to begin with a new demo",
        ) from None


def get_record(folder: Path) -> Record:
    """Raises ``DemoError`` where no demo was started yet."""
    record = find_record(folder)
    if record is None:
        raise DemoError(
            f"there is no demo in {folder}",
            "start one with `make demo` or `inbox demo`, be in the folder where you did, or say --folder",
        )
    return record


def new_record() -> Record:
    bot_id = _digits(10)
    page_token = secrets.token_urlsafe(24)
    return Record(
        url="",
        simulator_url="",
        people=[
            _person("admin", "Ada Admin"),
            _person("supervisor", "Sam Supervisor"),
            _person("agent", "Maya Agent"),
        ],
        app_secret=secrets.token_hex(16),
        verify_token=secrets.token_urlsafe(12),
        telegram_secret=secrets.token_urlsafe(24),
        channels=[
            DemoChannel(kind="whatsapp", name="Shop", account_id=_digits(15), token=secrets.token_urlsafe(24)),
            DemoChannel(kind="messenger", name="Shop page", account_id=_digits(15), token=page_token),
            DemoChannel(kind="instagram", name="@shop", account_id=_digits(17), token=secrets.token_urlsafe(24)),
            DemoChannel(
                kind="telegram",
                name="Shop bot",
                account_id=bot_id,
                token=f"{bot_id}:{secrets.token_hex(18)[:35]}",
            ),
        ],
    )


def _person(role: Role, name: str) -> Person:
    return Person(role=role, name=name, email=f"{role}@demo.example", password=secrets.token_urlsafe(PASSWORD_BYTES))


def _digits(length: int) -> str:
    return str(secrets.randbelow(9 * 10 ** (length - 1)) + 10 ** (length - 1))
