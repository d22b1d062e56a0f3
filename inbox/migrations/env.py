"""Run by Alembic with the connection and the metadata that ``inbox.kernel.migrate`` put into the configuration."""

from alembic import context
from sqlalchemy import Connection, text


def run() -> None:
    connection: Connection = context.config.attributes["connection"]
    partitions = frozenset(
        connection.scalars(
            text("SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition")
        )
    )
    connection.rollback()  # ends the transaction that the query began: Alembic opens and commits its own

    def belongs_to_schema(name: str | None, kind: str, parents: object) -> bool:
        # Partitions are made and dropped by upkeep, not by migrations.
        return kind != "table" or name not in partitions

    context.configure(
        connection=connection,
        target_metadata=context.config.attributes["metadata"],
        include_name=belongs_to_schema,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
