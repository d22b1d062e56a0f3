"""The one metadata that every models module adds its tables to, and the column kinds they share.

Rows of a workspace are keyed ``(workspace_id, …)`` so that a workspace can be moved or sharded by an existing engine
without a schema change; the few tables of the installation itself say so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, MetaData, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def workspace_id() -> Column[UUID]:
    return Column("workspace_id", Uuid, primary_key=True)


def identifier(name: str = "id") -> Column[UUID]:
    return Column(name, Uuid, primary_key=True)


def reference(name: str, *, nullable: bool = False) -> Column[UUID]:
    return Column(name, Uuid, nullable=nullable)


def moment(name: str, *, nullable: bool = True) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def created(name: str = "created_at") -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def json_object(name: str, *, nullable: bool = False, default: str | None = "{}") -> Column[Any]:
    return Column(name, JSONB, nullable=nullable, server_default=None if nullable else default)
