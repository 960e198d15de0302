"""Whoever enters a play session is told of the field of the input that names it."""

from __future__ import annotations

from alembic import op

revision = "1243"
down_revision = "1242"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: `migrate` drops the former function when no server calls it any more."""


def downgrade() -> None:
    op.execute("drop function if exists app.enter_play_session(uuid, text)")
