"""Index e-mails and phones only where there are any."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("email", "phone"):
        name = f"ix_contacts_{column}"
        op.drop_index(name, table_name="contacts")
        present = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "contacts", ["workspace_id", column], postgresql_where=present)
