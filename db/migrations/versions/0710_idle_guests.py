"""An index of guests by age, for finding those whom nobody uses any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0710"
down_revision = "0690"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_users_guests",
        "users",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("is_anonymous and status = 'active'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_users_guests",
        table_name="users",
        postgresql_where=sa.text("is_anonymous and status = 'active'"),
    )
