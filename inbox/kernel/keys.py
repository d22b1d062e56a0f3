"""The keys that seal credentials: from the settings, or made once in the data folder; and the check that every node of
an installation has the same ones."""

from __future__ import annotations

import base64
import binascii

from sqlalchemy import Column, LargeBinary, Table, Text

from inbox.kernel.connection import Connection
from inbox.kernel.schema import metadata
from inbox.kernel.secrets import BadKey, CannotOpen, SecretBox, load_or_create_key
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


class WrongKey(BadKey):
    """The database was sealed with keys that this node does not have."""


def secret_box(settings: Settings) -> SecretBox:
    """Raises ``BadKey`` with what to do."""
    if settings.secret_keys is None:
        settings.data_folder.mkdir(parents=True, exist_ok=True)
        return SecretBox({"local": load_or_create_key(settings.data_folder / KEY_FILE)}, "local")
    keys: dict[str, bytes] = {}
    for entry in settings.secret_keys.get_secret_value().split(","):
        key_id, _, text = entry.strip().partition(":")
        try:
            keys[key_id] = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise BadKey(f"INBOX_SECRET_KEYS: key {key_id[:64]!r} is not base64; write 'id:base64,…'") from None
    return SecretBox(keys, next(iter(keys)))


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
            "this database was sealed with other keys; give every node the same INBOX_SECRET_KEYS,"
            f" or the {KEY_FILE} of the first node's data folder"
        ) from None
