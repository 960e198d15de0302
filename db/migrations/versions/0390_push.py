"""Push tokens of devices, and the delivery of notifications to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0390"
down_revision = "0380"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "push_deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "not_before",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at is null) = (status in ('QUEUED', 'SENDING'))",
            name=op.f("ck_push_deliveries_ended_at"),
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'SENDING', 'SENT', 'FAILED', 'UNCERTAIN', 'SKIPPED')",
            name=op.f("ck_push_deliveries_status"),
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_push_deliveries_notification_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push_deliveries")),
    )
    op.create_index(
        "ix_push_deliveries_created_at", "push_deliveries", ["created_at"], unique=False
    )
    op.create_index(
        "uq_push_deliveries_notification_id_token_id",
        "push_deliveries",
        ["notification_id", "token_id"],
        unique=True,
    )
    op.create_table(
        "push_tokens",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "platform in ('IOS', 'ANDROID', 'WEB')", name=op.f("ck_push_tokens_platform")
        ),
        sa.CheckConstraint("provider in ('FCM', 'APNS')", name=op.f("ck_push_tokens_provider")),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name=op.f("fk_push_tokens_session_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_push_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_push_tokens_token_hash")),
    )
    op.create_index(op.f("ix_push_tokens_session_id"), "push_tokens", ["session_id"], unique=False)
    op.create_index(
        "ix_push_tokens_user_id", "push_tokens", ["user_id", "created_at", "id"], unique=False
    )
    op.create_function(
        "app.forget_push_tokens()",
        "create or replace function app.forget_push_tokens() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    delete from public.push_tokens t where t.session_id = new.id;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.queue_pushes()",
        "create or replace function app.queue_pushes() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    batch_size constant integer := 50;\nbegin\n    insert into queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)\n    select case when count(*) = max(due.total) then 0 else -1 end, 'send_push',\n        convert_to(jsonb_build_object('notification_ids', jsonb_agg(due.id order by due.id),\n            'queued_at', clock_timestamp())::text, 'UTF8'),\n        'push:' || min(due.id::text), 'queued'\n    from (\n        select n.id, (row_number() over (order by n.id) - 1) / batch_size as batch, count(*) over () as total\n        from added n\n        where exists (select from public.push_tokens t where t.user_id = n.user_id)\n    ) due\n    group by due.batch;\n    return null;\nend;\n$$",
    )
    op.create_trigger(
        "queue_pushes",
        "notifications",
        "after insert",
        "referencing new table as added for each statement execute function app.queue_pushes()",
    )
    op.enable_row_level_security("push_deliveries")
    op.create_policy(
        "service_all", "push_deliveries", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "push_deliveries", "service")
    op.create_trigger(
        "lifecycle_insert",
        "push_deliveries",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "push_deliveries",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('SENDING', 'FAILED', 'SKIPPED')) or old.status = 'SENDING' and (new.status in ('SENT', 'FAILED', 'UNCERTAIN', 'QUEUED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_attempts",
        "push_deliveries",
        "after update",
        "for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    )
    op.enable_row_level_security("push_tokens")
    op.create_policy(
        "service_all", "push_tokens", "for all to service using (true) with check (true)"
    )
    op.create_policy(
        "owner_select",
        "push_tokens",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.grant("select, insert, update, delete", "push_tokens", "service")
    op.grant(
        "select (id, user_id, session_id, platform, created_at, registered_at)",
        "push_tokens",
        "authenticated",
    )
    op.create_trigger(
        "forget_push_tokens",
        "sessions",
        "after update",
        "for each row when (old.revoked_at is null and new.revoked_at is not null) execute function app.forget_push_tokens()",
    )


def downgrade() -> None:
    op.drop_trigger("forget_push_tokens", "sessions")
    op.drop_trigger("queue_pushes", "notifications")
    op.drop_function("app.queue_pushes()")
    op.drop_function("app.forget_push_tokens()")
    op.drop_index("ix_push_tokens_user_id", table_name="push_tokens")
    op.drop_index(op.f("ix_push_tokens_session_id"), table_name="push_tokens")
    op.drop_table("push_tokens")
    op.drop_index("uq_push_deliveries_notification_id_token_id", table_name="push_deliveries")
    op.drop_index("ix_push_deliveries_created_at", table_name="push_deliveries")
    op.drop_table("push_deliveries")
