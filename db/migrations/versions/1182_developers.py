"""developers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade

revision = "1182"
down_revision = "1181"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_tables()
    _make_more_tables()
    _declare_access()


def _make_tables() -> None:
    op.create_table(
        "developer_tiers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=False),
        sa.Column("whitelist_entries", sa.Integer(), nullable=False),
        sa.Column("obfuscations", sa.Integer(), nullable=False),
        sa.Column("obfuscation_period", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "obfuscation_period in ('DAY', 'WEEK')",
            name=op.f("ck_developer_tiers_obfuscation_period"),
        ),
        sa.CheckConstraint(
            "requests_per_minute > 0", name=op.f("ck_developer_tiers_requests_per_minute")
        ),
        sa.CheckConstraint(
            "whitelist_entries >= -1 and obfuscations >= -1", name=op.f("ck_developer_tiers_limits")
        ),
        sa.ForeignKeyConstraint(
            ["id"], ["plans.id"], name=op.f("fk_developer_tiers_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_developer_tiers")),
    )
    op.create_table(
        "developer_keys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_developer_keys_name")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_developer_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_developer_keys")),
    )
    op.create_index(
        op.f("ix_developer_keys_revoked_at"), "developer_keys", ["revoked_at"], unique=False
    )
    op.create_index(
        "ix_developer_keys_user_id_created_at_id",
        "developer_keys",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_developer_keys_name",
        "developer_keys",
        ["user_id", "name"],
        unique=True,
        postgresql_where=sa.text("revoked_at is null"),
    )
    op.create_index("uq_developer_keys_secret_hash", "developer_keys", ["secret_hash"], unique=True)
    op.create_table(
        "developer_products",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roblox_group_id", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("proof_phrase", sa.Text(), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True),
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
        sa.CheckConstraint(
            "length(description) <= 2000", name=op.f("ck_developer_products_description")
        ),
        sa.CheckConstraint(
            "length(name) between 1 and 100", name=op.f("ck_developer_products_name")
        ),
        sa.CheckConstraint(
            "roblox_group_id > 0", name=op.f("ck_developer_products_roblox_group_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_developer_products_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_developer_products")),
        sa.UniqueConstraint(
            "user_id", "roblox_group_id", name=op.f("uq_developer_products_user_id_roblox_group_id")
        ),
    )
    op.create_index(
        "ix_developer_products_user_id_created_at_id",
        "developer_products",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_developer_products_proven",
        "developer_products",
        ["roblox_group_id"],
        unique=True,
        postgresql_where=sa.text("proven_at is not null"),
    )
    op.create_table(
        "obfuscation_uses",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "source in ('ALLOWANCE', 'CREDIT')", name=op.f("ck_obfuscation_uses_source")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_obfuscation_uses_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_obfuscation_uses")),
    )
    op.create_index(
        "ix_obfuscation_uses_created_at", "obfuscation_uses", ["created_at"], unique=False
    )
    op.create_index(
        "ix_obfuscation_uses_user_id_created_at_id",
        "obfuscation_uses",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "api_request_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(request_id) <= 40 and length(method) <= 10 and length(endpoint) <= 100",
            name=op.f("ck_api_request_logs_texts"),
        ),
        sa.CheckConstraint(
            "status_code between 100 and 599", name=op.f("ck_api_request_logs_status_code")
        ),
        sa.ForeignKeyConstraint(
            ["key_id"],
            ["developer_keys.id"],
            name=op.f("fk_api_request_logs_key_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_request_logs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_request_logs")),
    )
    op.create_index(
        "ix_api_request_logs_created_at", "api_request_logs", ["created_at"], unique=False
    )
    op.create_index(
        op.f("ix_api_request_logs_key_id"), "api_request_logs", ["key_id"], unique=False
    )
    op.create_index(
        "ix_api_request_logs_user_id_created_at_id",
        "api_request_logs",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "licences",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("developer_product_id", sa.Uuid(), nullable=True),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("sale_id", sa.Uuid(), nullable=True),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("key_end", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), server_default="MADE", nullable=False),
        sa.Column("status", sa.Text(), server_default="AVAILABLE", nullable=False),
        sa.Column("max_activations", sa.Integer(), nullable=True),
        sa.Column("activation_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("duration_days", sa.Integer(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discord_id", sa.Text(), nullable=True),
        sa.Column("roblox_id", sa.BigInteger(), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("banned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("banned_from", sa.Text(), nullable=True),
        sa.Column("ban_reason", sa.Text(), nullable=True),
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
        sa.CheckConstraint(
            "(status = 'BANNED') = (banned_at is not null) and (banned_at is null) = (banned_from is null)",
            name=op.f("ck_licences_banned_at"),
        ),
        sa.CheckConstraint("discord_id ~ '^[0-9]{17,19}$'", name=op.f("ck_licences_discord_id")),
        sa.CheckConstraint("source in ('MADE', 'SOLD', 'GIVEN')", name=op.f("ck_licences_source")),
        sa.CheckConstraint(
            "status <> 'REDEEMED' or redeemed_at is not null", name=op.f("ck_licences_redeemed_at")
        ),
        sa.CheckConstraint(
            "status in ('AVAILABLE', 'REDEEMED', 'BANNED')", name=op.f("ck_licences_status")
        ),
        sa.CheckConstraint("activation_count >= 0", name=op.f("ck_licences_activation_count")),
        sa.CheckConstraint(
            "duration_days between 1 and 36500", name=op.f("ck_licences_duration_days")
        ),
        sa.CheckConstraint("isfinite(expires_at)", name=op.f("ck_licences_expires_at")),
        sa.CheckConstraint("length(ban_reason) <= 500", name=op.f("ck_licences_ban_reason")),
        sa.CheckConstraint(
            "max_activations between 1 and 10000", name=op.f("ck_licences_max_activations")
        ),
        sa.CheckConstraint(
            "num_nonnulls(product_id, developer_product_id) = 1", name=op.f("ck_licences_product")
        ),
        sa.CheckConstraint("roblox_id > 0", name=op.f("ck_licences_roblox_id")),
        sa.ForeignKeyConstraint(
            ["developer_product_id"],
            ["developer_products.id"],
            name=op.f("fk_licences_developer_product_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_licences_owner_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_licences_product_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["seller_id"], ["users.id"], name=op.f("fk_licences_seller_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licences")),
    )
    op.create_index(
        "ix_licences_developer_product_id_created_at_id",
        "licences",
        ["developer_product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_licences_discord_id", "licences", ["discord_id"], unique=False)
    op.create_index(
        "ix_licences_owner_id_created_at_id",
        "licences",
        ["owner_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_licences_product_id_created_at_id",
        "licences",
        ["product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_licences_roblox_id", "licences", ["roblox_id"], unique=False)
    op.create_index(
        "ix_licences_seller_id_created_at_id",
        "licences",
        ["seller_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("uq_licences_key_hash", "licences", ["key_hash"], unique=True)
    op.create_index("uq_licences_sale_id", "licences", ["sale_id"], unique=True)
    op.create_table(
        "whitelist_entries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("roblox_id", sa.BigInteger(), nullable=False),
        sa.Column("discord_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
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
        sa.Column("stored_bytes", sa.Integer(), sa.Computed("96", persisted=True), nullable=False),
        sa.CheckConstraint(
            "discord_id ~ '^[0-9]{17,19}$'", name=op.f("ck_whitelist_entries_discord_id")
        ),
        sa.CheckConstraint("isfinite(expires_at)", name=op.f("ck_whitelist_entries_expires_at")),
        sa.CheckConstraint("roblox_id > 0", name=op.f("ck_whitelist_entries_roblox_id")),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["developer_products.id"],
            name=op.f("fk_whitelist_entries_product_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_whitelist_entries_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelist_entries")),
        sa.UniqueConstraint(
            "product_id", "roblox_id", name=op.f("uq_whitelist_entries_product_id_roblox_id")
        ),
    )
    op.create_index(
        "ix_whitelist_entries_discord_id", "whitelist_entries", ["discord_id"], unique=False
    )
    op.create_index(
        "ix_whitelist_entries_expires_at", "whitelist_entries", ["expires_at"], unique=False
    )
    op.create_index(
        "ix_whitelist_entries_product_id_created_at_id",
        "whitelist_entries",
        ["product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_whitelist_entries_product_id_discord_id",
        "whitelist_entries",
        ["product_id", "discord_id"],
        unique=False,
    )
    op.create_index(
        "ix_whitelist_entries_product_id_expires_at",
        "whitelist_entries",
        ["product_id", "expires_at"],
        unique=False,
    )
    op.create_index(
        "ix_whitelist_entries_roblox_id", "whitelist_entries", ["roblox_id"], unique=False
    )
    op.create_index("ix_whitelist_entries_user_id", "whitelist_entries", ["user_id"], unique=False)
    op.create_table(
        "whitelist_systems",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("developer_product_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
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
        sa.CheckConstraint(
            "length(description) <= 2000", name=op.f("ck_whitelist_systems_description")
        ),
        sa.CheckConstraint(
            "length(name) between 1 and 100", name=op.f("ck_whitelist_systems_name")
        ),
        sa.ForeignKeyConstraint(
            ["developer_product_id"],
            ["developer_products.id"],
            name=op.f("fk_whitelist_systems_developer_product_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_whitelist_systems_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelist_systems")),
    )
    op.create_index(
        op.f("ix_whitelist_systems_developer_product_id"),
        "whitelist_systems",
        ["developer_product_id"],
        unique=False,
    )
    op.create_index(
        "ix_whitelist_systems_user_id_created_at_id",
        "whitelist_systems",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "licence_activations",
        sa.Column("licence_id", sa.Uuid(), nullable=False),
        sa.Column("machine_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["licence_id"],
            ["licences.id"],
            name=op.f("fk_licence_activations_licence_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("licence_id", "machine_hash", name=op.f("pk_licence_activations")),
    )
    op.create_table(
        "whitelist_users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("system_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("discord_id", sa.Text(), nullable=True),
        sa.Column("roblox_id", sa.BigInteger(), nullable=True),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("banned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ban_reason", sa.Text(), nullable=True),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
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
        sa.Column(
            "stored_bytes",
            sa.Integer(),
            sa.Computed("160 + octet_length(details::text)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'BANNED') = (banned_at is not null)",
            name=op.f("ck_whitelist_users_banned_at"),
        ),
        sa.CheckConstraint(
            "discord_id ~ '^[0-9]{17,19}$'", name=op.f("ck_whitelist_users_discord_id")
        ),
        sa.CheckConstraint(
            "status in ('ACTIVE', 'EXPIRED', 'BANNED', 'REMOVED')",
            name=op.f("ck_whitelist_users_status"),
        ),
        sa.CheckConstraint("isfinite(expires_at)", name=op.f("ck_whitelist_users_expires_at")),
        sa.CheckConstraint("length(ban_reason) <= 500", name=op.f("ck_whitelist_users_ban_reason")),
        sa.CheckConstraint(
            "length(changed_by) between 1 and 64", name=op.f("ck_whitelist_users_changed_by")
        ),
        sa.CheckConstraint(
            "length(external_id) between 1 and 64", name=op.f("ck_whitelist_users_external_id")
        ),
        sa.CheckConstraint(
            "length(username) between 1 and 100", name=op.f("ck_whitelist_users_username")
        ),
        sa.CheckConstraint(
            "octet_length(details::text) <= 4096", name=op.f("ck_whitelist_users_details")
        ),
        sa.CheckConstraint("roblox_id > 0", name=op.f("ck_whitelist_users_roblox_id")),
        sa.ForeignKeyConstraint(
            ["system_id"],
            ["whitelist_systems.id"],
            name=op.f("fk_whitelist_users_system_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_whitelist_users_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelist_users")),
        sa.UniqueConstraint(
            "system_id", "external_id", name=op.f("uq_whitelist_users_system_id_external_id")
        ),
    )


def _make_more_tables() -> None:
    op.create_index(
        "ix_whitelist_users_discord_id", "whitelist_users", ["discord_id"], unique=False
    )
    op.create_index("ix_whitelist_users_key_hash", "whitelist_users", ["key_hash"], unique=False)
    op.create_index(
        "ix_whitelist_users_removed",
        "whitelist_users",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("status = 'REMOVED'"),
    )
    op.create_index("ix_whitelist_users_roblox_id", "whitelist_users", ["roblox_id"], unique=False)
    op.create_index(
        "ix_whitelist_users_system_id_created_at_id",
        "whitelist_users",
        ["system_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_whitelist_users_system_id_position",
        "whitelist_users",
        ["system_id", "position"],
        unique=False,
    )
    op.create_index("ix_whitelist_users_user_id", "whitelist_users", ["user_id"], unique=False)
    op.create_index(
        "uq_whitelist_users_key_hash", "whitelist_users", ["system_id", "key_hash"], unique=True
    )
    op.create_function(
        "app.record_ended_developer_key()",
        "create or replace function app.record_ended_developer_key() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    if old.revoked_at is null and (tg_op = 'DELETE' or new.revoked_at is not null) then\n        insert into public.deleted_sessions (id, deleted_at)\n        values (encode(substring(old.secret_hash for 16), 'hex')::uuid, clock_timestamp())\n        on conflict (id) do nothing;\n    end if;\n    return null;\nend;\n$$",
    )
    op.create_function(
        "app.note_forgotten_whitelist()",
        "create or replace function app.note_forgotten_whitelist() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    update public.whitelist_systems s set forgotten = greatest(s.forgotten, o.position)\n    from (select system_id, max(position) as position from old_rows group by system_id) o\n    where s.id = o.system_id;\n    return null;\nend;\n$$",
    )
    op.enable_row_level_security("api_request_logs")
    op.create_policy(
        "owner_select",
        "api_request_logs",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "api_request_logs", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, delete", "api_request_logs", "service")
    op.grant(
        "select (id, user_id, key_id, request_id, method, endpoint, status_code, created_at)",
        "api_request_logs",
        "authenticated",
    )
    op.enable_row_level_security("developer_keys")
    op.create_policy(
        "owner_select",
        "developer_keys",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "developer_keys", "for all to service using (true) with check (true)"
    )
    op.grant("select, update, delete", "developer_keys", "service")
    op.grant(
        "select (id, user_id, name, preview, created_at, last_used_at, revoked_at)",
        "developer_keys",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "developer_keys",
        "after insert",
        "for each row when ((new.revoked_at is null) is not true) execute function app.refuse_transition('revoked_at')",
    )
    op.create_trigger(
        "lifecycle_update",
        "developer_keys",
        "after update",
        "for each row when (old.revoked_at is distinct from new.revoked_at and (old.revoked_at is null and (new.revoked_at is not null)) is not true) execute function app.refuse_transition('revoked_at')",
    )
    op.create_trigger(
        "record_ended_developer_key",
        "developer_keys",
        "after update or delete",
        "for each row execute function app.record_ended_developer_key()",
    )
    op.enable_row_level_security("developer_products")
    op.create_policy(
        "owner_select",
        "developer_products",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "developer_products", "for all to service using (true) with check (true)"
    )
    op.grant("select", "developer_products", "service")
    op.grant(
        "select (id, user_id, name, roblox_group_id, description, proof_phrase, proven_at, created_at, updated_at)",
        "developer_products",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "developer_products",
        "after insert or update or delete",
        "for each row execute function app.record_event('developer_product.changed', 'id', '{}', '{}', 'user_id')",
    )
    op.enable_row_level_security("developer_tiers")
    op.create_policy(
        "public_select", "developer_tiers", "for select to anon, authenticated using (true)"
    )
    op.create_policy(
        "service_all", "developer_tiers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "developer_tiers", "service")
    op.grant(
        "select (id, requests_per_minute, whitelist_entries, obfuscations, obfuscation_period, sort_order)",
        "developer_tiers",
        "anon, authenticated",
    )
    op.enable_row_level_security("licence_activations")
    op.create_policy(
        "service_all", "licence_activations", "for all to service using (true) with check (true)"
    )
    op.grant("select", "licence_activations", "service")
    op.enable_row_level_security("licences")


def _declare_access() -> None:
    op.create_policy(
        "owner_select",
        "licences",
        "for select to authenticated using (owner_id = (select app.user_id()) or seller_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "licences", "for all to service using (true) with check (true)")
    op.grant("select", "licences", "service")
    op.grant(
        "select (id, product_id, developer_product_id, seller_id, owner_id, sale_id, key_sealed, key_end, source, status, max_activations, activation_count, duration_days, expires_at, discord_id, roblox_id, redeemed_at, banned_at, ban_reason, created_at, updated_at)",
        "licences",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "licences",
        "after insert or update or delete",
        "for each row execute function app.record_shared_event('licence.changed', 'id', '{key_hash,banned_from,key_sealed}', '{}', 'user', 'owner_id', '{}', '{}', 'user', 'seller_id', '{}', '{}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "licences",
        "after insert",
        "for each row when ((new.status = 'AVAILABLE') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "licences",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'AVAILABLE' and (new.status in ('REDEEMED', 'BANNED')) or old.status = 'REDEEMED' and (new.status = 'BANNED') or old.status = 'BANNED' and (new.status in ('AVAILABLE', 'REDEEMED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("obfuscation_uses")
    op.create_policy(
        "owner_select",
        "obfuscation_uses",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "obfuscation_uses", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "obfuscation_uses", "service")
    op.grant("select (id, user_id, source, created_at)", "obfuscation_uses", "authenticated")
    op.enable_row_level_security("whitelist_entries")
    op.create_policy(
        "owner_select",
        "whitelist_entries",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "whitelist_entries", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "whitelist_entries", "service")
    op.grant(
        "select (id, user_id, product_id, roblox_id, discord_id, expires_at, created_at, updated_at, stored_bytes)",
        "whitelist_entries",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "whitelist_entries",
        "after insert or update or delete",
        "for each row execute function app.record_event('whitelist_entry.changed', 'product_id', '{}', '{}', 'user_id')",
    )
    op.create_trigger(
        "count_insert",
        "whitelist_entries",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'removeWhitelistEntries')",
    )
    op.create_trigger(
        "count_update",
        "whitelist_entries",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'removeWhitelistEntries')",
    )
    op.create_trigger(
        "count_delete",
        "whitelist_entries",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.enable_row_level_security("whitelist_systems")
    op.create_policy(
        "owner_select",
        "whitelist_systems",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "whitelist_systems", "for all to service using (true) with check (true)"
    )
    op.grant("select", "whitelist_systems", "service")
    op.grant(
        "select (id, user_id, developer_product_id, name, description, created_at, updated_at)",
        "whitelist_systems",
        "authenticated",
    )
    op.enable_row_level_security("whitelist_users")
    op.create_policy(
        "owner_select",
        "whitelist_users",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "whitelist_users", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "whitelist_users", "service")
    op.grant(
        "select (id, user_id, system_id, external_id, username, discord_id, roblox_id, status, expires_at, banned_at, ban_reason, details, changed_by, created_at, updated_at, stored_bytes)",
        "whitelist_users",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "whitelist_users",
        "after insert or update",
        "for each row execute function app.record_event('whitelist.changed', 'system_id', '{key_sealed,key_hash,position}', '{}', 'user_id')",
    )
    op.create_trigger(
        "count_insert",
        "whitelist_users",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'syncWhitelist')",
    )
    op.create_trigger(
        "count_update",
        "whitelist_users",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'syncWhitelist')",
    )
    op.create_trigger(
        "count_delete",
        "whitelist_users",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.create_trigger(
        "lifecycle_insert",
        "whitelist_users",
        "after insert",
        "for each row when ((new.status in ('ACTIVE', 'EXPIRED', 'BANNED', 'REMOVED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "whitelist_users",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'ACTIVE' and (new.status in ('EXPIRED', 'BANNED', 'REMOVED')) or old.status = 'EXPIRED' and (new.status in ('ACTIVE', 'BANNED', 'REMOVED')) or old.status = 'BANNED' and (new.status in ('ACTIVE', 'EXPIRED', 'REMOVED')) or old.status = 'REMOVED' and (new.status in ('ACTIVE', 'EXPIRED', 'BANNED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "note_forgotten_whitelist",
        "whitelist_users",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.note_forgotten_whitelist()",
    )


def downgrade() -> None:
    op.drop_index("uq_whitelist_users_key_hash", table_name="whitelist_users")
    op.drop_index("ix_whitelist_users_user_id", table_name="whitelist_users")
    op.drop_index("ix_whitelist_users_system_id_position", table_name="whitelist_users")
    op.drop_index("ix_whitelist_users_system_id_created_at_id", table_name="whitelist_users")
    op.drop_index("ix_whitelist_users_roblox_id", table_name="whitelist_users")
    op.drop_index(
        "ix_whitelist_users_removed",
        table_name="whitelist_users",
        postgresql_where=sa.text("status = 'REMOVED'"),
    )
    op.drop_index("ix_whitelist_users_key_hash", table_name="whitelist_users")
    op.drop_index("ix_whitelist_users_discord_id", table_name="whitelist_users")
    drop_table_cascade("whitelist_users")
    op.drop_table("licence_activations")
    op.drop_index("ix_whitelist_systems_user_id_created_at_id", table_name="whitelist_systems")
    op.drop_index(op.f("ix_whitelist_systems_developer_product_id"), table_name="whitelist_systems")
    drop_table_cascade("whitelist_systems")
    op.drop_index("ix_whitelist_entries_user_id", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_roblox_id", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_product_id_expires_at", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_product_id_discord_id", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_product_id_created_at_id", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_expires_at", table_name="whitelist_entries")
    op.drop_index("ix_whitelist_entries_discord_id", table_name="whitelist_entries")
    drop_table_cascade("whitelist_entries")
    op.drop_index("uq_licences_sale_id", table_name="licences")
    op.drop_index("uq_licences_key_hash", table_name="licences")
    op.drop_index("ix_licences_seller_id_created_at_id", table_name="licences")
    op.drop_index("ix_licences_roblox_id", table_name="licences")
    op.drop_index("ix_licences_product_id_created_at_id", table_name="licences")
    op.drop_index("ix_licences_owner_id_created_at_id", table_name="licences")
    op.drop_index("ix_licences_discord_id", table_name="licences")
    op.drop_index("ix_licences_developer_product_id_created_at_id", table_name="licences")
    drop_table_cascade("licences")
    op.drop_index("ix_api_request_logs_user_id_created_at_id", table_name="api_request_logs")
    op.drop_index(op.f("ix_api_request_logs_key_id"), table_name="api_request_logs")
    op.drop_index("ix_api_request_logs_created_at", table_name="api_request_logs")
    op.drop_table("api_request_logs")
    op.drop_index("ix_obfuscation_uses_user_id_created_at_id", table_name="obfuscation_uses")
    op.drop_index("ix_obfuscation_uses_created_at", table_name="obfuscation_uses")
    op.drop_table("obfuscation_uses")
    op.drop_index(
        "uq_developer_products_proven",
        table_name="developer_products",
        postgresql_where=sa.text("proven_at is not null"),
    )
    op.drop_index("ix_developer_products_user_id_created_at_id", table_name="developer_products")
    drop_table_cascade("developer_products")
    op.drop_index("uq_developer_keys_secret_hash", table_name="developer_keys")
    op.drop_index(
        "uq_developer_keys_name",
        table_name="developer_keys",
        postgresql_where=sa.text("revoked_at is null"),
    )
    op.drop_index("ix_developer_keys_user_id_created_at_id", table_name="developer_keys")
    op.drop_index(op.f("ix_developer_keys_revoked_at"), table_name="developer_keys")
    drop_table_cascade("developer_keys")
    drop_table_cascade("developer_tiers")
    op.drop_function("app.note_forgotten_whitelist()")
    op.drop_function("app.record_ended_developer_key()")
