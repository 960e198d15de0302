"""Notifications that are read and deleted are events, as new ones are."""

from __future__ import annotations

from alembic import op

revision = "0360"
down_revision = "0350"
branch_labels = None
depends_on = None

RECORDS = "for each row execute function app.record_event('notification.added', 'id', '{}', '{}', 'user_id')"


def upgrade() -> None:
    op.drop_trigger("record_event", "notifications")
    op.create_trigger("record_event", "notifications", "after insert or update or delete", RECORDS)


def downgrade() -> None:
    op.drop_trigger("record_event", "notifications")
    op.create_trigger("record_event", "notifications", "after insert", RECORDS)
