"""Members whose copy of the log holds more entries than the log."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """From version 5."""
    op.create_table(
        "memberahead",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member"),
    )
