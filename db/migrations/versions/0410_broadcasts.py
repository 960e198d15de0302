"""Broadcasts: a notification to many users, each of whom gets it once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0410"
down_revision = "0400"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_trigger("record_event", "notifications")
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("sent_by", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("title_key", sa.Text(), nullable=False),
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column(
            "data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("audience", sa.Text(), server_default="EVERYBODY", nullable=False),
        sa.Column("plan_ids", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("locales", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("active_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inactive_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("user_count", sa.Integer(), nullable=True),
        sa.Column("sent_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unwanted_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "position",
            sa.Uuid(),
            server_default=sa.text("'00000000-0000-0000-0000-000000000000'"),
            nullable=False,
        ),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "audience in ('EVERYBODY', 'GUESTS', 'MEMBERS')", name=op.f("ck_broadcasts_audience")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'FINISHED', 'CANCELLED', 'FAILED')",
            name=op.f("ck_broadcasts_status"),
        ),
        sa.CheckConstraint(
            "type in ('OFFER', 'FEATURE', 'GENERAL')", name=op.f("ck_broadcasts_type")
        ),
        sa.ForeignKeyConstraint(
            ["sent_by"], ["users.id"], name=op.f("fk_broadcasts_sent_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
    )
    op.create_index("ix_broadcasts_created_at_id", "broadcasts", ["created_at", "id"], unique=False)
    op.create_index("ix_broadcasts_sent_by", "broadcasts", ["sent_by"], unique=False)
    op.create_index(
        "ix_broadcasts_unfinished",
        "broadcasts",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.add_column("notifications", sa.Column("broadcast_id", sa.Uuid(), nullable=True))
    op.create_index(
        "uq_notifications_broadcast_id",
        "notifications",
        ["broadcast_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("broadcast_id is not null"),
    )
    op.create_foreign_key(
        op.f("fk_notifications_broadcast_id"),
        "notifications",
        "broadcasts",
        ["broadcast_id"],
        ["id"],
    )
    op.enable_row_level_security("broadcasts")
    op.create_policy(
        "owner_select",
        "broadcasts",
        "for select to authenticated using (sent_by = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "broadcasts", "for all to service using (true) with check (true)"
    )
    op.grant("select", "broadcasts", "service")
    op.grant(
        "select (id, sent_by, type, title_key, message_key, data, audience, plan_ids, locales, active_since, inactive_since, status, user_count, sent_count, unwanted_count, created_at, started_at, finished_at)",
        "broadcasts",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "broadcasts",
        "after update",
        "for each row execute function app.record_event('broadcast.changed', 'id', '{position,failures}', '{}', 'sent_by')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "broadcasts",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "broadcasts",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('RUNNING', 'CANCELLED', 'FAILED')) or old.status = 'RUNNING' and (new.status in ('FINISHED', 'CANCELLED', 'FAILED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_sent_count",
        "broadcasts",
        "after update",
        "for each row when ((new.sent_count >= old.sent_count) is not true) execute function app.refuse_transition('sent_count')",
    )
    op.create_trigger(
        "lifecycle_unwanted_count",
        "broadcasts",
        "after update",
        "for each row when ((new.unwanted_count >= old.unwanted_count) is not true) execute function app.refuse_transition('unwanted_count')",
    )
    op.create_trigger(
        "record_event",
        "notifications",
        "after insert or update or delete",
        "for each row execute function app.record_event('notification.added', 'id', '{broadcast_id}', '{}', 'user_id')",
    )


def downgrade() -> None:
    op.drop_trigger("record_event", "notifications")
    op.drop_constraint(op.f("fk_notifications_broadcast_id"), "notifications", type_="foreignkey")
    op.drop_index(
        "uq_notifications_broadcast_id",
        table_name="notifications",
        postgresql_where=sa.text("broadcast_id is not null"),
    )
    op.drop_column("notifications", "broadcast_id")
    op.drop_index(
        "ix_broadcasts_unfinished",
        table_name="broadcasts",
        postgresql_where=sa.text("status in ('QUEUED', 'RUNNING')"),
    )
    op.drop_index("ix_broadcasts_sent_by", table_name="broadcasts")
    op.drop_index("ix_broadcasts_created_at_id", table_name="broadcasts")
    op.drop_table("broadcasts")
    op.create_trigger(
        "record_event",
        "notifications",
        "AFTER INSERT OR DELETE OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_event('notification.added', 'id', '{}', '{}', 'user_id')",
    )
