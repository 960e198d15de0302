"""API keys and audit logs of organizations, their deletion, first ones, and places of campaigns that are over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1090"
down_revision = "1081"
branch_labels = None
depends_on = None

# Functions that take or return rows of tables, which go before the tables can.
OF_ROWS = ("app.enter_api_key(uuid)",)
# A campaign that is over took its place for ever.
RELEASED = """
update organization_usage u set used = greatest(0, u.used - (
    select count(*) from campaigns c where c.organization_id = u.organization_id and c.ended_at is not null))
where u.kind = 'CAMPAIGNS'
"""
TAKEN = """
update organization_usage u set used = u.used + (
    select count(*) from campaigns c where c.organization_id = u.organization_id and c.ended_at is not null)
where u.kind = 'CAMPAIGNS'
"""
NOTED = """
insert into organization_audit_log (organization_id, user_id, actor, action, subject, role, created_at)
select o.id, l.user_id, coalesce(u.email, u.display_name), l.action,
    coalesce(l.detail ->> 'member', l.detail ->> 'invitation', l.detail ->> 'run', l.detail ->> 'campaign',
        l.detail ->> 'workflow', l.detail ->> 'plan'),
    l.detail ->> 'role', l.created_at
from audit_log l
join organizations o on 'organization_' || o.id = l.detail ->> 'organization'
left join users u on u.id = l.user_id
where l.detail ? 'organization' order by l.id
"""
ROBOTS = (
    "delete from users where id in (select user_id from api_keys where organization_id is not null)"
)


def upgrade() -> None:
    op.drop_policy("owner_select", "api_keys")
    op.create_table(
        "organization_audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_audit_log_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_organization_audit_log_user_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_audit_log")),
    )
    op.create_index(
        "ix_organization_audit_log_created_at",
        "organization_audit_log",
        ["created_at"],
        unique=False,
    )
    op.create_index(
        "ix_organization_audit_log_organization_id",
        "organization_audit_log",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_organization_audit_log_subject",
        "organization_audit_log",
        ["subject"],
        unique=False,
        postgresql_where=sa.text("starts_with(subject, 'user_')"),
    )
    op.create_index(
        "ix_organization_audit_log_user_id", "organization_audit_log", ["user_id"], unique=False
    )
    op.add_column("api_keys", sa.Column("organization_id", sa.Uuid(), nullable=True))
    op.add_column("api_keys", sa.Column("role", sa.Text(), nullable=True))
    op.create_index(
        "ix_api_keys_organization_id",
        "api_keys",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        op.f("fk_api_keys_organization_id"),
        "api_keys",
        "organizations",
        ["organization_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.add_column(
        "organization_members",
        sa.Column("is_robot", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "organizations", sa.Column("deletes_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        op.f("ix_organizations_deletes_at"), "organizations", ["deletes_at"], unique=False
    )
    op.add_column(
        "sign_up_terms",
        sa.Column(
            "founds_organization", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.create_function(
        "app.remove_robot()",
        "create or replace function app.remove_robot() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    delete from public.users u where u.id = old.user_id;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.release_campaign()",
        "create or replace function app.release_campaign() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    perform app.release_plan_limit(new.organization_id, 'CAMPAIGNS');\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.note_for_organization()",
        "create or replace function app.note_for_organization() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    insert into public.organization_audit_log (organization_id, user_id, actor, action, subject, role, created_at)\n    select o.id, new.user_id, (select coalesce(u.email, u.display_name) from public.users u where u.id = new.user_id),\n        new.action, coalesce(new.detail ->> 'member', new.detail ->> 'invitation', new.detail ->> 'api_key',\n            new.detail ->> 'run', new.detail ->> 'campaign', new.detail ->> 'workflow', new.detail ->> 'plan'),\n        new.detail ->> 'role', new.created_at\n    from public.organizations o where o.id = substr(new.detail ->> 'organization', 14)::uuid;\n    return null;\nend;\n$$",
    )
    op.add_check(
        "ck_api_keys_role",
        "api_keys",
        "((organization_id is null) = (role is null) and coalesce(role in ('ADMIN', 'MEMBER', 'VIEWER'), true))",
    )
    op.create_policy(
        "owner_select",
        "api_keys",
        "for select to authenticated using (user_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]))",
    )
    op.grant("select (organization_id, role)", "api_keys", "authenticated")
    op.create_trigger(
        "remove_robot",
        "api_keys",
        "after delete",
        "for each row when (old.organization_id is not null) execute function app.remove_robot()",
    )
    op.create_trigger(
        "note_for_organization",
        "audit_log",
        "after insert",
        "for each row when (starts_with(new.detail ->> 'organization', 'organization_')) execute function app.note_for_organization()",
    )
    op.create_trigger(
        "release_campaign",
        "campaigns",
        "after update",
        "for each row when (old.ended_at is null and new.ended_at is not null) execute function app.release_campaign()",
    )
    op.enable_row_level_security("organization_audit_log")
    op.create_policy(
        "member_select",
        "organization_audit_log",
        "for select to authenticated using (organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "organization_audit_log", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "organization_audit_log", "service")
    op.grant(
        "select (id, organization_id, user_id, actor, action, subject, role, created_at)",
        "organization_audit_log",
        "authenticated",
    )
    op.add_check(
        "ck_organization_members_is_robot",
        "organization_members",
        "(not is_robot or role <> 'OWNER')",
    )
    op.grant("select (is_robot)", "organization_members", "authenticated")
    op.grant("select (deletes_at)", "organizations", "authenticated")
    op.execute(RELEASED)
    op.execute(NOTED)


def downgrade() -> None:
    op.execute(ROBOTS)
    op.execute(TAKEN)
    for function in OF_ROWS:
        op.drop_function(function)
    op.drop_check("ck_organization_members_is_robot", "organization_members")
    op.drop_trigger("release_campaign", "campaigns")
    op.drop_trigger("note_for_organization", "audit_log")
    op.drop_trigger("remove_robot", "api_keys")
    op.drop_policy("owner_select", "api_keys")
    op.drop_check("ck_api_keys_role", "api_keys")
    op.drop_function("app.note_for_organization()")
    op.drop_function("app.release_campaign()")
    op.drop_function("app.remove_robot()")
    op.drop_column("sign_up_terms", "founds_organization")
    op.drop_index(op.f("ix_organizations_deletes_at"), table_name="organizations")
    op.drop_column("organizations", "deletes_at")
    op.drop_column("organization_members", "is_robot")
    op.drop_constraint(op.f("fk_api_keys_organization_id"), "api_keys", type_="foreignkey")
    op.drop_index("ix_api_keys_organization_id", table_name="api_keys")
    op.drop_column("api_keys", "role")
    op.drop_column("api_keys", "organization_id")
    op.drop_index("ix_organization_audit_log_user_id", table_name="organization_audit_log")
    op.drop_index(
        "ix_organization_audit_log_subject",
        table_name="organization_audit_log",
        postgresql_where=sa.text("starts_with(subject, 'user_')"),
    )
    op.drop_index("ix_organization_audit_log_organization_id", table_name="organization_audit_log")
    op.drop_index("ix_organization_audit_log_created_at", table_name="organization_audit_log")
    op.drop_table("organization_audit_log")
    op.create_policy(
        "owner_select",
        "api_keys",
        "for select to authenticated using ((user_id = ( SELECT app.user_id() AS user_id)))",
    )
