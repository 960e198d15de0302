"""Jobs that were given up, and when scheduled work runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade, run_all

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

IS_ADMIN = "exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin')"
LOCKS = (
    "alter table dead_jobs enable row level security",
    f"create policy admin_select on dead_jobs for select to authenticated using ({IS_ADMIN})",
    "create policy service_all on dead_jobs for all to service using (true) with check (true)",
    "grant select (id, entrypoint, generation_id, attempts, error, died_at, retried_at) on dead_jobs to authenticated",
    "grant select, delete on dead_jobs to service",
    "alter table scheduled_runs enable row level security",
    "create policy service_all on scheduled_runs for all to service using (true) with check (true)",
    "grant select, insert, update on scheduled_runs to service",
    # The schedule has a table of its own now.
    "delete from queue.pgqueuer_schedules",
)


def upgrade() -> None:
    op.create_table(
        "dead_jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("entrypoint", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("generation_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column(
            "died_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_dead_jobs_attempts")),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_dead_jobs_generation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_jobs")),
    )
    op.create_index(op.f("ix_dead_jobs_generation_id"), "dead_jobs", ["generation_id"])
    op.create_index("ix_dead_jobs_died_at_id", "dead_jobs", ["died_at", "id"])
    op.create_table(
        "scheduled_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("times", sa.Text(), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_milliseconds", sa.Integer(), nullable=True),
        sa.Column("last_result", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "last_result in ('SUCCEEDED', 'FAILED')", name=op.f("ck_scheduled_runs_last_result")
        ),
        sa.CheckConstraint(
            "(last_result = 'FAILED') = (last_error is not null)",
            name=op.f("ck_scheduled_runs_last_error"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_scheduled_runs")),
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("scheduled_runs")
    drop_table_cascade("dead_jobs")
