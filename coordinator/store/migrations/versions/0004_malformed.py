"""A reply that was not what it should be is remembered until its round is recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From version 3."""
    op.add_column("taskmessage", sa.Column("malformed", sa.Boolean(), nullable=False, server_default=sa.false()))
