"""A job knows the trace of the request that wanted it done."""

from __future__ import annotations

from alembic import op

revision = "1052"
down_revision = "1051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null unless the request is traced: then its statement sets `app.traceparent`.
    op.execute(
        "alter table queue.pgqueuer alter column headers set default case"
        " when current_setting('app.traceparent', true) <> ''"
        " then jsonb_build_object('traceparent', current_setting('app.traceparent', true)) end"
    )


def downgrade() -> None:
    op.execute("alter table queue.pgqueuer alter column headers drop default")
