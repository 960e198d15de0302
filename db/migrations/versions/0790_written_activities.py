"""An AI is asked for activities of a session, and requests to connect are delivered by a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0790"
down_revision = "0770"
branch_labels = None
depends_on = None

EVENTS = (
    "for each row execute function app.record_shared_event('play_session.changed', 'id', '{}',"
    " '{{}}', 'play_session', 'id', '{{}}', '{{}}')"
)


def upgrade() -> None:
    op.add_column(
        "partner_requests", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.grant("select (delivered_at)", "partner_requests", "authenticated")
    op.add_column(
        "play_sessions",
        sa.Column("asked_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    _record_changes("{asked_count}")
    op.add_column(
        "play_rules",
        sa.Column("written_activities", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_check(
        "ck_play_rules_written_activities",
        "play_rules",
        "((written_activities >= 0) AND (written_activities <= 20))",
    )


def downgrade() -> None:
    op.drop_check("ck_play_rules_written_activities", "play_rules")
    op.drop_column("play_rules", "written_activities")
    _record_changes("{}")
    op.drop_column("play_sessions", "asked_count")
    op.drop_column("partner_requests", "delivered_at")


def _record_changes(hidden: str) -> None:
    op.drop_trigger("record_event", "play_sessions")
    op.create_trigger("record_event", "play_sessions", "after update", EVENTS.format(hidden))
