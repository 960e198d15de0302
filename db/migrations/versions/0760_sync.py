"""Sync: versions and positions of profiles, tombstones, and what lost a conflict."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade, run_all

revision = "0760"
down_revision = "0750"
branch_labels = None
depends_on = None

# What was there before is the server's, as late as each profile says.
PLACES = (
    """
    update profiles p set position = c.position, versions = jsonb_build_object(
        'NAME', c.version, 'THUMBNAIL', c.version, 'ANALYSIS', c.version, 'CHAT', c.version)
    from (
        select o.id, o.position, jsonb_build_object(
            'clock', (extract(epoch from greatest('epoch', least(o.updated_at, now()))) * 1000)::bigint << 16,
            'device', '', 'position', o.position, 'seen', '{}'::jsonb) as version
        from (select id, updated_at, row_number() over (partition by user_id order by id) as position
              from profiles) o
    ) c
    where c.id = p.id
    """,
    """
    insert into sync_heads (user_id, position, clock)
    select user_id, count(*), (extract(epoch from now()) * 1000)::bigint << 16
    from profiles group by user_id
    """,
)


def upgrade() -> None:
    op.drop_trigger("record_event", "profiles")
    _create_tombstones()
    _create_conflicts()
    _extend_profiles()
    run_all(PLACES)
    _create_functions()
    _protect()


def _create_tombstones() -> None:
    op.create_table(
        "profile_tombstones",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("origin_device_id", sa.Text(), nullable=True),
        sa.Column("origin_local_id", sa.Integer(), nullable=True),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column(
            "seen",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("is_revived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_profile_tombstones_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_profile_tombstones")),
    )
    op.create_index(
        "ix_profile_tombstones_deleted_at", "profile_tombstones", ["deleted_at"], unique=False
    )
    op.create_index(
        "ix_profile_tombstones_origin",
        "profile_tombstones",
        ["user_id", "origin_device_id", "origin_local_id"],
        unique=False,
        postgresql_where=sa.text("origin_local_id is not null"),
    )
    op.create_index(
        "ix_profile_tombstones_user_id_position",
        "profile_tombstones",
        ["user_id", "position"],
        unique=False,
    )


def _create_conflicts() -> None:
    op.create_table(
        "sync_conflicts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("field_group", sa.Text(), nullable=False),
        sa.Column("loser", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column(
            "value", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kept", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stored_bytes",
            sa.Integer(),
            sa.Computed("octet_length(coalesce(value::text, '')) + 64", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'RESOLVED') = (resolved_at is not null) and (status = 'RESOLVED') = (kept is not null)",
            name=op.f("ck_sync_conflicts_resolved"),
        ),
        sa.CheckConstraint(
            "field_group in ('NAME', 'THUMBNAIL', 'ANALYSIS', 'PROFILE', 'DELETION')",
            name=op.f("ck_sync_conflicts_field_group"),
        ),
        sa.CheckConstraint("kept in ('CURRENT', 'LOST')", name=op.f("ck_sync_conflicts_kept")),
        sa.CheckConstraint("loser in ('SERVER', 'CLIENT')", name=op.f("ck_sync_conflicts_loser")),
        sa.CheckConstraint(
            "status in ('OPEN', 'SETTLED', 'RESOLVED', 'DELETED')",
            name=op.f("ck_sync_conflicts_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sync_conflicts_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_conflicts")),
        sa.UniqueConstraint(
            "profile_id",
            "field_group",
            "device_id",
            "clock",
            name="uq_sync_conflicts_change",
        ),
    )
    op.create_index("ix_sync_conflicts_created_at", "sync_conflicts", ["created_at"], unique=False)
    op.create_index(
        "ix_sync_conflicts_profile_id", "sync_conflicts", ["profile_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_sync_conflicts_user_id_created_at_id",
        "sync_conflicts",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_sync_conflicts_user_id_status",
        "sync_conflicts",
        ["user_id", "status", "created_at", "id"],
        unique=False,
    )


def _extend_profiles() -> None:
    op.create_table(
        "sync_heads",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sync_heads_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_sync_heads")),
        postgresql_with={"fillfactor": "50"},
    )
    op.add_column("profiles", sa.Column("device_id", sa.Text(), nullable=True))
    op.add_column("profiles", sa.Column("origin_device_id", sa.Text(), nullable=True))
    op.add_column("profiles", sa.Column("origin_local_id", sa.Integer(), nullable=True))
    op.add_column(
        "profiles",
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "profiles",
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_profiles_user_id_position", "profiles", ["user_id", "position"], unique=False
    )
    op.create_unique_constraint(
        op.f("uq_profiles_user_id_origin_device_id_origin_local_id"),
        "profiles",
        ["user_id", "origin_device_id", "origin_local_id"],
    )


def _create_functions() -> None:
    op.create_function(
        "app.note_profile_change()",
        "create or replace function app.note_profile_change() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    head public.sync_heads := app.advance_sync(new.user_id, 1);\n    is_new boolean := new.user_id is distinct from old.user_id;\nbegin\n    new.position := head.position;\n    new.device_id := null;\n    new.versions := new.versions || coalesce((\n        select jsonb_object_agg(g.field_group, app.profile_version(new.versions -> g.field_group, head.clock, '',\n                                                                   head.position, head.clock))\n        from (values ('NAME', new.name is distinct from old.name),\n                     ('THUMBNAIL', new.thumbnail is distinct from old.thumbnail),\n                     ('ANALYSIS', new.analysis is distinct from old.analysis),\n                     ('CHAT', new.chat_history is distinct from old.chat_history)) as g (field_group, is_changed)\n        where is_new or g.is_changed), '{}');\n    return new;\nend;\n$$",
    )
    op.create_function(
        "app.bury_profiles()",
        "create or replace function app.bury_profiles() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    owner_id uuid;\n    buried bigint;\n    head public.sync_heads;\nbegin\n    for owner_id, buried in select o.user_id, count(*) from old_rows o join public.users u on u.id = o.user_id\n        where not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived)\n            and not exists (select from public.account_deletions d where d.user_id = o.user_id\n                            and d.began_at is not null)\n        group by o.user_id\n    loop\n        head := app.advance_sync(owner_id, buried);\n        insert into public.sync_conflicts (user_id, profile_id, field_group, loser, device_id, clock, value, status)\n        select o.user_id, o.id, 'PROFILE', 'SERVER', '', head.clock, app.profile_content(to_jsonb(o)), 'DELETED'\n        from old_rows o where o.user_id = owner_id\n            and not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived);\n        insert into public.profile_tombstones as t (profile_id, user_id, origin_device_id, origin_local_id, device_id,\n                                                    clock, position, versions)\n        select o.id, o.user_id, o.origin_device_id, o.origin_local_id, '', head.clock,\n               head.position - buried + row_number() over (order by o.id), o.versions\n        from old_rows o where o.user_id = owner_id\n            and not exists (select from public.profile_tombstones t where t.profile_id = o.id and not t.is_revived)\n        on conflict (profile_id) do update\n        set device_id = '', clock = excluded.clock, position = excluded.position, versions = excluded.versions,\n            is_revived = false, deleted_at = now();\n    end loop;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.note_forgotten_tombstones()",
        "create or replace function app.note_forgotten_tombstones() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    update public.sync_heads h set forgotten = greatest(h.forgotten, o.position)\n    from (select user_id, max(position) as position from old_rows group by user_id) o\n    where h.user_id = o.user_id;\n    return null;\nend;\n$$",
    )


def _protect() -> None:
    op.enable_row_level_security("profile_tombstones")
    op.create_policy(
        "service_all", "profile_tombstones", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "profile_tombstones", "service")
    op.create_trigger(
        "note_forgotten",
        "profile_tombstones",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.note_forgotten_tombstones()",
    )
    op.grant("select (device_id)", "profiles", "authenticated")
    op.create_trigger(
        "record_event",
        "profiles",
        "after insert or update or delete",
        "for each row execute function app.record_event('profiles.changed', 'id', '{origin_device_id,origin_local_id,position,versions}', '{thumbnail,analysis,chat_history}', 'user_id')",
    )
    op.create_trigger(
        "note_insert",
        "profiles",
        "before insert",
        "for each row when (new.position = 0) execute function app.note_profile_change()",
    )
    op.create_trigger(
        "note_update",
        "profiles",
        "before update",
        "for each row when (new.position = old.position and new.versions = old.versions) execute function app.note_profile_change()",
    )
    op.create_trigger(
        "note_delete",
        "profiles",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.bury_profiles()",
    )
    op.enable_row_level_security("sync_conflicts")
    op.create_policy(
        "owner_select",
        "sync_conflicts",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "sync_conflicts", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "sync_conflicts", "service")
    op.grant(
        "select (id, user_id, profile_id, field_group, loser, device_id, clock, value, status, kept, created_at, resolved_at, stored_bytes)",
        "sync_conflicts",
        "authenticated",
    )
    op.create_trigger(
        "count_insert",
        "sync_conflicts",
        "after insert",
        "for each row execute function app.count_use('FORGET', '')",
    )
    op.create_trigger(
        "count_update",
        "sync_conflicts",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('FORGET', '')",
    )
    op.create_trigger(
        "count_delete",
        "sync_conflicts",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.create_trigger(
        "lifecycle_insert",
        "sync_conflicts",
        "after insert",
        "for each row when ((new.status in ('OPEN', 'SETTLED', 'DELETED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "sync_conflicts",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'OPEN' and (new.status = 'RESOLVED') or old.status = 'SETTLED' and (new.status = 'RESOLVED') or old.status = 'DELETED' and (new.status = 'RESOLVED')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("sync_heads")
    op.create_policy(
        "service_all", "sync_heads", "for all to service using (true) with check (true)"
    )
    op.grant("select", "sync_heads", "service")


def downgrade() -> None:
    op.drop_trigger("note_delete", "profiles")
    op.drop_trigger("note_update", "profiles")
    op.drop_trigger("note_insert", "profiles")
    op.drop_trigger("record_event", "profiles")
    op.drop_constraint(
        op.f("uq_profiles_user_id_origin_device_id_origin_local_id"), "profiles", type_="unique"
    )
    op.drop_index("ix_profiles_user_id_position", table_name="profiles")
    op.drop_column("profiles", "versions")
    op.drop_column("profiles", "position")
    op.drop_column("profiles", "origin_local_id")
    op.drop_column("profiles", "origin_device_id")
    op.drop_column("profiles", "device_id")
    drop_table_cascade("sync_heads")
    op.drop_index("ix_sync_conflicts_user_id_status", table_name="sync_conflicts")
    op.drop_index("ix_sync_conflicts_user_id_created_at_id", table_name="sync_conflicts")
    op.drop_index("ix_sync_conflicts_profile_id", table_name="sync_conflicts")
    op.drop_index("ix_sync_conflicts_created_at", table_name="sync_conflicts")
    op.drop_table("sync_conflicts")
    op.drop_index("ix_profile_tombstones_user_id_position", table_name="profile_tombstones")
    op.drop_index(
        "ix_profile_tombstones_origin",
        table_name="profile_tombstones",
        postgresql_where=sa.text("origin_local_id is not null"),
    )
    op.drop_index("ix_profile_tombstones_deleted_at", table_name="profile_tombstones")
    op.drop_table("profile_tombstones")
    op.drop_function("app.note_forgotten_tombstones()")
    op.drop_function("app.bury_profiles()")
    op.drop_function("app.note_profile_change()")
    op.create_trigger(
        "record_event",
        "profiles",
        "AFTER INSERT OR DELETE OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_event('profiles.changed', 'id', '{}', '{thumbnail,analysis,chat_history}', 'user_id')",
    )
