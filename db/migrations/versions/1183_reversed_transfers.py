"""What became of a seller's part of a disputed payment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1183"
down_revision = "1182"
branch_labels = None
depends_on = None

CHECK = "ck_payment_disputes_returned_at"


def upgrade() -> None:
    for name in ("reversed_at", "returned_at"):
        op.add_column(
            "payment_disputes", sa.Column(name, sa.DateTime(timezone=True), nullable=True)
        )
    op.add_check(
        CHECK,
        "payment_disputes",
        "(returned_at is null or reversed_at is not null and status = 'WON')",
    )


def downgrade() -> None:
    op.drop_check(CHECK, "payment_disputes")
    op.drop_column("payment_disputes", "returned_at")
    op.drop_column("payment_disputes", "reversed_at")
