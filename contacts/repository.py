"""The SQL of contacts, of their identities and of the addresses of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from channels.types import Address, Person
from contacts.schemas import AddressView, BlockView, ContactView, IdentityView
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """The identity behind an address, with what it is compared against."""

    identity_id: UUID
    contact_id: UUID
    name: str | None
    username: str | None
    language: str | None
    contact_name: str | None
    blocked: bool
    unreachable: str | None = None
    phone: str | None = None
    """Of the contact."""
    retired_at: datetime | None = None
    created: bool = False


@dataclass(frozen=True, slots=True)
class NewIdentity:
    identity_id: UUID
    contact_id: UUID
    provider: str
    person: Person


async def find_addresses(
    unit: UnitOfWork, workspace_id: UUID, addresses: Sequence[Address], *, hold: bool = False
) -> dict[Address, KnownAddress]:
    """``hold``: none of these contacts is blocked or unblocked before this transaction ends."""
    found = await unit.fetch(
        f"""
        SELECT a.kind, a.scope, a.value, i.id, i.contact_id, i.name, i.username, i.language, c.name,
               c.blocked_at IS NOT NULL, i.unreachable, c.phone, a.retired_at
        FROM unnest($2::text[], $3::text[], $4::text[]) AS wanted (kind, scope, value)
        JOIN addresses a ON a.workspace_id = $1 AND a.kind = wanted.kind AND a.scope = wanted.scope
                        AND a.value = wanted.value
        JOIN identities i ON i.workspace_id = $1 AND i.id = a.identity_id
        JOIN contacts c ON c.workspace_id = $1 AND c.id = i.contact_id
        {"FOR KEY SHARE OF c" if hold else ""}
        """,
        workspace_id,
        [address.kind for address in addresses],
        [address.scope for address in addresses],
        [address.value for address in addresses],
    )
    return {Address(row[0], row[1], row[2]): KnownAddress(*tuple(row)[3:]) for row in found}


async def claim_addresses(unit: UnitOfWork, workspace_id: UUID, claims: Sequence[tuple[Address, UUID]]) -> int:
    """How many of the claims succeeded. Waits for other transactions that claim the same."""
    won = await unit.fetch(
        """
        INSERT INTO addresses (workspace_id, kind, scope, value, identity_id)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[])
        ON CONFLICT DO NOTHING RETURNING 1
        """,
        workspace_id,
        [address.kind for address, _ in claims],
        [address.scope for address, _ in claims],
        [address.value for address, _ in claims],
        [identity_id for _, identity_id in claims],
    )
    return len(won)


async def insert_people(
    unit: UnitOfWork, workspace_id: UUID, people: Sequence[NewIdentity], claims: Sequence[tuple[Address, UUID]]
) -> tuple[int, list[ContactView]]:
    """Write people nobody knew together with the claims, in one round trip. How many of the claims succeeded."""
    found = await unit.fetch(
        f"""
        WITH won AS (
            INSERT INTO addresses (workspace_id, kind, scope, value, identity_id)
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[])
            ON CONFLICT DO NOTHING RETURNING 1
        ), made AS (
            INSERT INTO contacts AS c (workspace_id, id, name, first_name, last_name, phone, language, avatar_url)
            SELECT $1, * FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::text[])
            RETURNING {COLUMNS}
        ), identified AS (
            INSERT INTO identities (workspace_id, id, contact_id, provider, name, username, language, is_group)
            SELECT $1, * FROM unnest($13::uuid[], $6::uuid[], $14::text[], $15::text[], $16::text[], $11::text[],
                $17::bool[])
        )
        SELECT (SELECT count(*) FROM won), made.* FROM made
        """,
        workspace_id,
        [address.kind for address, _ in claims],
        [address.scope for address, _ in claims],
        [address.value for address, _ in claims],
        [identity_id for _, identity_id in claims],
        [new.contact_id for new in people],
        [new.person.name or new.person.username for new in people],
        [new.person.first_name for new in people],
        [new.person.last_name for new in people],
        [new.person.phone for new in people],
        [new.person.language for new in people],
        [new.person.avatar_url for new in people],
        [new.identity_id for new in people],
        [new.provider for new in people],
        [new.person.name for new in people],
        [new.person.username for new in people],
        [new.person.is_group for new in people],
    )
    return found[0][0], [view(tuple(row)[1:]) for row in found]


async def refresh_identity(unit: UnitOfWork, workspace_id: UUID, known: KnownAddress, person: Person) -> bool:
    """Take over a changed name, user name or language. Returns whether the contact changed too.

    The contact follows only where it still says what the channel said before: what a person typed is not overwritten.
    """
    name, username, language = person.name or known.name, person.username or known.username, person.language
    language = language or known.language
    if (name, username, language) == (known.name, known.username, known.language):
        return False
    await unit.execute(
        "UPDATE identities SET name = $3, username = $4, language = $5 WHERE workspace_id = $1 AND id = $2",
        workspace_id,
        known.identity_id,
        name,
        username,
        language,
    )
    if name == known.name or known.contact_name not in (None, known.name, known.username):
        return False
    await unit.execute(
        """UPDATE contacts SET name = $3, first_name = coalesce($4, first_name), last_name = coalesce($5, last_name),
                  version = version + 1, updated_at = now()
           WHERE workspace_id = $1 AND id = $2""",
        workspace_id,
        known.contact_id,
        name,
        person.first_name,
        person.last_name,
    )
    return True


async def lock_identities(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> int:
    locked = await unit.fetch(
        "SELECT id FROM identities WHERE workspace_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE", workspace_id, ids
    )
    return len(locked)


async def move_addresses(unit: UnitOfWork, workspace_id: UUID, losers: Sequence[UUID], survivor: UUID) -> None:
    await unit.execute(
        "UPDATE addresses SET identity_id = $3 WHERE workspace_id = $1 AND identity_id = ANY($2)",
        workspace_id,
        losers,
        survivor,
    )


async def delete_identities(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> None:
    await unit.execute("DELETE FROM identities WHERE workspace_id = $1 AND id = ANY($2)", workspace_id, ids)


async def absorb_contact(unit: UnitOfWork, workspace_id: UUID, survivor: UUID, other: UUID) -> ContactView:
    """``other`` becomes ``survivor``: identities move over, empty fields are filled, the stricter block stays."""
    await unit.execute(
        "UPDATE identities SET contact_id = $3 WHERE workspace_id = $1 AND contact_id = $2",
        workspace_id,
        other,
        survivor,
    )
    row = await unit.fetchrow(
        f"""
        UPDATE contacts c SET
            name = coalesce(c.name, o.name), first_name = coalesce(c.first_name, o.first_name),
            last_name = coalesce(c.last_name, o.last_name), email = coalesce(c.email, o.email),
            phone = coalesce(c.phone, o.phone), language = coalesce(c.language, o.language),
            time_zone = coalesce(c.time_zone, o.time_zone),
            avatar_url = coalesce(c.avatar_url, o.avatar_url), custom = o.custom || c.custom,
            tags = c.tags || ARRAY(SELECT tag FROM unnest(o.tags) AS tag WHERE tag <> ALL (c.tags)),
            (blocked_at, blocked_by, blocked_reason, blocked_until) = (
                SELECT s.blocked_at, s.blocked_by, s.blocked_reason, s.blocked_until
                FROM contacts s WHERE s.workspace_id = $1 AND s.id IN ($2, $3)
                ORDER BY s.blocked_at IS NULL, s.blocked_until DESC NULLS FIRST, s.id = $2 DESC LIMIT 1
            ),
            version = c.version + 1, updated_at = now()
        FROM contacts o WHERE c.workspace_id = $1 AND c.id = $2 AND o.workspace_id = $1 AND o.id = $3
        RETURNING {COLUMNS}
        """,
        workspace_id,
        survivor,
        other,
    )
    await unit.execute(
        "UPDATE contacts SET merged_into = $3, version = version + 1, updated_at = now()"
        " WHERE workspace_id = $1 AND id = $2",
        workspace_id,
        other,
        survivor,
    )
    assert row is not None
    return view(row)


async def views(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[ContactView]:
    if not ids:
        return []
    found = await unit.fetch(
        f"SELECT {COLUMNS} FROM contacts c WHERE workspace_id = $1 AND id = ANY($2) ORDER BY id", workspace_id, ids
    )
    return [view(row) for row in found]


async def find(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, *, lock: bool = False) -> ContactView | None:
    """The contact; one that was merged leads to the contact it became."""
    row = await unit.fetchrow(
        f"SELECT {COLUMNS} FROM contacts c WHERE workspace_id = $1 AND id = $2{' FOR UPDATE' if lock else ''}",
        workspace_id,
        contact_id,
    )
    if row is None:
        return None
    found = view(row)
    if found.merged_into is not None:
        return await find(unit, workspace_id, found.merged_into, lock=lock)
    return found


async def page(
    unit: UnitOfWork, workspace_id: UUID, *, after: UUID | None, search: str | None, limit: int
) -> list[ContactView]:
    """Newest first, below ``after``. ``search`` looks in name, e-mail and phone."""
    pattern = None if search is None else f"%{search.translate(LIKE_ESCAPES)}%"
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM contacts c
        WHERE workspace_id = $1 AND merged_into IS NULL AND ($2::uuid IS NULL OR id < $2)
          AND ($3::text IS NULL OR name ILIKE $3 OR email ILIKE $3 OR phone ILIKE $3)
        ORDER BY id DESC LIMIT $4
        """,
        workspace_id,
        after,
        pattern,
        limit,
    )
    return [view(row) for row in found]


async def insert(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, fields: dict[str, object]) -> ContactView:
    columns = list(fields)
    row = await unit.fetchrow(
        f"""
        INSERT INTO contacts AS c (workspace_id, id{"".join(f", {column}" for column in columns)})
        VALUES ($1, $2{"".join(f", ${n}" for n in range(3, 3 + len(columns)))})
        RETURNING {COLUMNS}
        """,
        workspace_id,
        contact_id,
        *fields.values(),
    )
    assert row is not None
    return view(row)


async def update(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, fields: dict[str, object]) -> ContactView:
    assignments = "".join(f"{column} = ${n}, " for n, column in enumerate(fields, 3))
    row = await unit.fetchrow(
        f"""
        UPDATE contacts c SET {assignments} version = version + 1, updated_at = now()
        WHERE workspace_id = $1 AND id = $2 RETURNING {COLUMNS}
        """,
        workspace_id,
        contact_id,
        *fields.values(),
    )
    assert row is not None
    return view(row)


async def show_picture(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, version: str) -> ContactView | None:
    """The contact's picture is the one of this identity, in this version. ``None`` where nobody has the identity."""
    row = await unit.fetchrow(
        f"""
        UPDATE contacts c SET avatar_url = '/v1/contacts/' || c.id || '/avatar?v=' || $3, version = c.version + 1,
            updated_at = now()
        FROM identities i WHERE i.workspace_id = $1 AND i.id = $2 AND c.workspace_id = $1 AND c.id = i.contact_id
        RETURNING {COLUMNS}
        """,
        workspace_id,
        identity_id,
        version,
    )
    return None if row is None else view(row)


async def identities(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[IdentityView]:
    found = await unit.fetch(
        """
        SELECT i.id, i.provider, i.name, i.username, i.unreachable, i.unreachable_at, i.marketing_stopped_at,
               i.marketing_stopped_reason,
               array_agg(a.kind ORDER BY a.kind, a.value) AS kinds,
               array_agg(a.scope ORDER BY a.kind, a.value) AS scopes,
               array_agg(a.value ORDER BY a.kind, a.value) AS values,
               array_agg(a.retired_at ORDER BY a.kind, a.value) AS retired
        FROM identities i JOIN addresses a ON a.workspace_id = i.workspace_id AND a.identity_id = i.id
        WHERE i.workspace_id = $1 AND i.contact_id = $2 GROUP BY i.workspace_id, i.id ORDER BY i.id
        """,
        workspace_id,
        contact_id,
    )
    return [
        IdentityView(
            id=row["id"],
            provider=row["provider"],
            name=row["name"],
            username=row["username"],
            unreachable=row["unreachable"],
            unreachable_at=row["unreachable_at"],
            marketing_stopped_at=row["marketing_stopped_at"],
            marketing_stopped_reason=row["marketing_stopped_reason"],
            addresses=[
                AddressView(*address)
                for address in zip(row["kinds"], row["scopes"], row["values"], row["retired"], strict=True)
            ],
        )
        for row in found
    ]


async def addresses_of(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> tuple[Address, ...]:
    """Those that still name the person, the newest last."""
    found = await unit.fetch(
        """SELECT kind, scope, value FROM addresses
           WHERE workspace_id = $1 AND identity_id = $2 AND retired_at IS NULL ORDER BY first_seen_at, kind, value""",
        workspace_id,
        identity_id,
    )
    return tuple(Address(*row) for row in found)


LIKE_ESCAPES = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})

COLUMNS = """c.id, c.name, c.first_name, c.last_name, c.email, c.phone, c.language, c.time_zone, c.avatar_url, c.custom,
    c.tags, c.version, c.blocked_at, c.blocked_by, c.blocked_reason, c.blocked_until, c.merged_into,
    c.created_at, c.updated_at"""


def view(row: asyncpg.Record | tuple[Any, ...]) -> ContactView:
    """Of values in the order of ``COLUMNS``."""
    values = tuple(row)
    block = None if values[12] is None else BlockView(*values[12:16])
    return ContactView(*[*values[:12], block, *values[16:]])
