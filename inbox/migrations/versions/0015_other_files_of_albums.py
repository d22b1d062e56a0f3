"""Other files of albums."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_deliveries_further_ids",
        "deliveries",
        ["further_ids"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("further_ids IS NOT NULL"),
    )
