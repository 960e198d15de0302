"""Who sees a store sees its logo and its banner."""

from __future__ import annotations

from alembic import op

revision = "1260"
down_revision = "1250"
branch_labels = None
depends_on = None

SHOWN = "select (banner_path, logo_path)"


def upgrade() -> None:
    op.grant(SHOWN, "stores", "anon, authenticated")


def downgrade() -> None:
    op.revoke(SHOWN, "stores", "anon, authenticated")
