"""What users say of themselves, and since when they are known to read their mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0320"
down_revision = "0310"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "username",
            sa.Text(),
            server_default=sa.text(
                "('user_'::text || substr(replace((gen_random_uuid())::text, '-'::text, ''::text), 1, 16))"
            ),
            nullable=False,
        ),
    )
    op.add_column(
        "users",
        sa.Column(
            "username_key",
            sa.Text(),
            sa.Computed("lower(username)", persisted=True),
            nullable=False,
        ),
    )
    op.add_column("users", sa.Column("locale", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("time_zone", sa.Text(), nullable=True))
    op.add_column(
        "users",
        sa.Column(
            "notification_preferences",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "users", sa.Column("email_confirmed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index("uq_users_username_key", "users", ["username_key"], unique=True)
    op.grant(
        "select (username, locale, time_zone, notification_preferences, email_confirmed_at), update (username, locale, time_zone, notification_preferences)",
        "users",
        "authenticated",
    )


def downgrade() -> None:
    op.drop_index("uq_users_username_key", table_name="users")
    op.drop_column("users", "email_confirmed_at")
    op.drop_column("users", "notification_preferences")
    op.drop_column("users", "time_zone")
    op.drop_column("users", "locale")
    op.drop_column("users", "username_key")
    op.drop_column("users", "username")
