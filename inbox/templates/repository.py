"""All SQL about templates. Writers hold the row of their owner in ``template_syncs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from channels.templates import Template, TemplateButton, TemplateHeader
from inbox.connections.directory import Channel
from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.templates.schemas import UsableTemplate


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose templates they are: the account of a provider, within a workspace."""

    workspace_id: UUID
    kind: str
    name: str

    @classmethod
    def of(cls, channel: Channel) -> Owner:
        return cls(channel.workspace_id, channel.kind, channel.owner)


@dataclass(frozen=True, slots=True)
class TemplateRow:
    id: UUID
    kind: str
    owner: str
    template: Template
    told_at: datetime | None
    judged_at: datetime | None
    removed_at: datetime | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class SyncState:
    asked_at: datetime | None
    synced_at: datetime | None
    fault: str | None


Key: TypeAlias = tuple[str, str]
"""Name and language: what a template is called by when it is sent."""

COLUMNS = """t.id, t.kind, t.owner, t.external_id, t.name, t.language, t.status, t.category, t.quality, t.reason,
    t.definition, t.told_at, t.judged_at, t.removed_at, t.created_at, t.updated_at"""


def row(record: asyncpg.Record) -> TemplateRow:
    definition = record["definition"]
    header = definition.get("header")
    template = Template(
        external_id=record["external_id"],
        name=record["name"],
        language=record["language"],
        status=record["status"],
        category=record["category"],
        parameter_format=definition["parameter_format"],
        body=definition["body"],
        header=None if header is None else TemplateHeader(**header),
        footer=definition.get("footer"),
        buttons=tuple(TemplateButton(**button) for button in definition.get("buttons", ())),
        quality=record["quality"],
        reason=record["reason"],
        unfillable=definition.get("unfillable"),
    )
    return TemplateRow(
        record["id"], record["kind"], record["owner"], template, *[record[name] for name in (
            "told_at", "judged_at", "removed_at", "created_at", "updated_at",
        )],
    )  # fmt: skip


def definition(template: Template) -> dict[str, Any]:
    """What does not change by a judgement of the provider."""
    return {
        "parameter_format": template.parameter_format,
        "body": template.body,
        "header": None if template.header is None else asdict(template.header),
        "footer": template.footer,
        "buttons": [asdict(button) for button in template.buttons],
        "unfillable": template.unfillable,
    }


async def now(connection: Connection) -> datetime:
    at: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return at


async def lock_owner(unit: UnitOfWork, owner: Owner) -> SyncState:
    await unit.execute(
        "INSERT INTO template_syncs (workspace_id, kind, owner) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        owner.workspace_id,
        owner.kind,
        owner.name,
    )
    found = await unit.fetchrow(
        """SELECT asked_at, synced_at, fault FROM template_syncs
           WHERE workspace_id = $1 AND kind = $2 AND owner = $3 FOR UPDATE""",
        owner.workspace_id,
        owner.kind,
        owner.name,
    )
    assert found is not None
    return SyncState(*found)


async def ever_synced(unit: UnitOfWork, owner: Owner) -> bool:
    found = await unit.fetchval(
        """SELECT 1 FROM template_syncs WHERE workspace_id = $1 AND kind = $2 AND owner = $3
           AND synced_at IS NOT NULL""",
        owner.workspace_id,
        owner.kind,
        owner.name,
    )
    return found is not None


async def finish_sync(unit: UnitOfWork, owner: Owner, asked_at: datetime) -> datetime:
    at: datetime = await unit.fetchval(
        """UPDATE template_syncs SET asked_at = $4, synced_at = clock_timestamp(), fault = NULL
           WHERE workspace_id = $1 AND kind = $2 AND owner = $3 RETURNING synced_at""",
        owner.workspace_id,
        owner.kind,
        owner.name,
        asked_at,
    )
    return at


async def note_fault(unit: UnitOfWork, owner: Owner, fault: str) -> None:
    await unit.execute(
        "UPDATE template_syncs SET fault = $4 WHERE workspace_id = $1 AND kind = $2 AND owner = $3",
        owner.workspace_id,
        owner.kind,
        owner.name,
        fault,
    )


async def all_of(unit: UnitOfWork, owner: Owner) -> dict[Key, TemplateRow]:
    found = await unit.fetch(
        f"SELECT {COLUMNS} FROM templates t WHERE workspace_id = $1 AND kind = $2 AND owner = $3",
        owner.workspace_id,
        owner.kind,
        owner.name,
    )
    return {(record["name"], record["language"]): row(record) for record in found}


async def insert(unit: UnitOfWork, owner: Owner, template_id: UUID, template: Template) -> TemplateRow:
    record = await unit.fetchrow(
        f"""
        INSERT INTO templates AS t (workspace_id, id, kind, owner, external_id, name, language, status, category,
            quality, reason, definition) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        RETURNING {COLUMNS}
        """,
        owner.workspace_id,
        template_id,
        owner.kind,
        owner.name,
        template.external_id,
        template.name,
        template.language,
        template.status,
        template.category,
        template.quality,
        template.reason,
        definition(template),
    )
    assert record is not None
    return row(record)


async def update(
    unit: UnitOfWork,
    workspace_id: UUID,
    template_id: UUID,
    template: Template,
    *,
    removed: bool = False,
    told_at: datetime | None = None,
) -> TemplateRow:
    """``told_at``: of the webhook that said so, where one did."""
    record = await unit.fetchrow(
        f"""
        UPDATE templates t SET external_id = $3, status = $4, category = $5, quality = $6, reason = $7,
            definition = $8, removed_at = CASE WHEN $9 THEN coalesce(t.removed_at, now()) END, updated_at = now(),
            told_at = coalesce($10, t.told_at),
            judged_at = CASE WHEN $10::timestamptz IS NULL THEN t.judged_at ELSE clock_timestamp() END
        WHERE t.workspace_id = $1 AND t.id = $2 RETURNING {COLUMNS}
        """,
        workspace_id,
        template_id,
        template.external_id,
        template.status,
        template.category,
        template.quality,
        template.reason,
        definition(template),
        removed,
        told_at,
    )
    assert record is not None
    return row(record)


async def find(unit: UnitOfWork, workspace_id: UUID, template_id: UUID) -> TemplateRow | None:
    record = await unit.fetchrow(
        f"SELECT {COLUMNS} FROM templates t WHERE workspace_id = $1 AND id = $2", workspace_id, template_id
    )
    return None if record is None else row(record)


async def find_named(unit: UnitOfWork, owner: Owner, name: str, language: str) -> TemplateRow | None:
    record = await unit.fetchrow(
        f"""SELECT {COLUMNS} FROM templates t
            WHERE workspace_id = $1 AND kind = $2 AND owner = $3 AND name = $4 AND language = $5""",
        owner.workspace_id,
        owner.kind,
        owner.name,
        name,
        language,
    )
    return None if record is None else row(record)


async def find_told(
    unit: UnitOfWork, owner: Owner, external_id: str | None, name: str, language: str
) -> TemplateRow | None:
    """The one that a webhook speaks of: webhooks write languages as ``en-US`` where lists write ``en_US``."""
    record = await unit.fetchrow(
        f"""
        SELECT {COLUMNS} FROM templates t WHERE workspace_id = $1 AND kind = $2 AND owner = $3
          AND (external_id = $4 OR (name = $5 AND replace(language, '-', '_') = replace($6, '-', '_')))
        ORDER BY (external_id = $4) DESC NULLS LAST LIMIT 1
        """,
        owner.workspace_id,
        owner.kind,
        owner.name,
        external_id,
        name,
        language,
    )
    return None if record is None else row(record)


async def usable(unit: UnitOfWork, owner: Owner, *, without: Sequence[str], limit: int) -> list[UsableTemplate]:
    """``without``: none of these categories."""
    found = await unit.fetch(
        """SELECT id, name, language, category FROM templates WHERE workspace_id = $1 AND kind = $2 AND owner = $3
           AND status = 'approved' AND removed_at IS NULL AND category <> ALL($4) ORDER BY name, language LIMIT $5""",
        owner.workspace_id,
        owner.kind,
        owner.name,
        without,
        limit,
    )
    return [UsableTemplate(*record) for record in found]


async def categories(unit: UnitOfWork, owner: Owner, keys: Sequence[Key]) -> frozenset[str]:
    found = await unit.fetch(
        """SELECT DISTINCT t.category FROM unnest($4::text[], $5::text[]) AS w (name, language)
           JOIN templates t ON t.workspace_id = $1 AND t.kind = $2 AND t.owner = $3 AND t.name = w.name
             AND t.language = w.language""",
        owner.workspace_id,
        owner.kind,
        owner.name,
        [name for name, _ in keys],
        [language for _, language in keys],
    )
    return frozenset(record[0] for record in found)


async def page(
    unit: UnitOfWork,
    owner: Owner,
    *,
    statuses: Sequence[str],
    name: str | None,
    language: str | None,
    category: str | None,
    removed: bool,
    after: Key | None,
    limit: int,
) -> list[TemplateRow]:
    """By name and language, above ``after``."""
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM templates t
        WHERE workspace_id = $1 AND kind = $2 AND owner = $3 AND (removed_at IS NOT NULL) = $4
          AND (cardinality($5::text[]) = 0 OR status = ANY($5)) AND ($6::text IS NULL OR strpos(name, $6) > 0)
          AND ($7::text IS NULL OR language = $7) AND ($8::text IS NULL OR category = $8)
          AND ($9::text IS NULL OR (name, language) > ($9, $10))
        ORDER BY name, language LIMIT $11
        """,
        owner.workspace_id,
        owner.kind,
        owner.name,
        removed,
        statuses,
        name,
        language,
        category,
        None if after is None else after[0],
        None if after is None else after[1],
        limit,
    )
    return [row(record) for record in found]


async def due(connection: Connection, kinds: Sequence[str], before: datetime) -> list[tuple[UUID, UUID]]:
    """(workspace, channel): one enabled channel of each owner whose list was last asked for before then, or never."""
    found = await connection.fetch(
        """
        SELECT DISTINCT ON (c.workspace_id, c.kind, coalesce(c.options->>'waba_id', c.account_id)) c.workspace_id, c.id
        FROM channels c LEFT JOIN template_syncs s ON s.workspace_id = c.workspace_id AND s.kind = c.kind
             AND s.owner = coalesce(c.options->>'waba_id', c.account_id)
        WHERE c.kind = ANY($1) AND c.state = 'enabled' AND c.health <> 'reauthorise'
          AND (s.asked_at IS NULL OR s.asked_at < $2)
        ORDER BY c.workspace_id, c.kind, coalesce(c.options->>'waba_id', c.account_id), c.id
        """,
        kinds,
        before,
    )
    return [(record[0], record[1]) for record in found]
