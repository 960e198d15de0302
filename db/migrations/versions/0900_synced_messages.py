"""Synced messages: their positions among a user's changes, and the devices that brought them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0900"
down_revision = "0895"
branch_labels = None
depends_on = None

ENDED = "not (new.status in ('QUEUED', 'RUNNING'))"
GROUPS = "(field_group in ('NAME', 'THUMBNAIL', 'ANALYSIS', {}'PROFILE', 'DELETION'))"
# What has been said takes its places behind the profiles.
PLACES = (
    """
    insert into sync_heads (user_id, position, clock)
    select distinct user_id, 0, (extract(epoch from now()) * 1000)::bigint << 16 from chat_messages
    on conflict do nothing
    """,
    """
    update chat_messages m set position = h.position + o.place
    from (select id, row_number() over (partition by user_id order by created_at, id) as place
          from chat_messages where status not in ('QUEUED', 'RUNNING')) o, sync_heads h
    where o.id = m.id and h.user_id = m.user_id
    """,
    """
    update sync_heads h set position = greatest(h.position, (
        select coalesce(max(m.position), 0) from chat_messages m where m.user_id = h.user_id))
    """,
)
NOTE = """create or replace function app.note_chat_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head public.sync_heads := app.advance_sync(new.user_id, 1);
begin
    new.position := head.position;
    return new;
end;
$$"""


def upgrade() -> None:
    op.drop_trigger("record_event", "chat_messages")
    op.add_column("chat_messages", sa.Column("device_id", sa.Text(), nullable=True))
    op.add_column(
        "chat_messages",
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_index("ix_chat_messages_user_id_position", "chat_messages", ["user_id", "position"])
    run_all(PLACES)
    op.drop_check("ck_sync_conflicts_field_group", "sync_conflicts")
    op.add_check("ck_sync_conflicts_field_group", "sync_conflicts", GROUPS.format("'CHAT', "))
    op.create_function("app.note_chat_message()", NOTE)
    op.create_trigger(
        "record_event",
        "chat_messages",
        "after update",
        "for each row execute function app.record_event('chat.reply', 'id', '{device_id,position}', '{}', 'user_id')",
    )
    op.create_trigger(
        "note_insert",
        "chat_messages",
        "before insert",
        f"for each row when (new.position = 0 and {ENDED}) execute function app.note_chat_message()",
    )
    op.create_trigger(
        "note_update",
        "chat_messages",
        "before update",
        "for each row when ((new.status <> old.status or new.user_id <> old.user_id)"
        f" and {ENDED}) execute function app.note_chat_message()",
    )


def downgrade() -> None:
    op.drop_trigger("note_update", "chat_messages")
    op.drop_trigger("note_insert", "chat_messages")
    op.drop_trigger("record_event", "chat_messages")
    op.drop_function("app.note_chat_message()")
    op.execute("delete from sync_conflicts where field_group = 'CHAT'")
    op.drop_check("ck_sync_conflicts_field_group", "sync_conflicts")
    op.add_check("ck_sync_conflicts_field_group", "sync_conflicts", GROUPS.format(""))
    op.drop_index("ix_chat_messages_user_id_position", table_name="chat_messages")
    op.drop_column("chat_messages", "position")
    op.drop_column("chat_messages", "device_id")
    op.create_trigger(
        "record_event",
        "chat_messages",
        "after update",
        "for each row execute function app.record_event('chat.reply', 'id', '{}', '{}', 'user_id')",
    )
