"""Sign-ups that wait have a row each, and codes of them say whether they were resent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0440"
down_revision = "0430"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("uq_pending_sign_ups_email_key", table_name="pending_sign_ups")
    op.create_index(
        "ix_pending_sign_ups_email_key", "pending_sign_ups", ["email_key", "network_hash"]
    )
    op.add_column(
        "one_time_codes",
        sa.Column("is_resent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("one_time_codes", "is_resent")
    op.drop_index("ix_pending_sign_ups_email_key", table_name="pending_sign_ups")
    # Of several sign-ups the newest is kept, as it was before.
    op.execute("""
        delete from pending_sign_ups p using pending_sign_ups q
        where q.email_key = p.email_key and q.network_hash = p.network_hash
            and (q.created_at, q.id) > (p.created_at, p.id)
    """)
    op.create_index(
        "uq_pending_sign_ups_email_key",
        "pending_sign_ups",
        ["email_key", "network_hash"],
        unique=True,
    )
