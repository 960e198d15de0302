"""Operations are counted by minute, and alerts are made of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0740"
down_revision = "0730"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="OK", nullable=False),
        sa.Column("measured", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id ~ '^[a-z]+(-[a-z]+)*$'", name=op.f("ck_alerts_id")),
        sa.CheckConstraint("status in ('OK', 'FIRING')", name=op.f("ck_alerts_status")),
        sa.CheckConstraint("threshold >= 0", name=op.f("ck_alerts_threshold")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_table(
        "operation_counts",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("answered", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "buckets", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.CheckConstraint(
            "failed between 0 and answered", name=op.f("ck_operation_counts_failed")
        ),
        sa.PrimaryKeyConstraint("minute", "kind", "field", name=op.f("pk_operation_counts")),
    )
    op.create_index(
        "ix_operation_counts_field_minute", "operation_counts", ["field", "minute"], unique=False
    )
    op.enable_row_level_security("alerts")
    op.create_policy(
        "admin_select",
        "alerts",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy("service_all", "alerts", "for all to service using (true) with check (true)")
    op.grant("select", "alerts", "service")
    op.grant(
        "select (id, status, measured, threshold, changed_at, checked_at)",
        "alerts",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "alerts",
        "after insert",
        "for each row when ((new.status in ('OK', 'FIRING')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "alerts",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'OK' and (new.status = 'FIRING') or old.status = 'FIRING' and (new.status = 'OK')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("operation_counts")
    op.create_policy(
        "admin_select",
        "operation_counts",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy(
        "service_all", "operation_counts", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "operation_counts", "service")
    op.grant(
        "select (minute, kind, field, answered, failed, buckets)",
        "operation_counts",
        "authenticated",
    )


def downgrade() -> None:
    op.drop_index("ix_operation_counts_field_minute", table_name="operation_counts")
    op.drop_table("operation_counts")
    op.drop_table("alerts")
