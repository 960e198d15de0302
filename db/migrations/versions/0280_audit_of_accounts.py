"""Accounts' owners read their audit log, with where it was asked for and what it concerns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0280"
down_revision = "0270"
branch_labels = None
depends_on = None

# What the triggers below call; `migrate` makes them anew.
SHOW_AUDIT_SUBJECT = """
create or replace function app.show_audit_subject() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.subject := left(coalesce(new.detail ->> 'provider', new.detail ->> 'method', new.detail ->> 'source',
        new.detail ->> 'api_key'), 200);
    return new;
end;
$$
"""
FORGET_AUDITED_PERSON = """
create or replace function app.forget_audited_person() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.subject := null;
    new.network := null;
    new.device := null;
    return new;
end;
$$
"""
READABLE = "id, user_id, action, created_at, subject, network, device, times"


def upgrade() -> None:
    for name in ("subject", "network", "device"):
        op.add_column("audit_log", sa.Column(name, sa.Text(), nullable=True))
    op.add_column(
        "audit_log", sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False)
    )
    op.create_check_constraint(op.f("ck_audit_log_times"), "audit_log", "times >= 1")
    op.create_index(
        "ix_audit_log_user_id_created_at_id", "audit_log", ["user_id", "created_at", "id"]
    )
    op.create_index("ix_audit_log_created_at_id", "audit_log", ["created_at", "id"])
    op.drop_index("ix_audit_log_user_id", "audit_log")
    op.execute(SHOW_AUDIT_SUBJECT)
    op.execute(FORGET_AUDITED_PERSON)
    run_all(
        [
            "revoke execute on function app.show_audit_subject(), app.forget_audited_person() from public",
            "create trigger show_audit_subject before insert on audit_log for each row"
            " when (new.subject is null) execute function app.show_audit_subject()",
            "create trigger forget_audited_person before update on audit_log for each row"
            " when (new.user_id is null and old.user_id is not null)"
            " execute function app.forget_audited_person()",
            "create policy owner_select on audit_log for select to authenticated"
            " using (user_id = (select app.user_id()))",
            f"grant select ({READABLE}) on audit_log to authenticated",
        ]
    )


def downgrade() -> None:
    run_all(
        [
            f"revoke select ({READABLE}) on audit_log from authenticated",
            "drop policy owner_select on audit_log",
            "drop trigger forget_audited_person on audit_log",
            "drop trigger show_audit_subject on audit_log",
            "drop function app.forget_audited_person(), app.show_audit_subject()",
        ]
    )
    op.create_index("ix_audit_log_user_id", "audit_log", ["user_id"])
    op.drop_index("ix_audit_log_created_at_id", "audit_log")
    op.drop_index("ix_audit_log_user_id_created_at_id", "audit_log")
    op.drop_constraint(op.f("ck_audit_log_times"), "audit_log")
    for name in ("times", "device", "network", "subject"):
        op.drop_column("audit_log", name)
