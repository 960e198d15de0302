"""What providers did for generations, and the circuits that give failing providers a rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

IS_ADMIN = "exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin')"
LOCKS = (
    "alter table ai_generation_logs enable row level security",
    f"create policy admin_select on ai_generation_logs for select to authenticated using ({IS_ADMIN})",
    "create policy service_all on ai_generation_logs for all to service using (true) with check (true)",
    "grant select (id, generation_id, user_id, tool_id, attempt, provider, outcome, latency_milliseconds, usage, cost_micro_usd, error, created_at) on ai_generation_logs to authenticated",
    "grant select, delete on ai_generation_logs to service",
    "alter table provider_circuits enable row level security",
    f"create policy admin_select on provider_circuits for select to authenticated using ({IS_ADMIN})",
    "create policy service_all on provider_circuits for all to service using (true) with check (true)",
    "grant select (provider, state, consecutive_failures, retry_at, updated_at) on provider_circuits to authenticated",
    "grant select on provider_circuits to service",
)


def upgrade() -> None:
    op.create_table(
        "ai_generation_logs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tool_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("latency_milliseconds", sa.Integer(), nullable=False),
        sa.Column(
            "usage",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("cost_micro_usd", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "outcome in ('SUCCEEDED', 'REFUSED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'DISCARDED', 'ABANDONED', 'STORAGE_FAILED')",
            name=op.f("ck_ai_generation_logs_outcome"),
        ),
        sa.CheckConstraint(
            "latency_milliseconds >= 0 and cost_micro_usd >= 0",
            name=op.f("ck_ai_generation_logs_figures"),
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_ai_generation_logs_generation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_ai_generation_logs_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tool_id"], ["tools.id"], name=op.f("fk_ai_generation_logs_tool_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_generation_logs")),
    )
    for name, columns, unique in (
        (op.f("ix_ai_generation_logs_tool_id"), ["tool_id"], False),
        ("uq_ai_generation_logs_attempt", ["generation_id", "attempt"], True),
        ("ix_ai_generation_logs_user_id", ["user_id", "created_at"], False),
        ("ix_ai_generation_logs_created_at_id", ["created_at", "id"], False),
        ("ix_ai_generation_logs_outcome", ["outcome", "created_at", "id"], False),
    ):
        op.create_index(name, "ai_generation_logs", columns, unique=unique)
    op.create_table(
        "provider_circuits",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="CLOSED", nullable=False),
        sa.Column(
            "consecutive_failures", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state in ('CLOSED', 'OPEN', 'HALF_OPEN')", name=op.f("ck_provider_circuits_state")
        ),
        sa.CheckConstraint(
            "(state = 'CLOSED') = (retry_at is null)", name=op.f("ck_provider_circuits_retry_at")
        ),
        sa.CheckConstraint(
            "consecutive_failures >= 0", name=op.f("ck_provider_circuits_consecutive_failures")
        ),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_circuits")),
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("provider_circuits")
    op.drop_table("ai_generation_logs")
