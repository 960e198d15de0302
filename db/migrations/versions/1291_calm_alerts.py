"""An alert is over when it was within its limit for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1291"
down_revision = "1290"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("beyond_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("alerts", "beyond_at")
