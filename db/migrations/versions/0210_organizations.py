"""Organizations, their members and invitations, and in which one a user works."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0210"
down_revision = "0200"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_organizations_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "organization_invitations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')",
            name=op.f("ck_organization_invitations_role"),
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'ACCEPTED', 'REVOKED')",
            name=op.f("ck_organization_invitations_status"),
        ),
        sa.ForeignKeyConstraint(
            ["accepted_by"],
            ["users.id"],
            name=op.f("fk_organization_invitations_accepted_by"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"],
            ["users.id"],
            name=op.f("fk_organization_invitations_invited_by"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_invitations_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_invitations")),
    )
    op.create_index(
        op.f("ix_organization_invitations_accepted_by"),
        "organization_invitations",
        ["accepted_by"],
        unique=False,
    )
    op.create_index(
        op.f("ix_organization_invitations_invited_by"),
        "organization_invitations",
        ["invited_by"],
        unique=False,
    )
    op.create_index(
        "ix_organization_invitations_organization_id",
        "organization_invitations",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_organization_invitations_pending",
        "organization_invitations",
        ["organization_id", "email_key"],
        unique=True,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "organization_members",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column(
            "joined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')",
            name=op.f("ck_organization_members_role"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_members_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_organization_members_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_members")),
    )
    op.create_index(
        "ix_organization_members_organization_id",
        "organization_members",
        ["organization_id", "joined_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_organization_members_user_id_joined_at_id",
        "organization_members",
        ["user_id", "joined_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_organization_members_user_id",
        "organization_members",
        ["user_id", "organization_id"],
        unique=True,
    )
    op.add_column("users", sa.Column("selected_organization_id", sa.Uuid(), nullable=True))
    op.create_index(
        op.f("ix_users_selected_organization_id"),
        "users",
        ["selected_organization_id"],
        unique=False,
    )
    op.create_foreign_key(
        op.f("fk_users_selected_organization_id"),
        "users",
        "organizations",
        ["selected_organization_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_function(
        "app.record_membership()",
        "create or replace function app.record_membership() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    insert into public.events (topic, change, audience_kind, audience_id, snapshot)\n    select 'members.' || tg_argv[0], tg_op, tg_argv[0], changed.id, '{}'\n    from (select (to_jsonb(new) ->> tg_argv[1])::uuid union select (to_jsonb(old) ->> tg_argv[1])::uuid)\n        as changed (id)\n    where changed.id is not null;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.record_shared_event()",
        "create or replace function app.record_shared_event() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    hidden text[] := tg_argv[2]::text[];\n    whole jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end;\n    row_image jsonb := whole - hidden;\n    named text;\n    owner_id uuid;\n    kinds text[] := '{}';\n    ids uuid[] := '{}';\n    roles text[] := '{}';\n    shared_id bigint;\nbegin\n    if tg_op = 'UPDATE' and row_image = to_jsonb(old) - hidden then\n        return null;\n    end if;\n    for at in 4 .. tg_nargs - 1 by 4 loop\n        named := app.value_behind(whole, tg_argv[at + 3]::text[], tg_argv[at + 1]);\n        if tg_argv[at] = 'everybody' then\n            -- Who can no longer see the row is told that it is gone; who never could, nothing.\n            continue when tg_argv[at + 1] <> '' and named is distinct from 'true'\n                and (tg_op <> 'UPDATE' or to_jsonb(old) ->> tg_argv[at + 1] is distinct from 'true');\n            named := null;\n        elsif named is null then\n            continue;\n        elsif tg_argv[at] = 'user' then\n            if tg_op = 'DELETE' and not exists (select from public.users where id = named::uuid) then\n                row_image := jsonb_build_object(tg_argv[1], row_image -> tg_argv[1]);\n                continue;\n            end if;\n            owner_id := coalesce(owner_id, named::uuid);\n        end if;\n        kinds := kinds || tg_argv[at];\n        ids := ids || named::uuid;\n        roles := roles || nullif(tg_argv[at + 2], '{}');\n    end loop;\n    if cardinality(kinds) > 1 then\n        shared_id := nextval('public.events_id_seq');\n    end if;\n    insert into public.events (topic, change, user_id, audience_kind, audience_id, audience_roles, change_id,\n        entity_id, snapshot)\n    select tg_argv[0], tg_op, case kind when 'user' then id else owner_id end, kind, id, those::text[],\n        shared_id, row_image ->> tg_argv[1], row_image - tg_argv[3]::text[]\n    from unnest(kinds, ids, roles) as audience (kind, id, those);\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.name_member()",
        "create or replace function app.name_member() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    select u.email, u.display_name into new.email, new.display_name from public.users u where u.id = new.user_id;\n    return new;\nend;\n$$",
    )
    op.create_function(
        "app.rename_member()",
        "create or replace function app.rename_member() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    update public.organization_members m set email = new.email, display_name = new.display_name\n    where m.user_id = new.id;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.end_membership()",
        "create or replace function app.end_membership() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    heir uuid;\nbegin\n    update public.users u set selected_organization_id = null\n    where u.id = old.user_id and u.selected_organization_id = old.organization_id;\n    if old.role <> 'OWNER' or not exists (select from public.organizations o where o.id = old.organization_id)\n        or exists (select from public.organization_members m\n            where m.organization_id = old.organization_id and m.role = 'OWNER') then\n        return null;\n    end if;\n    select m.id into heir from public.organization_members m where m.organization_id = old.organization_id\n    order by app.organization_rank(m.role) desc, m.joined_at, m.id limit 1;\n    if heir is null then\n        delete from public.organizations o where o.id = old.organization_id;\n    else\n        update public.organization_members m set role = 'OWNER' where m.id = heir;\n    end if;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.organization_ids(text[])",
        "create or replace function app.organization_ids(roles text[]) returns uuid[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$ begin return array(select m.organization_id from public.organization_members m where m.user_id = app.user_id() and (roles = '{}' or m.role = any (roles))); end; $$",
    )
    op.enable_row_level_security("organization_invitations")
    op.create_policy(
        "member_select",
        "organization_invitations",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all",
        "organization_invitations",
        "for all to service using (true) with check (true)",
    )
    op.grant("select", "organization_invitations", "service")
    op.grant(
        "select (id, organization_id, email, role, status, invited_by, accepted_by, created_at, expires_at, ended_at)",
        "organization_invitations",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "organization_invitations",
        "after insert",
        "for each row when ((new.status = 'PENDING') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "organization_invitations",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('ACCEPTED', 'REVOKED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("organization_members")
    op.create_policy(
        "owner_select",
        "organization_members",
        "for select to authenticated using (user_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "organization_members", "for all to service using (true) with check (true)"
    )
    op.grant("select", "organization_members", "service")
    op.grant(
        "select (id, organization_id, user_id, role, email, display_name, joined_at)",
        "organization_members",
        "authenticated",
    )
    op.create_trigger(
        "record_membership",
        "organization_members",
        "after insert or delete or update of organization_id, user_id, role",
        "for each row execute function app.record_membership('organization', 'organization_id')",
    )
    op.create_trigger(
        "name_member",
        "organization_members",
        "before insert",
        "for each row execute function app.name_member()",
    )
    op.create_trigger(
        "end_membership",
        "organization_members",
        "after delete",
        "for each row execute function app.end_membership()",
    )
    op.enable_row_level_security("organizations")
    op.create_policy(
        "member_select",
        "organizations",
        "for select to authenticated using (id = any ((select app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "member_update",
        "organizations",
        "for update to authenticated using (id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[])) with check (id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]))",
    )
    op.create_policy(
        "service_all", "organizations", "for all to service using (true) with check (true)"
    )
    op.grant("select", "organizations", "service")
    op.grant(
        "select (id, name, created_at, updated_at), update (name, updated_at)",
        "organizations",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "organizations",
        "after update",
        "for each row execute function app.record_shared_event('organization.changed', 'id', '{}', '{}', 'organization', 'id', '{}', '{}')",
    )
    op.grant("select (selected_organization_id)", "users", "authenticated")
    op.create_trigger(
        "rename_member",
        "users",
        "after update",
        "for each row when (old.email is distinct from new.email or old.display_name is distinct from new.display_name) execute function app.rename_member()",
    )


def downgrade() -> None:
    op.drop_trigger("rename_member", "users")
    op.drop_column("users", "selected_organization_id")
    # With the policies and functions that refer to them.
    op.execute("drop table organization_members, organization_invitations, organizations cascade")
    op.drop_function("app.organization_ids(text[])")
    op.drop_function("app.end_membership()")
    op.drop_function("app.rename_member()")
    op.drop_function("app.name_member()")
