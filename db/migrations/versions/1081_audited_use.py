"""The audit log notes analyses, payments and that credits were used; use by day is read by an index."""

from __future__ import annotations

from alembic import op

revision = "1081"
down_revision = "1080"
branch_labels = None
depends_on = None

FUNCTION = """create or replace function app.{}() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return null;
end;
$$"""
FUNCTIONS = ("note_analysis_end", "note_payment", "note_credit_use")


def upgrade() -> None:
    # What they do is put in place with all other functions.
    for name in FUNCTIONS:
        op.create_function(f"app.{name}()", FUNCTION.format(name))
    op.create_trigger(
        "note_end",
        "profile_analyses",
        "after update",
        "for each row"
        " when (new.status <> old.status and new.status in ('SUCCEEDED', 'FAILED', 'CANCELLED'))"
        " execute function app.note_analysis_end()",
    )
    op.create_trigger(
        "note_new",
        "payments",
        "after insert",
        "for each row when (new.status in ('SUCCEEDED', 'FAILED'))"
        " execute function app.note_payment()",
    )
    op.create_trigger(
        "note_end",
        "payments",
        "after update",
        "for each row when (new.status <> old.status and (new.status = 'FAILED'"
        " or new.status = 'SUCCEEDED' and old.status in ('PENDING', 'FAILED')))"
        " execute function app.note_payment()",
    )
    op.create_trigger(
        "note_use",
        "credit_transactions",
        "after insert",
        "for each row when (new.used > 0) execute function app.note_credit_use()",
    )
    op.create_index(
        "ix_credit_transactions_created_at",
        "credit_transactions",
        ["created_at"],
        postgresql_using="brin",
    )


def downgrade() -> None:
    op.drop_index("ix_credit_transactions_created_at", table_name="credit_transactions")
    op.drop_trigger("note_use", "credit_transactions")
    op.drop_trigger("note_end", "payments")
    op.drop_trigger("note_new", "payments")
    op.drop_trigger("note_end", "profile_analyses")
    for name in reversed(FUNCTIONS):
        op.drop_function(f"app.{name}()")
