"""Notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table notifications enable row level security",
    "create policy owner_select on notifications for select to authenticated using (user_id = (select app.user_id()))",
    "create policy owner_update on notifications for update to authenticated using (user_id = (select app.user_id())) with check (user_id = (select app.user_id()))",
    "create policy owner_delete on notifications for delete to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on notifications for all to service using (true) with check (true)",
    "grant select (id, user_id, type, title_key, message_key, data, read, created_at) on notifications to authenticated",
    "grant update (read) on notifications to authenticated",
    "grant delete on notifications to authenticated",
    "grant select, insert, update, delete on notifications to service",
    "create trigger record_event after insert on notifications for each row execute function app.record_event('notification.added', 'id')",
)


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("title_key", sa.Text(), nullable=False),
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column(
            "data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("read", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "type in ('OFFER', 'FEATURE', 'GENERAL')", name=op.f("ck_notifications_type")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notifications_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )
    op.create_index(
        "ix_notifications_user_id_created_at_id",
        "notifications",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("notifications")
