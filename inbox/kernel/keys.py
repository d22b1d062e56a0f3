"""The keys that seal credentials: from the settings, or made once in the data folder; and the check that every node of
an installation has the same ones."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text

from inbox.kernel.connection import Connection
from inbox.kernel.schema import metadata
from inbox.kernel.secrets import KEY_BYTES, BadKey, CannotOpen, SecretBox, load_or_create_key
from inbox.kernel.settings import Settings

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Facts about the installation as a whole."""

CHECK = "key_check"
KEY_FILE = "secret.key"
LOCAL: Final = "local"
"""Id of the key that a node makes for itself."""

_HEXADECIMAL: Final = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}")
_FORMAT: Final = (
    f"write id:key, several with commas between; id is a short name, key is {KEY_BYTES} bytes in base64"
    " (openssl rand -base64 32) or in hexadecimal"
)


class WrongKey(BadKey):
    """The database was sealed with keys that this node does not have."""


def secret_box(settings: Settings) -> SecretBox:
    """Raises ``BadKey`` with what to do."""
    if settings.secret_keys is None:
        settings.data_folder.mkdir(parents=True, exist_ok=True)
        return SecretBox({LOCAL: load_or_create_key(settings.data_folder / KEY_FILE)}, LOCAL)
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(settings.secret_keys.get_secret_value().split(","), 1):
        # What stands before the colon may be the key itself, put in the wrong place: an error shows none of it.
        key_id, _, text = entry.strip().partition(":")
        keys[key_id] = key = _key(text)
        if len(key) != KEY_BYTES:
            raise BadKey(f"INBOX_SECRET_KEYS: entry {number} is not a name and a key; {_FORMAT}")
    try:
        return SecretBox(keys, next(iter(keys)))
    except BadKey as error:
        raise BadKey(f"INBOX_SECRET_KEYS: {error}; {_FORMAT}") from None


def _key(text: str) -> bytes:
    """The key that this spells, or bytes of another length. As many hexadecimal digits would be too long in base64."""
    if _HEXADECIMAL.fullmatch(text):
        return bytes.fromhex(text)
    with suppress(ValueError):
        return base64.b64decode(text, validate=True)
    return b""


async def check_keys(connection: Connection, box: SecretBox) -> None:
    """Raises ``WrongKey`` when another node sealed this database with other keys."""
    place = {"table": "installation", "row": CHECK, "column": "value"}
    sealed = box.seal(b"the keys fit", **place)
    kept = await connection.fetchval(
        """INSERT INTO installation AS i (name, value) VALUES ($1, $2)
           ON CONFLICT (name) DO UPDATE SET value = i.value RETURNING value""",
        CHECK,
        sealed,
    )
    try:
        box.open(kept, **place)
    except CannotOpen:
        raise WrongKey(
            "this database was sealed with other keys; give every node the same INBOX_SECRET_KEYS. A key that the first"
            f" node made for itself is in {KEY_FILE} in its data folder: copy the file (mode 0600) into the data folder"
            f" of every node, or set INBOX_SECRET_KEYS={LOCAL}:… everywhere, with its content after the colon"
        ) from None
