"""What a generation's picture takes counts toward its user's bytes.

How large the pictures are that are there already is not known: they count nothing.
"""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "0200"
down_revision = "0190"
branch_labels = None
depends_on = None

TEXTS = "octet_length(parameters::text) + coalesce(octet_length(result::text), 0)"
WITH_PICTURE = (
    f"{TEXTS} + case status when 'FAILED' then 0 when 'CANCELLED' then 0 else result_bytes end"
)
DROP_TRIGGER = "drop trigger count_update on generations"
TRIGGER = (
    "create trigger count_update after update on generations for each row"
    " when (old.stored_bytes <> new.stored_bytes)"
    " execute function app.count_use('REFUSE', 'deleteGeneration')"
)


def stored_bytes(expression: str) -> list[str]:
    """The column anew: before version 17 Postgres changes no expression of a column."""
    return [
        "alter table generations drop column stored_bytes",
        "alter table generations add column stored_bytes integer not null"
        f" generated always as ({expression}) stored",
        "grant select (stored_bytes) on generations to authenticated",
    ]


def upgrade() -> None:
    run_all(
        [
            "alter table generations add column result_bytes integer not null default 0",
            "alter table result_cache add column result_bytes integer not null default 0",
            "grant select (result_bytes) on generations to authenticated",
            DROP_TRIGGER,
            *stored_bytes(WITH_PICTURE),
            TRIGGER,
        ]
    )


def downgrade() -> None:
    run_all(
        [
            # Counted off by the trigger.
            "update generations set result_bytes = 0 where result_bytes <> 0",
            DROP_TRIGGER,
            *stored_bytes(TEXTS),
            TRIGGER,
            "alter table result_cache drop column result_bytes",
            "alter table generations drop column result_bytes",
        ]
    )
