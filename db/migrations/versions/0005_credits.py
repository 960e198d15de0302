"""Credits: the double-entry ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade, run_all

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table wallets enable row level security",
    "create policy owner_select on wallets for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on wallets for all to service using (true) with check (true)",
    "grant select (user_id, balance, held, updated_at) on wallets to authenticated",
    "grant select on wallets to service",
    "create trigger record_event after update on wallets for each row execute function app.record_event('credits.changed', 'user_id')",
    "alter table idempotency_keys enable row level security",
    "create policy service_all on idempotency_keys for all to service using (true) with check (true)",
    "grant select, delete on idempotency_keys to service",
    "alter table credit_grants enable row level security",
    "create policy owner_select on credit_grants for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on credit_grants for all to service using (true) with check (true)",
    "grant select (id, user_id, source, amount, remaining, expires_at, reference_id, created_at) on credit_grants to authenticated",
    "grant select on credit_grants to service",
    "alter table credit_holds enable row level security",
    "create policy owner_select on credit_holds for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on credit_holds for all to service using (true) with check (true)",
    "grant select (id, user_id, amount, captured_amount, status, reference_id, expires_at, created_at, resolved_at) on credit_holds to authenticated",
    "grant select on credit_holds to service",
    "alter table credit_hold_parts enable row level security",
    "create policy service_all on credit_hold_parts for all to service using (true) with check (true)",
    "grant select on credit_hold_parts to service",
    "alter table credit_transactions enable row level security",
    "create policy owner_select on credit_transactions for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on credit_transactions for all to service using (true) with check (true)",
    "grant select (id, user_id, type, amount, held_change, balance_after, reason, reference_id, hold_id, created_at) on credit_transactions to authenticated",
    "grant select on credit_transactions to service",
    "alter table credit_entries enable row level security",
    "create policy service_all on credit_entries for all to service using (true) with check (true)",
    "grant select on credit_entries to service",
)


def upgrade() -> None:
    op.create_table(
        "wallets",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("balance <= 1000000000", name=op.f("ck_wallets_bounded")),
        sa.CheckConstraint("held >= 0 and balance >= held", name=op.f("ck_wallets_never_negative")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_wallets_user_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_wallets")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "operation", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "credit_grants",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "source in ('SIGNUP_BONUS', 'PLAN', 'PURCHASE', 'REFERRAL', 'REFUND', 'ADMIN')",
            name=op.f("ck_credit_grants_source"),
        ),
        sa.CheckConstraint(
            "amount > 0 and remaining between 0 and amount", name=op.f("ck_credit_grants_remaining")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["wallets.user_id"], name=op.f("fk_credit_grants_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_grants")),
    )
    op.create_index(
        "ix_credit_grants_usable",
        "credit_grants",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("remaining > 0"),
    )
    op.create_index(
        "ix_credit_grants_user_id_created_at_id",
        "credit_grants",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "credit_holds",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("captured_amount", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default="OPEN", nullable=False),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'OPEN') = (resolved_at is null)", name=op.f("ck_credit_holds_resolved")
        ),
        sa.CheckConstraint(
            "status in ('OPEN', 'CAPTURED', 'RELEASED', 'EXPIRED')",
            name=op.f("ck_credit_holds_status"),
        ),
        sa.CheckConstraint(
            "amount > 0 and captured_amount between 0 and amount",
            name=op.f("ck_credit_holds_amount"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["wallets.user_id"], name=op.f("fk_credit_holds_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_holds")),
    )
    op.create_index(
        "ix_credit_holds_open",
        "credit_holds",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'OPEN'"),
    )
    op.create_index(
        "ix_credit_holds_user_id_created_at_id",
        "credit_holds",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "credit_hold_parts",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_hold_parts_amount")),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["credit_grants.id"], name=op.f("fk_credit_hold_parts_grant_id")
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["credit_holds.id"], name=op.f("fk_credit_hold_parts_hold_id")
        ),
        sa.PrimaryKeyConstraint("hold_id", "grant_id", name=op.f("pk_credit_hold_parts")),
    )
    op.create_index(
        op.f("ix_credit_hold_parts_grant_id"), "credit_hold_parts", ["grant_id"], unique=False
    )
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("held_change", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "type in ('SIGNUP_BONUS', 'PLAN', 'PURCHASE', 'REFERRAL', 'REFUND', 'ADMIN', 'SPEND', 'HOLD', 'CAPTURE', 'RELEASE', 'EXPIRY')",
            name=op.f("ck_credit_transactions_type"),
        ),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_credit_transactions_balance_after")),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["credit_holds.id"], name=op.f("fk_credit_transactions_hold_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["wallets.user_id"], name=op.f("fk_credit_transactions_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_transactions")),
    )
    op.create_index(
        op.f("ix_credit_transactions_hold_id"), "credit_transactions", ["hold_id"], unique=False
    )
    op.create_index(
        "ix_credit_transactions_user_id_created_at_id",
        "credit_transactions",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "credit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(account = 'GRANT') = (grant_id is not null)", name=op.f("ck_credit_entries_grant_id")
        ),
        sa.CheckConstraint(
            "(account = 'HOLD') = (hold_id is not null)", name=op.f("ck_credit_entries_hold_id")
        ),
        sa.CheckConstraint(
            "account in ('ISSUED', 'GRANT', 'HOLD', 'SPENT', 'EXPIRED')",
            name=op.f("ck_credit_entries_account"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_entries_amount")),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["credit_grants.id"], name=op.f("fk_credit_entries_grant_id")
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["credit_holds.id"], name=op.f("fk_credit_entries_hold_id")
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["credit_transactions.id"],
            name=op.f("fk_credit_entries_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entries")),
    )
    op.create_index(
        op.f("ix_credit_entries_grant_id"), "credit_entries", ["grant_id"], unique=False
    )
    op.create_index(op.f("ix_credit_entries_hold_id"), "credit_entries", ["hold_id"], unique=False)
    op.create_index(
        op.f("ix_credit_entries_transaction_id"), "credit_entries", ["transaction_id"], unique=False
    )
    run_all(LOCKS)
    run_all(
        [
            f"create trigger refuse_change before update or delete on {table} "
            "for each row execute function app.refuse_change()"
            for table in ("credit_transactions", "credit_entries")
        ]
    )
    run_all(
        [
            f"create trigger refuse_truncate before truncate on {table} "
            "for each statement execute function app.refuse_change()"
            for table in ("credit_transactions", "credit_entries")
        ]
    )
    op.execute(
        "create trigger check_entries_balance after insert on credit_entries "
        "referencing new table as new_entries "
        "for each statement execute function app.check_entries_balance()"
    )


def downgrade() -> None:
    drop_table_cascade("credit_entries")
    drop_table_cascade("credit_transactions")
    op.drop_table("credit_hold_parts")
    drop_table_cascade("credit_holds")
    drop_table_cascade("credit_grants")
    op.drop_table("idempotency_keys")
    drop_table_cascade("wallets")
