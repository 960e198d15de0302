"""Events in partitions of a day, and a mark of what was dropped."""

from __future__ import annotations

from db.migrations.steps import run_all

revision = "0050"
down_revision = "0042"
branch_labels = None
depends_on = None

COLUMNS = "xid, id, topic, user_id, entity_id, snapshot, created_at"
LOCKS = (
    "alter table events enable row level security",
    "create policy service_all on events for all to service using (true) with check (true)",
)

PARTITIONED = (
    "create schema event_days",
    "alter table events rename to events_before",
    "alter table events_before alter column id drop identity",
    "create sequence events_id_seq",
    "select setval('events_id_seq', (select coalesce(max(id), 0) + 1 from events_before))",
    """
    create table events (
        xid xid8 not null default pg_current_xact_id(),
        id bigint not null default nextval('events_id_seq'),
        topic text not null,
        change text not null default 'UPDATE',
        user_id uuid,
        entity_id text,
        snapshot jsonb not null,
        created_at timestamptz not null default now(),
        constraint ck_events_change check (change in ('INSERT', 'UPDATE', 'DELETE'))
    ) partition by range (created_at)
    """,
    "alter sequence events_id_seq owned by events.id",
    "create table event_days.others partition of events default",
    "alter table event_days.others enable row level security",
    f"insert into events ({COLUMNS}) select {COLUMNS} from events_before",
    "drop table events_before",
    "alter table events add constraint pk_events primary key (xid, id, created_at)",
    "alter table events add constraint fk_events_user_id"
    " foreign key (user_id) references users (id) on delete cascade",
    "create index ix_events_user_id_topic_xid_id on events (user_id, topic, xid, id)",
    *LOCKS,
    "grant select on events to service",
    "alter table database_epoch add column dropped_xid xid8 not null default '0'::xid8",
    "alter table database_epoch add column dropped_id bigint not null default 0",
)

WHOLE = (
    "alter table database_epoch drop column dropped_xid, drop column dropped_id",
    "alter table events rename to events_before",
    "alter table events_before rename constraint pk_events to pk_events_before",
    """
    create table events (
        id bigint generated always as identity constraint pk_events primary key,
        xid xid8 not null default pg_current_xact_id(),
        topic text not null,
        user_id uuid constraint fk_events_user_id references users (id) on delete cascade,
        entity_id text,
        snapshot jsonb not null,
        created_at timestamptz not null default now()
    )
    """,
    f"insert into events ({COLUMNS}) overriding system value select {COLUMNS} from events_before",
    "select setval(pg_get_serial_sequence('events', 'id'),"
    " (select coalesce(max(id), 0) + 1 from events))",
    "drop table events_before",
    "alter sequence events_id_seq1 rename to events_id_seq",
    "drop schema event_days cascade",
    "create index ix_events_user_id on events (user_id)",
    "create index ix_events_xid_id on events (xid, id)",
    *LOCKS,
    "grant select, delete on events to service",
)


# What records events, for a log that does not say yet what kind of change one was.
RECORD_EVENT = """
create or replace function app.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    row_image jsonb := to_jsonb(new) - tg_argv[2:];
begin
    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - tg_argv[2:] then
        return null;
    end if;
    insert into public.events (topic, user_id, entity_id, snapshot)
    values (tg_argv[0], (row_image ->> 'user_id')::uuid, row_image ->> tg_argv[1], row_image);
    return null;
end;
$$
"""


def upgrade() -> None:
    run_all(PARTITIONED)


def downgrade() -> None:
    run_all([*WHOLE, RECORD_EVENT])
