"""API keys, about where a session was last seen, and its place in a list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0270"
down_revision = "0260"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("previous_prefix", sa.Text(), nullable=True),
        sa.Column("previous_secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "scopes <@ array['READ', 'WRITE'] and scopes <> '{}'", name=op.f("ck_api_keys_scopes")
        ),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_api_keys_name")),
        sa.CheckConstraint("requests_per_minute > 0", name=op.f("ck_api_keys_requests_per_minute")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index(op.f("ix_api_keys_expires_at"), "api_keys", ["expires_at"], unique=False)
    op.create_index(op.f("ix_api_keys_revoked_at"), "api_keys", ["revoked_at"], unique=False)
    op.create_index(
        "ix_api_keys_user_id", "api_keys", ["user_id", "created_at", "id"], unique=False
    )
    op.create_index("uq_api_keys_prefix", "api_keys", ["prefix"], unique=True)
    op.create_index("uq_api_keys_previous_prefix", "api_keys", ["previous_prefix"], unique=True)
    op.add_column("sessions", sa.Column("address", sa.Text(), nullable=True))
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.create_index(
        "ix_sessions_user_id", "sessions", ["user_id", "created_at", "id"], unique=False
    )
    op.create_function(
        "app.record_ended_secrets()",
        "create or replace function app.record_ended_secrets() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    kept bytea[] := '{}';\nbegin\n    if tg_op = 'UPDATE' and new.revoked_at is null then\n        kept := array[new.secret_hash, new.previous_secret_hash];\n    end if;\n    if old.revoked_at is null then\n        insert into public.deleted_sessions (id, deleted_at)\n        select encode(substring(ended.hash for 16), 'hex')::uuid, clock_timestamp()\n        from unnest(array[old.secret_hash, old.previous_secret_hash]) as ended (hash)\n        where ended.hash is not null and not coalesce(ended.hash = any (kept), false)\n        on conflict (id) do nothing;\n    end if;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.end_api_keys()",
        "create or replace function app.end_api_keys() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    update public.api_keys k set revoked_at = clock_timestamp()\n    where k.user_id = new.id and k.revoked_at is null;\n    return null;\nend;\n$$",
    )
    op.enable_row_level_security("api_keys")
    op.create_policy(
        "owner_select",
        "api_keys",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy("service_all", "api_keys", "for all to service using (true) with check (true)")
    op.grant("select, update, delete", "api_keys", "service")
    op.grant(
        "select (id, user_id, name, prefix, previous_prefix, previous_expires_at, scopes, requests_per_minute, created_at, rotated_at, last_used_at, expires_at, revoked_at)",
        "api_keys",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "api_keys",
        "after insert",
        "for each row when ((new.revoked_at is null) is not true) execute function app.refuse_transition('revoked_at')",
    )
    op.create_trigger(
        "lifecycle_update",
        "api_keys",
        "after update",
        "for each row when (old.revoked_at is distinct from new.revoked_at and (old.revoked_at is null and (new.revoked_at is not null)) is not true) execute function app.refuse_transition('revoked_at')",
    )
    op.create_trigger(
        "record_ended_secrets",
        "api_keys",
        "after update or delete",
        "for each row execute function app.record_ended_secrets()",
    )
    op.grant("select (address)", "sessions", "authenticated")
    op.create_trigger(
        "end_api_keys",
        "users",
        "after update",
        "for each row when (new.status <> 'active' and old.status = 'active' or old.role = 'admin' and new.role <> 'admin') execute function app.end_api_keys()",
    )


def downgrade() -> None:
    op.drop_trigger("end_api_keys", "users")
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.drop_column("sessions", "address")
    op.drop_index("uq_api_keys_previous_prefix", table_name="api_keys")
    op.drop_index("uq_api_keys_prefix", table_name="api_keys")
    op.drop_index("ix_api_keys_user_id", table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_revoked_at"), table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_expires_at"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_function("app.end_api_keys()")
    op.drop_function("app.record_ended_secrets()")
