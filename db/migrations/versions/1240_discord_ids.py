"""Ids at Discord have up to 20 digits wherever they are kept: they are numbers of 64 bits."""

from __future__ import annotations

from alembic import op

revision = "1240"
down_revision = "1213"
branch_labels = None
depends_on = None

TABLES = ("licences", "whitelist_entries", "whitelist_users")


def upgrade() -> None:
    for table in TABLES:
        op.drop_check(f"ck_{table}_discord_id", table)
        op.add_check(f"ck_{table}_discord_id", table, "(discord_id ~ '^[0-9]{17,20}$')")


def downgrade() -> None:
    for table in TABLES:
        # The release before knows no longer one.
        op.execute(f"update {table} set discord_id = null where length(discord_id) > 19")
        op.drop_check(f"ck_{table}_discord_id", table)
        op.add_check(f"ck_{table}_discord_id", table, "(discord_id ~ '^[0-9]{17,19}$')")
