"""What is sealed anew by another key calls no trigger that records events."""

from __future__ import annotations

from alembic import op

revision = "1211"
down_revision = "1210"
branch_labels = None
depends_on = None

NAME = "record_event"
# For each table the columns whose changes are told of, what else is, and how.
TRIGGERS = {
    "bot_products": (
        "id, server_id, name, role_id, redemption_message, roblox_group_id, product_id, developer_product_id, created_at, updated_at",
        " or delete",
        "for each row execute function app.record_shared_event('bot_product.changed', 'id', '{payhip_key_sealed,roblox_key_sealed}', '{}', 'user', 'user_id', '{}', '{server_id,discord_servers,id}', 'user', 'bot_id', '{}', '{server_id,discord_servers,id}')",
    ),
    "bot_whitelisted_users": (
        "id, product_id, discord_id, discord_username, roblox_id, roblox_username, status, changed_by, redeemed_at, created_at, updated_at",
        " or delete",
        "for each row execute function app.record_shared_event('bot_whitelist.changed', 'id', '{key_sealed,key_hash,position}', '{}', 'user', 'user_id', '{}', '{product_id,bot_products,id,server_id,discord_servers,id}', 'user', 'bot_id', '{}', '{product_id,bot_products,id,server_id,discord_servers,id}')",
    ),
    "licences": (
        "id, product_id, developer_product_id, seller_id, owner_id, sale_id, key_end, source, status, max_activations, activation_count, duration_days, expires_at, discord_id, roblox_id, redeemed_at, banned_at, ban_reason, created_at, updated_at",
        " or delete",
        "for each row execute function app.record_shared_event('licence.changed', 'id', '{key_hash,banned_from,key_sealed}', '{}', 'user', 'owner_id', '{}', '{}', 'user', 'seller_id', '{}', '{}')",
    ),
    "whitelist_users": (
        "id, user_id, system_id, external_id, username, discord_id, roblox_id, status, expires_at, banned_at, ban_reason, details, changed_by, created_at, updated_at, stored_bytes",
        "",
        "for each row execute function app.record_event('whitelist.changed', 'system_id', '{key_sealed,key_hash,position}', '{}', 'user_id')",
    ),
}


def upgrade() -> None:
    for table, (columns, deletes, told) in TRIGGERS.items():
        op.drop_trigger(NAME, table)
        op.create_trigger(NAME, table, f"after insert or update of {columns}{deletes}", told)


def downgrade() -> None:
    for table, (_, deletes, told) in TRIGGERS.items():
        op.drop_trigger(NAME, table)
        op.create_trigger(NAME, table, f"after insert or update{deletes}", told)
