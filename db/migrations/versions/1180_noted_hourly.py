"""Whether a use of credits or a sync has been noted within the hour is read by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1180"
down_revision = "1110"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_audit_log_noted_hourly",
        "audit_log",
        ["user_id", "action", "subject", "created_at"],
        postgresql_where=sa.text("action in ('credit_use', 'sync')"),
    )


def downgrade() -> None:
    op.drop_index("ix_audit_log_noted_hourly", table_name="audit_log")
