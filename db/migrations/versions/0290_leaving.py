"""Accounts that are deleted after a while, archives, and wallets that outlive their users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0290"
down_revision = "0280"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_trigger("refuse_change", "credit_transactions")
    op.drop_trigger("record_event", "wallets")
    op.create_table(
        "account_deletions",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "scheduled_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deletes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_account_deletions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_account_deletions")),
    )
    op.create_index(
        op.f("ix_account_deletions_deletes_at"), "account_deletions", ["deletes_at"], unique=False
    )
    op.create_table(
        "data_exports",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'READY') = (path is not null)", name=op.f("ck_data_exports_path")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'READY', 'FAILED', 'EXPIRED')",
            name=op.f("ck_data_exports_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_data_exports_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_exports")),
    )
    op.create_index("ix_data_exports_created_at", "data_exports", ["created_at"], unique=False)
    op.create_index(
        "ix_data_exports_expires_at",
        "data_exports",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'READY'"),
    )
    op.create_index(
        "ix_data_exports_user_id_created_at_id",
        "data_exports",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.add_column("wallets", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("fk_wallets_user_id"), "wallets", type_="foreignkey")
    op.create_function(
        "app.refuse_change_of_line()",
        "create or replace function app.refuse_change_of_line() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\ndeclare\n    words constant text[] := '{reason,reference_id}';\nbegin\n    if tg_op = 'UPDATE' and new.reason is null and to_jsonb(new) - words = to_jsonb(old) - words\n        and (new.reference_id is null or new.reference_id = old.reference_id)\n        and exists (select from public.account_deletions d\n                    where d.user_id = old.user_id and d.began_at is not null) then\n        return new;\n    end if;\n    raise exception '% rows are never changed or removed', tg_table_name using errcode = 'restrict_violation';\nend;\n$$",
    )
    op.create_function(
        "app.refuse_open_wallet()",
        "create or replace function app.refuse_open_wallet() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    if exists (select from public.wallets w where w.user_id = old.id and w.closed_at is null) then\n        raise exception 'this account has a wallet: erase it' using errcode = 'foreign_key_violation';\n    end if;\n    return old;\nend;\n$$",
    )
    op.enable_row_level_security("account_deletions")
    op.create_policy(
        "service_all", "account_deletions", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "account_deletions", "service")
    op.create_trigger(
        "refuse_change",
        "credit_transactions",
        "before update or delete",
        "for each row execute function app.refuse_change_of_line()",
    )
    op.enable_row_level_security("data_exports")
    op.create_policy(
        "owner_select",
        "data_exports",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "data_exports", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "data_exports", "service")
    op.grant(
        "select (id, user_id, status, path, size_bytes, created_at, finished_at, expires_at)",
        "data_exports",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "data_exports",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "data_exports",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status = 'FAILED' or new.status = 'RUNNING' and (new.attempts > old.attempts)) or old.status = 'RUNNING' and (new.status in ('READY', 'FAILED')) or old.status = 'READY' and (new.status = 'EXPIRED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_attempts",
        "data_exports",
        "after update",
        "for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    )
    op.create_trigger(
        "refuse_open_wallet",
        "users",
        "before delete",
        "for each row execute function app.refuse_open_wallet()",
    )
    op.add_check("ck_wallets_closed", "wallets", "(closed_at is null or balance = 0)")
    op.create_trigger(
        "record_event",
        "wallets",
        "after update",
        "for each row execute function app.record_event('credits.changed', 'user_id', '{closed_at}', '{}', 'user_id')",
    )


def downgrade() -> None:
    op.drop_trigger("record_event", "wallets")
    op.drop_check("ck_wallets_closed", "wallets")
    op.drop_trigger("refuse_open_wallet", "users")
    op.drop_trigger("refuse_change", "credit_transactions")
    op.drop_function("app.refuse_open_wallet()")
    op.drop_function("app.refuse_change_of_line()")
    # The release before knows no wallet without a user: those of accounts that are gone get one, a
    # guest whom nobody can be.
    op.execute(
        "insert into users (id, is_anonymous) select user_id, true from wallets where closed_at is not null"
    )
    op.execute(
        "update users set status = 'locked' where id in (select user_id from wallets where closed_at is not null)"
    )
    op.create_foreign_key(
        op.f("fk_wallets_user_id"), "wallets", "users", ["user_id"], ["id"], ondelete="RESTRICT"
    )
    op.drop_column("wallets", "closed_at")
    op.drop_index("ix_data_exports_user_id_created_at_id", table_name="data_exports")
    op.drop_index(
        "ix_data_exports_expires_at",
        table_name="data_exports",
        postgresql_where=sa.text("status = 'READY'"),
    )
    op.drop_index("ix_data_exports_created_at", table_name="data_exports")
    op.drop_table("data_exports")
    op.drop_index(op.f("ix_account_deletions_deletes_at"), table_name="account_deletions")
    op.drop_table("account_deletions")
    op.create_trigger(
        "record_event",
        "wallets",
        "AFTER UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.record_event('credits.changed', 'user_id', '{}', '{}', 'user_id')",
    )
    op.create_trigger(
        "refuse_change",
        "credit_transactions",
        "BEFORE DELETE OR UPDATE",
        "FOR EACH ROW EXECUTE FUNCTION app.refuse_change()",
    )
