"""When a checkpoint was signed: no cosignature of it can be older."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """From version 4; of checkpoints that were signed before, nobody knows."""
    op.add_column("publishedcheckpoint", sa.Column("signed_at", sa.Float(), nullable=False, server_default="0"))
