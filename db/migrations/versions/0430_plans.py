"""Subscriptions to plans: what was paid, what it gave; when users are told of low credits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0430"
down_revision = "0420"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credit_alerts",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("low_balance", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_credit_alerts_single_row")),
        sa.CheckConstraint(
            "low_balance between 0 and 1000", name=op.f("ck_credit_alerts_low_balance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_alerts")),
    )
    op.create_table(
        "plan_periods",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind in ('START', 'RENEWAL', 'UPGRADE', 'DOWNGRADE', 'GIVEN')",
            name=op.f("ck_plan_periods_kind"),
        ),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_plan_periods_period")),
        sa.CheckConstraint(
            "length(reference) between 1 and 255", name=op.f("ck_plan_periods_reference")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_periods_plan_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_plan_periods_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_periods")),
        sa.UniqueConstraint("reference", name=op.f("uq_plan_periods_reference")),
    )
    op.create_index(op.f("ix_plan_periods_plan_id"), "plan_periods", ["plan_id"], unique=False)
    op.create_index(
        "ix_plan_periods_user_id_created_at_id",
        "plan_periods",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "plan_subscriptions",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "current_period_start",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scheduled_plan_id", sa.Text(), nullable=True),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'ENDED') = (ended_at is not null)", name=op.f("ck_plan_subscriptions_ended")
        ),
        sa.CheckConstraint(
            "(status = 'PAST_DUE') = (grace_ends_at is not null)",
            name=op.f("ck_plan_subscriptions_grace"),
        ),
        sa.CheckConstraint(
            "current_period_end > current_period_start or status = 'ENDED'",
            name=op.f("ck_plan_subscriptions_period"),
        ),
        sa.CheckConstraint(
            "status in ('ACTIVE', 'CANCELLING', 'PAST_DUE', 'ENDED')",
            name=op.f("ck_plan_subscriptions_status"),
        ),
        sa.CheckConstraint(
            "scheduled_plan_id <> plan_id", name=op.f("ck_plan_subscriptions_scheduled")
        ),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.id"], name=op.f("fk_plan_subscriptions_plan_id")
        ),
        sa.ForeignKeyConstraint(
            ["scheduled_plan_id"],
            ["plans.id"],
            name=op.f("fk_plan_subscriptions_scheduled_plan_id"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_plan_subscriptions_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_plan_subscriptions")),
    )
    op.create_index(
        "ix_plan_subscriptions_due",
        "plan_subscriptions",
        [sa.literal_column("coalesce(grace_ends_at, current_period_end)")],
        unique=False,
        postgresql_where=sa.text("status <> 'ENDED'"),
    )
    op.create_index(
        op.f("ix_plan_subscriptions_plan_id"), "plan_subscriptions", ["plan_id"], unique=False
    )
    op.create_index(
        op.f("ix_plan_subscriptions_scheduled_plan_id"),
        "plan_subscriptions",
        ["scheduled_plan_id"],
        unique=False,
    )
    op.create_table(
        "plan_credits",
        sa.Column("period_id", sa.Uuid(), nullable=False),
        sa.Column("month_starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_plan_credits_amount")),
        sa.ForeignKeyConstraint(
            ["period_id"],
            ["plan_periods.id"],
            name=op.f("fk_plan_credits_period_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["credit_transactions.id"],
            name=op.f("fk_plan_credits_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("period_id", "month_starts_at", name=op.f("pk_plan_credits")),
    )
    op.create_index(
        op.f("ix_plan_credits_transaction_id"), "plan_credits", ["transaction_id"], unique=False
    )
    op.add_column(
        "wallets", sa.Column("plan_credits_anchor_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.enable_row_level_security("credit_alerts")
    op.create_policy(
        "service_all", "credit_alerts", "for all to service using (true) with check (true)"
    )
    op.grant("select", "credit_alerts", "service")
    op.enable_row_level_security("plan_credits")
    op.create_policy(
        "service_all", "plan_credits", "for all to service using (true) with check (true)"
    )
    op.grant("select", "plan_credits", "service")
    op.enable_row_level_security("plan_periods")
    op.create_policy(
        "owner_select",
        "plan_periods",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "plan_periods", "for all to service using (true) with check (true)"
    )
    op.grant("select", "plan_periods", "service")
    op.grant(
        "select (id, user_id, plan_id, kind, starts_at, ends_at, revoked_at, created_at)",
        "plan_periods",
        "authenticated",
    )
    op.enable_row_level_security("plan_subscriptions")
    op.create_policy(
        "owner_select",
        "plan_subscriptions",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "plan_subscriptions", "for all to service using (true) with check (true)"
    )
    op.grant("select", "plan_subscriptions", "service")
    op.grant(
        "select (user_id, plan_id, status, started_at, current_period_start, current_period_end, scheduled_plan_id, grace_ends_at, ended_at, updated_at)",
        "plan_subscriptions",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "plan_subscriptions",
        "after insert or update",
        "for each row execute function app.record_event('plan.changed', 'user_id', '{reminded_of}', '{}', 'user_id')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "plan_subscriptions",
        "after insert",
        "for each row when ((new.status = 'ACTIVE') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "plan_subscriptions",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'ACTIVE' and (new.status in ('CANCELLING', 'PAST_DUE', 'ENDED')) or old.status = 'CANCELLING' and (new.status in ('ACTIVE', 'ENDED')) or old.status = 'PAST_DUE' and (new.status in ('ACTIVE', 'ENDED')) or old.status = 'ENDED' and (new.status = 'ACTIVE')) is not true) execute function app.refuse_transition('status')",
    )
    op.grant("select (plan_credits_anchor_at)", "wallets", "authenticated")


def downgrade() -> None:
    op.drop_column("wallets", "plan_credits_anchor_at")
    op.drop_index(op.f("ix_plan_credits_transaction_id"), table_name="plan_credits")
    op.drop_table("plan_credits")
    op.drop_index(op.f("ix_plan_subscriptions_scheduled_plan_id"), table_name="plan_subscriptions")
    op.drop_index(op.f("ix_plan_subscriptions_plan_id"), table_name="plan_subscriptions")
    op.drop_index(
        "ix_plan_subscriptions_due",
        table_name="plan_subscriptions",
        postgresql_where=sa.text("status <> 'ENDED'"),
    )
    drop_table_cascade("plan_subscriptions")
    op.drop_index("ix_plan_periods_user_id_created_at_id", table_name="plan_periods")
    op.drop_index(op.f("ix_plan_periods_plan_id"), table_name="plan_periods")
    drop_table_cascade("plan_periods")
    op.drop_table("credit_alerts")
