"""Entries of the audit log that name somebody, found by whom they name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0340"
down_revision = "0330"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_audit_log_naming",
        "audit_log",
        ["detail"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("strpos(detail::text, 'user_') > 0 or detail ? 'older_account'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_audit_log_naming",
        table_name="audit_log",
        postgresql_using="gin",
        postgresql_where=sa.text("strpos(detail::text, 'user_') > 0 or detail ? 'older_account'"),
    )
