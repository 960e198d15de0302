"""Generations say whether their picture is shown with a watermark."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0450"
down_revision = "0440"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "generations",
        sa.Column("has_watermark", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.grant("select (has_watermark)", "generations", "authenticated")


def downgrade() -> None:
    op.drop_column("generations", "has_watermark")
