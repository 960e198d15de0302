"""Servers at Discord, what bots hand out in them, and keys of bots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "1185"
down_revision = "1184"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _widen_keys()
    _make_servers()
    _make_products()
    _declare_access()


def _widen_keys() -> None:
    op.drop_trigger("remove_robot", "api_keys")
    op.drop_policy("owner_select", "api_keys")
    op.drop_check("ck_api_keys_scopes", "api_keys")
    op.add_column("api_keys", sa.Column("maker_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_api_keys_maker_id_created_at_id",
        "api_keys",
        ["maker_id", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        op.f("fk_api_keys_maker_id"), "api_keys", "users", ["maker_id"], ["id"], ondelete="SET NULL"
    )
    op.add_check(
        "ck_api_keys_scopes",
        "api_keys",
        "(scopes <@ array['READ', 'WRITE', 'BOT'] and scopes <> '{}' and ('BOT' <> all (scopes) or organization_id is null))",
    )
    op.create_policy(
        "owner_select",
        "api_keys",
        "for select to authenticated using (user_id = (select app.user_id()) or maker_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]))",
    )
    op.grant("select (maker_id)", "api_keys", "authenticated")
    op.create_trigger(
        "remove_robot",
        "api_keys",
        "after delete",
        "for each row when (old.organization_id is not null or 'BOT' = any (old.scopes)) execute function app.remove_robot()",
    )


def _make_servers() -> None:
    op.create_table(
        "discord_link_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_discord_link_codes_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_discord_link_codes")),
    )
    op.create_index(
        op.f("ix_discord_link_codes_expires_at"), "discord_link_codes", ["expires_at"], unique=False
    )
    op.create_index("uq_discord_link_codes_user_id", "discord_link_codes", ["user_id"], unique=True)
    op.create_table(
        "discord_servers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("guild_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("icon", sa.Text(), nullable=True),
        sa.Column("owner_discord_id", sa.Text(), nullable=False),
        sa.Column("member_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_configured", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("bot_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
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
        sa.CheckConstraint("guild_id ~ '^[0-9]{17,20}$'", name=op.f("ck_discord_servers_guild_id")),
        sa.CheckConstraint(
            "owner_discord_id ~ '^[0-9]{17,20}$'", name=op.f("ck_discord_servers_owner_discord_id")
        ),
        sa.CheckConstraint(
            "(user_id is null) = (claimed_at is null)", name=op.f("ck_discord_servers_claimed_at")
        ),
        sa.CheckConstraint("length(icon) <= 64", name=op.f("ck_discord_servers_icon")),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_discord_servers_name")),
        sa.CheckConstraint("member_count >= 0", name=op.f("ck_discord_servers_member_count")),
        sa.ForeignKeyConstraint(
            ["bot_id"], ["users.id"], name=op.f("fk_discord_servers_bot_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_discord_servers_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discord_servers")),
        sa.UniqueConstraint("guild_id", name=op.f("uq_discord_servers_guild_id")),
    )
    op.create_index(
        "ix_discord_servers_bot_id_created_at_id",
        "discord_servers",
        ["bot_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_discord_servers_owner_discord_id", "discord_servers", ["owner_discord_id"], unique=False
    )
    op.create_index(
        "ix_discord_servers_user_id_created_at_id",
        "discord_servers",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "bot_command_permissions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("command_name", sa.Text(), nullable=False),
        sa.Column(
            "allowed_role_ids", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("require_admin", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
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
            "command_name ~ '^[a-z0-9_-]{1,32}$'",
            name=op.f("ck_bot_command_permissions_command_name"),
        ),
        sa.CheckConstraint(
            "cardinality(allowed_role_ids) <= 100",
            name=op.f("ck_bot_command_permissions_allowed_role_ids"),
        ),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["discord_servers.id"],
            name=op.f("fk_bot_command_permissions_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_command_permissions")),
        sa.UniqueConstraint(
            "server_id",
            "command_name",
            name=op.f("uq_bot_command_permissions_server_id_command_name"),
        ),
    )
    op.create_index(
        "ix_bot_command_permissions_server_id_created_at_id",
        "bot_command_permissions",
        ["server_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "bot_whitelist_heads",
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["discord_servers.id"],
            name=op.f("fk_bot_whitelist_heads_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_bot_whitelist_heads")),
    )


def _make_products() -> None:
    op.create_table(
        "bot_products",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=True),
        sa.Column("redemption_message", sa.Text(), nullable=True),
        sa.Column("roblox_group_id", sa.BigInteger(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("developer_product_id", sa.Uuid(), nullable=True),
        sa.Column("payhip_key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("roblox_key_sealed", sa.LargeBinary(), nullable=True),
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
        sa.CheckConstraint("role_id ~ '^[0-9]{17,20}$'", name=op.f("ck_bot_products_role_id")),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_bot_products_name")),
        sa.CheckConstraint(
            "length(redemption_message) <= 2000", name=op.f("ck_bot_products_redemption_message")
        ),
        sa.CheckConstraint(
            "num_nonnulls(product_id, developer_product_id) <= 1",
            name=op.f("ck_bot_products_licensed"),
        ),
        sa.CheckConstraint("roblox_group_id > 0", name=op.f("ck_bot_products_roblox_group_id")),
        sa.ForeignKeyConstraint(
            ["developer_product_id"],
            ["developer_products.id"],
            name=op.f("fk_bot_products_developer_product_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_bot_products_product_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["discord_servers.id"],
            name=op.f("fk_bot_products_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_products")),
        sa.UniqueConstraint("server_id", "name", name=op.f("uq_bot_products_server_id_name")),
    )
    op.create_index(
        op.f("ix_bot_products_developer_product_id"),
        "bot_products",
        ["developer_product_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_bot_products_product_id"), "bot_products", ["product_id"], unique=False
    )
    op.create_index(
        "ix_bot_products_server_id_created_at_id",
        "bot_products",
        ["server_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "bot_whitelisted_users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("discord_id", sa.Text(), nullable=False),
        sa.Column("discord_username", sa.Text(), nullable=True),
        sa.Column("roblox_id", sa.BigInteger(), nullable=True),
        sa.Column("roblox_username", sa.Text(), nullable=True),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
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
            "changed_by in ('BOT', 'PLATFORM')", name=op.f("ck_bot_whitelisted_users_changed_by")
        ),
        sa.CheckConstraint(
            "discord_id ~ '^[0-9]{17,20}$'", name=op.f("ck_bot_whitelisted_users_discord_id")
        ),
        sa.CheckConstraint(
            "status in ('ACTIVE', 'REMOVED')", name=op.f("ck_bot_whitelisted_users_status")
        ),
        sa.CheckConstraint(
            "(key_sealed is null) = (key_hash is null)", name=op.f("ck_bot_whitelisted_users_key")
        ),
        sa.CheckConstraint(
            "length(discord_username) between 1 and 100",
            name=op.f("ck_bot_whitelisted_users_discord_username"),
        ),
        sa.CheckConstraint(
            "length(roblox_username) between 1 and 100",
            name=op.f("ck_bot_whitelisted_users_roblox_username"),
        ),
        sa.CheckConstraint("roblox_id > 0", name=op.f("ck_bot_whitelisted_users_roblox_id")),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["bot_products.id"],
            name=op.f("fk_bot_whitelisted_users_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_whitelisted_users")),
        sa.UniqueConstraint(
            "product_id", "discord_id", name=op.f("uq_bot_whitelisted_users_product_id_discord_id")
        ),
    )
    op.create_index(
        "ix_bot_whitelisted_users_discord_id", "bot_whitelisted_users", ["discord_id"], unique=False
    )
    op.create_index(
        "ix_bot_whitelisted_users_product_id",
        "bot_whitelisted_users",
        ["product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_bot_whitelisted_users_product_id_position",
        "bot_whitelisted_users",
        ["product_id", "position"],
        unique=False,
    )
    op.create_index(
        "ix_bot_whitelisted_users_roblox_id", "bot_whitelisted_users", ["roblox_id"], unique=False
    )
    op.create_index(
        "uq_bot_whitelisted_users_key_hash",
        "bot_whitelisted_users",
        ["product_id", "key_hash"],
        unique=True,
    )


def _declare_access() -> None:
    op.enable_row_level_security("bot_command_permissions")
    op.create_policy(
        "through_select",
        "bot_command_permissions",
        "for select to authenticated using (exists (select from discord_servers parent_1 where parent_1.id = bot_command_permissions.server_id and (parent_1.user_id = (select app.user_id()) or parent_1.bot_id = (select app.user_id()))))",
    )
    op.create_policy(
        "service_all",
        "bot_command_permissions",
        "for all to service using (true) with check (true)",
    )
    op.grant("select", "bot_command_permissions", "service")
    op.grant(
        "select (id, server_id, command_name, allowed_role_ids, require_admin, enabled, created_at, updated_at)",
        "bot_command_permissions",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "bot_command_permissions",
        "after insert or update or delete",
        "for each row execute function app.record_shared_event('bot_command_permission.changed', 'id', '{}', '{}', 'user', 'user_id', '{}', '{server_id,discord_servers,id}', 'user', 'bot_id', '{}', '{server_id,discord_servers,id}')",
    )
    op.enable_row_level_security("bot_products")
    op.create_policy(
        "through_select",
        "bot_products",
        "for select to authenticated using (exists (select from discord_servers parent_1 where parent_1.id = bot_products.server_id and (parent_1.user_id = (select app.user_id()) or parent_1.bot_id = (select app.user_id()))))",
    )
    op.create_policy(
        "service_all", "bot_products", "for all to service using (true) with check (true)"
    )
    op.grant("select", "bot_products", "service")
    op.grant(
        "select (id, server_id, name, role_id, redemption_message, roblox_group_id, product_id, developer_product_id, payhip_key_sealed, roblox_key_sealed, created_at, updated_at)",
        "bot_products",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "bot_products",
        "after insert or update or delete",
        "for each row execute function app.record_shared_event('bot_product.changed', 'id', '{payhip_key_sealed,roblox_key_sealed}', '{}', 'user', 'user_id', '{}', '{server_id,discord_servers,id}', 'user', 'bot_id', '{}', '{server_id,discord_servers,id}')",
    )
    op.enable_row_level_security("bot_whitelist_heads")
    op.create_policy(
        "service_all", "bot_whitelist_heads", "for all to service using (true) with check (true)"
    )
    op.grant("select", "bot_whitelist_heads", "service")
    op.enable_row_level_security("bot_whitelisted_users")
    op.create_policy(
        "through_select",
        "bot_whitelisted_users",
        "for select to authenticated using (exists (select from bot_products parent_1 where parent_1.id = bot_whitelisted_users.product_id and (exists (select from discord_servers parent_2 where parent_2.id = parent_1.server_id and (parent_2.user_id = (select app.user_id()) or parent_2.bot_id = (select app.user_id()))))))",
    )
    op.create_policy(
        "service_all", "bot_whitelisted_users", "for all to service using (true) with check (true)"
    )
    op.grant("select", "bot_whitelisted_users", "service")
    op.grant(
        "select (id, product_id, discord_id, discord_username, roblox_id, roblox_username, status, changed_by, redeemed_at, created_at, updated_at)",
        "bot_whitelisted_users",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "bot_whitelisted_users",
        "after insert or update or delete",
        "for each row execute function app.record_shared_event('bot_whitelist.changed', 'id', '{key_sealed,key_hash,position}', '{}', 'user', 'user_id', '{}', '{product_id,bot_products,id,server_id,discord_servers,id}', 'user', 'bot_id', '{}', '{product_id,bot_products,id,server_id,discord_servers,id}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "bot_whitelisted_users",
        "after insert",
        "for each row when ((new.status in ('ACTIVE', 'REMOVED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "bot_whitelisted_users",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'ACTIVE' and (new.status = 'REMOVED') or old.status = 'REMOVED' and (new.status = 'ACTIVE')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("discord_link_codes")
    op.create_policy(
        "service_all", "discord_link_codes", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "discord_link_codes", "service")
    op.enable_row_level_security("discord_servers")
    op.create_policy(
        "owner_select",
        "discord_servers",
        "for select to authenticated using (user_id = (select app.user_id()) or bot_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "discord_servers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "discord_servers", "service")
    op.grant(
        "select (id, guild_id, name, icon, owner_discord_id, member_count, is_configured, user_id, bot_id, claimed_at, left_at, created_at, updated_at)",
        "discord_servers",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "discord_servers",
        "after insert or update or delete",
        "for each row execute function app.record_shared_event('discord_server.changed', 'id', '{}', '{}', 'user', 'user_id', '{}', '{}', 'user', 'bot_id', '{}', '{}')",
    )


def downgrade() -> None:
    # Robots go with their keys.
    op.execute("delete from api_keys where 'BOT' = any (scopes)")
    op.drop_trigger("remove_robot", "api_keys")
    op.drop_policy("owner_select", "api_keys")
    op.drop_check("ck_api_keys_scopes", "api_keys")
    op.drop_constraint(op.f("fk_api_keys_maker_id"), "api_keys", type_="foreignkey")
    op.drop_index("ix_api_keys_maker_id_created_at_id", table_name="api_keys")
    op.drop_column("api_keys", "maker_id")
    op.drop_index("uq_bot_whitelisted_users_key_hash", table_name="bot_whitelisted_users")
    op.drop_index("ix_bot_whitelisted_users_roblox_id", table_name="bot_whitelisted_users")
    op.drop_index(
        "ix_bot_whitelisted_users_product_id_position", table_name="bot_whitelisted_users"
    )
    op.drop_index("ix_bot_whitelisted_users_product_id", table_name="bot_whitelisted_users")
    op.drop_index("ix_bot_whitelisted_users_discord_id", table_name="bot_whitelisted_users")
    op.drop_table("bot_whitelisted_users")
    op.drop_index("ix_bot_products_server_id_created_at_id", table_name="bot_products")
    op.drop_index(op.f("ix_bot_products_product_id"), table_name="bot_products")
    op.drop_index(op.f("ix_bot_products_developer_product_id"), table_name="bot_products")
    drop_table_cascade("bot_products")
    op.drop_table("bot_whitelist_heads")
    op.drop_index(
        "ix_bot_command_permissions_server_id_created_at_id", table_name="bot_command_permissions"
    )
    op.drop_table("bot_command_permissions")
    op.drop_index("ix_discord_servers_user_id_created_at_id", table_name="discord_servers")
    op.drop_index("ix_discord_servers_owner_discord_id", table_name="discord_servers")
    op.drop_index("ix_discord_servers_bot_id_created_at_id", table_name="discord_servers")
    drop_table_cascade("discord_servers")
    op.drop_index("uq_discord_link_codes_user_id", table_name="discord_link_codes")
    op.drop_index(op.f("ix_discord_link_codes_expires_at"), table_name="discord_link_codes")
    op.drop_table("discord_link_codes")
    op.add_check(
        "ck_api_keys_scopes",
        "api_keys",
        "(((scopes <@ ARRAY['READ'::text, 'WRITE'::text]) AND (scopes <> '{}'::text[])))",
    )
    op.create_policy(
        "owner_select",
        "api_keys",
        "for select to authenticated using (((user_id = ( SELECT app.user_id() AS user_id)) OR (organization_id = ANY (( SELECT app.organization_ids('{OWNER,ADMIN}'::text[]) AS organization_ids)::uuid[]))))",
    )
    op.create_trigger(
        "remove_robot",
        "api_keys",
        "AFTER DELETE",
        "FOR EACH ROW WHEN (old.organization_id IS NOT NULL) EXECUTE FUNCTION app.remove_robot()",
    )
