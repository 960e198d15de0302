"""A user's uploads are listed newest first."""

from __future__ import annotations

from alembic import op

revision = "0090"
down_revision = "0080"
branch_labels = None
depends_on = None

INDEX, BEFORE = "ix_uploads_user_id_created_at_id", "ix_uploads_user_id"


def upgrade() -> None:
    op.create_index(INDEX, "uploads", ["user_id", "created_at", "id"])
    op.drop_index(BEFORE, "uploads")


def downgrade() -> None:
    op.create_index(BEFORE, "uploads", ["user_id"])
    op.drop_index(INDEX, "uploads")
