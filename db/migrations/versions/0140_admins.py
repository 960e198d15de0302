"""Admins read users with their wallets and generations, and the tools that are switched off."""

from __future__ import annotations

from alembic import op

from db.migrations.steps import run_all

revision = "0140"
down_revision = "0130"
branch_labels = None
depends_on = None

# What the policies below ask; `migrate` makes it anew.
IS_ADMIN = """
create or replace function app.is_admin() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from public.users u where u.id = app.user_id() and u.role = 'admin');
$$
"""
OWNERS = {
    "users": "id",
    "wallets": "user_id",
    "credit_grants": "user_id",
    "credit_transactions": "user_id",
    "generations": "user_id",
    "notifications": "user_id",
}
NEW_FUNCTIONS = (
    "app.give_credits_as_admin(uuid, integer, timestamptz, text, text)",
    "app.give_credits(uuid, integer, timestamptz, text, text, text)",
    "app.set_tool_active(text, boolean)",
    "app.send_notification(uuid, text, text, text, jsonb, text)",
    "app.user_of_email_key(text)",
    "app.required_admin_id()",
    "app.is_admin()",
)


def upgrade() -> None:
    op.execute(IS_ADMIN)
    run_all(
        [
            "revoke execute on function app.is_admin() from public",
            "grant execute on function app.is_admin() to authenticated",
            "create policy admin_select on tools for select to authenticated"
            " using ((select app.is_admin()))",
            *(
                f"alter policy owner_select on {table}"
                f" using ({key} = (select app.user_id()) or (select app.is_admin()))"
                for table, key in OWNERS.items()
            ),
        ]
    )
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_users_created_at_id", "users")
    run_all(
        [
            *(
                f"alter policy owner_select on {table} using ({key} = (select app.user_id()))"
                for table, key in OWNERS.items()
            ),
            "drop policy admin_select on tools",
            *(f"drop function if exists {function}" for function in NEW_FUNCTIONS),
        ]
    )
