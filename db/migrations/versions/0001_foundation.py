"""Foundation: the roles that log in, the schema of our functions, and nothing open to everybody."""

from __future__ import annotations

from alembic import op

from db.migrations.steps import run_all, run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CREATE_ROLE = """
do $$ begin
    create role {role} login noinherit;
exception when duplicate_object or unique_violation then
    null;  -- roles belong to the cluster: another database of ours made it
end $$
"""

GRANT_CONNECT = """
do $$ begin
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to anon, authenticated, service', current_database());
end $$
"""


def upgrade() -> None:
    run_all([CREATE_ROLE.format(role=role) for role in ("anon", "authenticated", "service")])
    op.execute(GRANT_CONNECT)
    op.execute("alter table alembic_version enable row level security")
    op.execute("revoke all on schema public from public")
    op.execute("grant usage on schema public to anon, authenticated, service")
    op.execute("alter default privileges revoke execute on functions from public")
    run_script("0001_foundation.sql")


def downgrade() -> None:
    op.execute("drop schema app cascade")
