"""The job queue, in a schema that clients' roles cannot enter."""

from __future__ import annotations

from alembic import op

from db.migrations.steps import run_all, run_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("pgqueuer", "pgqueuer_log", "pgqueuer_schedules", "pgqueuer_statistics")


def upgrade() -> None:
    run_script("0009_queue.sql")
    op.execute("alter function queue.fn_pgqueuer_changed() set search_path = pg_catalog, pg_temp")
    for table in TABLES:
        run_all(
            [
                f"alter table queue.{table} enable row level security",
                f"create policy service_all on queue.{table} for all to service "
                "using (true) with check (true)",
                f"grant select, insert, update, delete on queue.{table} to service",
            ]
        )
    op.execute("grant usage on schema queue to service")
    op.execute("grant usage on all sequences in schema queue to service")
    op.execute("revoke execute on all functions in schema queue from public")
    op.execute("grant execute on all functions in schema queue to service")


def downgrade() -> None:
    op.execute("drop schema queue cascade")
