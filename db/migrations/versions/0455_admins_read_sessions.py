"""Admins read everybody's sessions."""

from __future__ import annotations

from alembic import op

revision = "0455"
down_revision = "0450"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_policy("owner_select", "sessions")
    op.create_policy(
        "owner_select",
        "sessions",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )


def downgrade() -> None:
    op.drop_policy("owner_select", "sessions")
    op.create_policy(
        "owner_select",
        "sessions",
        "for select to authenticated using ((user_id = ( SELECT app.user_id() AS user_id)))",
    )
