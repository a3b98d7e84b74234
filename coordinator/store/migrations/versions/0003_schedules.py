"""Runs that are ordered by calendar."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From version 2."""
    op.create_table(
        "scheduledrun",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("epsilon", sa.String(), nullable=False),
        sa.Column("min_members", sa.Integer(), nullable=False),
        sa.Column("spend_anyway", sa.Boolean(), nullable=False),
        sa.Column("taken_at", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
