"""Messages have a step; the cut-off of a round is decided once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From version 1."""
    op.add_column("taskmessage", sa.Column("step", sa.String(), nullable=False, server_default="train"))
    op.create_table(
        "cutoff",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("cutoff", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round"),
    )
