"""The server's roles may use the schema of functions; who may call which, each function says."""

from __future__ import annotations

from alembic import op

revision = "0170"
down_revision = "0160"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("grant usage on schema app to anon, authenticated, service")


def downgrade() -> None:
    """Nothing: the release before granted it as well, whenever it migrated."""
