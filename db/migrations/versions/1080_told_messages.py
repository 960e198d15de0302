"""Who watches their profiles is told when something was said of one."""

from __future__ import annotations

from alembic import op

revision = "1080"
down_revision = "1071"
branch_labels = None
depends_on = None

FUNCTION = """create or replace function app.{}() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return null;
end;
$$"""


def upgrade() -> None:
    # What they do is put in place with all other functions.
    for name in ("tell_of_new_messages", "tell_of_ended_replies"):
        op.create_function(f"app.{name}()", FUNCTION.format(name))
    op.create_trigger(
        "tell_inserts",
        "chat_messages",
        "after insert",
        "referencing new table as new_rows"
        " for each statement execute function app.tell_of_new_messages()",
    )
    op.create_trigger(
        "tell_updates",
        "chat_messages",
        "after update",
        "referencing old table as old_rows new table as new_rows"
        " for each statement execute function app.tell_of_ended_replies()",
    )


def downgrade() -> None:
    op.drop_trigger("tell_updates", "chat_messages")
    op.drop_trigger("tell_inserts", "chat_messages")
    op.drop_function("app.tell_of_ended_replies()")
    op.drop_function("app.tell_of_new_messages()")
