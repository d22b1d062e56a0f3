"""Sequences and their versions; who is enrolled in them, and what each was sent."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

sequences = Table(
    "sequences",
    metadata,
    workspace_id(),
    identifier(),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="draft"),
    json_object("draft"),
    Column("published", Integer),
    Column("changed", Boolean, nullable=False, server_default=text("true")),
    reference("created_by"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('draft', 'active', 'archived')", name="state"),
    CheckConstraint("(state = 'draft') = (published IS NULL) OR state = 'archived'", name="published"),
)
"""``draft``: what is being written, which nobody gets. ``published``: the number of the newest version, ``changed``:
the draft says something else. ``version`` is the ETag."""

sequence_versions = Table(
    "sequence_versions",
    metadata,
    workspace_id(),
    identifier("sequence_id"),
    Column("number", Integer, primary_key=True),
    json_object("definition"),
    reference("published_by"),
    Column("published_by_name", Text, nullable=False),
    created("published_at"),
    ForeignKeyConstraint(
        ["workspace_id", "sequence_id"], ["sequences.workspace_id", "sequences.id"], ondelete="CASCADE"
    ),
)
"""Never changed once written: what somebody is enrolled on stays what it was."""

enrollments = Table(
    "enrollments",
    metadata,
    workspace_id(),
    identifier(),
    reference("sequence_id"),
    Column("sequence_version", Integer, nullable=False),
    Column("follows", Boolean, nullable=False),
    Column("several", Boolean, nullable=False),
    reference("contact_id"),
    reference("conversation_id", nullable=True),
    reference("assignee_id", nullable=True),
    Column("state", Text, nullable=False, server_default="active"),
    Column("reason", Text),
    moment("state_at", nullable=False),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("retries", Integer, nullable=False, server_default=text("0")),
    moment("waits_since"),
    Column("zone", Text, nullable=False),
    moment("due_at"),
    Column("timer_number", Integer, nullable=False, server_default=text("1")),
    reference("message_id", nullable=True),
    moment("replied_at"),
    reference("enrolled_by"),
    Column("enrolled_by_name", Text, nullable=False),
    created("enrolled_at"),
    moment("ended_at"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    ForeignKeyConstraint(
        ["workspace_id", "sequence_id", "sequence_version"],
        ["sequence_versions.workspace_id", "sequence_versions.sequence_id", "sequence_versions.number"],
    ),
    ForeignKeyConstraint(["workspace_id", "contact_id"], ["contacts.workspace_id", "contacts.id"]),
    CheckConstraint("state IN ('active', 'paused', 'finished', 'stopped', 'left')", name="state"),
    CheckConstraint("state NOT IN ('paused', 'stopped') OR reason IS NOT NULL", name="reason"),
    CheckConstraint("(ended_at IS NULL) = (state IN ('active', 'paused'))", name="ended"),
    CheckConstraint(
        "state <> 'active' OR (due_at IS NULL) <> (message_id IS NULL)", name="waits_for_a_time_or_for_a_message"
    ),
    Index(
        "uq_enrollments_running",
        "workspace_id",
        "contact_id",
        "sequence_id",
        unique=True,
        postgresql_where=text("state IN ('active', 'paused') AND NOT several"),
    ),
    Index(
        "ix_enrollments_running",
        "workspace_id",
        "contact_id",
        postgresql_where=text("state IN ('active', 'paused')"),
    ),
    Index("ix_enrollments_contact", "workspace_id", "contact_id", "id"),
    Index("ix_enrollments_sequence", "workspace_id", "sequence_id", "state", "id"),
)
"""Where one contact stands in one sequence. ``position``: the step that comes next, from 0, or whose message
(``message_id``) is on its way; ``attempt`` and ``retries`` are of that step. ``waits_since``: when its wait began, or
null where ``due_at`` was set by other means. ``zone``: by which ``due_at`` was reckoned. ``timer_number``: only the
timer that carries it is meant; one that is older finds so and does nothing.

``several``: the sequence allowed one contact several enrollments. ``conversation_id``: in which it talks, once known,
and ``assignee_id`` to whom that belonged then. No reference: the thread may become part of another."""

enrollment_steps = Table(
    "enrollment_steps",
    metadata,
    workspace_id(),
    identifier("enrollment_id"),
    Column("number", Integer, primary_key=True),
    Column("step_key", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    reference("message_id", nullable=True),
    reference("conversation_id", nullable=True),
    reference("channel_id", nullable=True),
    Column("fell_back", Boolean, nullable=False, server_default=text("false")),
    Column("lateness_ms", BigInteger),
    moment("at", nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "enrollment_id"], ["enrollments.workspace_id", "enrollments.id"], ondelete="CASCADE"
    ),
    CheckConstraint("state IN ('queued', 'sent', 'uncertain', 'failed', 'cancelled', 'skipped')", name="state"),
    CheckConstraint("state IN ('skipped', 'failed') OR message_id IS NOT NULL", name="message"),
    UniqueConstraint("workspace_id", "enrollment_id", "step_key", "attempt"),
    Index(
        "uq_enrollment_steps_queued",
        "workspace_id",
        "enrollment_id",
        unique=True,
        postgresql_where=text("state = 'queued'"),
    ),
    Index(
        "ix_enrollment_steps_message",
        "workspace_id",
        "message_id",
        postgresql_where=text("message_id IS NOT NULL"),
    ),
)
"""What came of each step, in order. The keys are the promise that a contact gets no step twice: another attempt exists
only after one that failed or was taken back, and one message at most is on its way."""
