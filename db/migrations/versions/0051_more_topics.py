"""Changes of profiles, uploads and tools can be watched."""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

WATCHED = (
    ("profiles", "insert or update or delete", "profiles.changed"),
    ("tools", "insert or update or delete", "tools.changed"),
    ("uploads", "update", "upload.updated"),
)


def upgrade() -> None:
    run_all(
        [
            f"create trigger record_event after {changes} on {table}"
            f" for each row execute function app.record_event('{topic}', 'id')"
            for table, changes, topic in WATCHED
        ]
    )


def downgrade() -> None:
    run_all([f"drop trigger record_event on {table}" for table, _, _ in WATCHED])
