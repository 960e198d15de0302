"""A session that is deleted before its time is remembered, so that its tokens can be refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all, run_script

revision = "0130"
down_revision = "0120"
branch_labels = None
depends_on = None

LOCK = (
    "alter table deleted_sessions enable row level security",
    "create policy service_all on deleted_sessions for all to service using (true) with check (true)",
    "grant select, delete on deleted_sessions to service",
    "create trigger record_deleted_session after delete on sessions for each row"
    " execute function app.record_deleted_session()",
)
DROPPED = (
    "drop trigger record_deleted_session on sessions",
    "drop function app.record_deleted_session()",
)


def upgrade() -> None:
    op.create_table(
        "deleted_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deleted_sessions")),
    )
    op.create_index(op.f("ix_deleted_sessions_deleted_at"), "deleted_sessions", ["deleted_at"])
    run_script("0130_sessions.sql")
    run_all(LOCK)


def downgrade() -> None:
    run_all(DROPPED)
    op.drop_table("deleted_sessions")
