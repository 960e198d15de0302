"""A generation that is deleted is an event, so that lists of them can follow."""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "0160"
down_revision = "0150"
branch_labels = None
depends_on = None

TRIGGER = (
    "create trigger record_event after {} on generations for each row execute function"
    " app.record_event('generation.updated', 'id',"
    " '{{cache_key,attempts,enqueued_at,follows_id}}', '{{}}')"
)
DROP = "drop trigger record_event on generations"


def upgrade() -> None:
    run_all([DROP, TRIGGER.format("insert or update or delete")])


def downgrade() -> None:
    run_all([DROP, TRIGGER.format("insert or update")])
