"""The ledger's daily caps, unlimited users, refunds, transfers and proofs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0020"
down_revision = "0010"
branch_labels = None
depends_on = None

EXPIRY_RANK = "coalesce((extract(epoch from expires_at at time zone 'UTC') * 1000000)::bigint, 9223372036854775807)"
SOURCES = "'SIGNUP_BONUS', 'PLAN', 'PURCHASE', 'REFERRAL', 'REFUND', 'ADMIN'"
MOVEMENTS = f"{SOURCES}, 'SPEND', 'HOLD', 'CAPTURE', 'RELEASE', 'EXPIRY'"
ACCOUNTS = "'ISSUED', 'GRANT', 'HOLD', 'SPENT', 'EXPIRED'"
HISTORY = ("credit_hold_parts", "credit_refund_parts", "credit_transfers")

LOCKS = (
    "grant select (unlimited, daily_used, daily_used_on, plan_credits_due_at) on wallets to authenticated",
    "grant select (expiry_rank) on credit_grants to authenticated",
    "grant select (unlimited) on credit_holds to authenticated",
    "grant select (used) on credit_transactions to authenticated",
    "alter table credit_refund_parts enable row level security",
    "create policy service_all on credit_refund_parts for all to service using (true) with check (true)",
    "grant select on credit_refund_parts to service",
    "alter table credit_transfers enable row level security",
    "create policy service_all on credit_transfers for all to service using (true) with check (true)",
    "grant select on credit_transfers to service",
    "alter table ledger_proofs enable row level security",
    "create policy service_all on ledger_proofs for all to service using (true) with check (true)",
    "grant select, insert, delete on ledger_proofs to service",
)
# Older verbs under another signature, which the new ones would be ambiguous with.
REPLACED = (
    "app.grant_credits(uuid, text, integer, text, timestamptz, text)",
    "app.hold_credits(uuid, integer, text, interval)",
    "app.record_movement(wallets, text, integer, integer, text, text, uuid)",
    "app.take_from_grants(wallets, integer)",
    "app.return_to_grants(uuid, integer)",
    "app.lock_open_hold(uuid)",
    "app.resolve_hold(credit_holds, integer, text, text)",
)


def upgrade() -> None:
    run_all([f"drop function if exists {verb}" for verb in REPLACED])
    change_wallets()
    change_grants_and_holds()
    change_history()
    create_refunds_and_transfers()
    create_proofs()
    run_all(LOCKS)
    for table in HISTORY:
        op.execute(
            f"create trigger refuse_change before update or delete on {table} "
            "for each row execute function app.refuse_change()"
        )
        op.execute(
            f"create trigger refuse_truncate before truncate on {table} "
            "for each statement execute function app.refuse_change()"
        )


def change_wallets() -> None:
    op.add_column(
        "wallets",
        sa.Column("unlimited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "wallets",
        sa.Column("daily_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("wallets", sa.Column("daily_used_on", sa.Date(), nullable=True))
    op.add_column(
        "wallets", sa.Column("plan_credits_due_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_check_constraint(op.f("ck_wallets_daily_used"), "wallets", "daily_used >= 0")
    op.create_index(
        "ix_wallets_plan_credits_due_at",
        "wallets",
        ["plan_credits_due_at"],
        postgresql_where=sa.text("plan_credits_due_at is not null"),
    )
    op.execute(
        "update wallets set plan_credits_due_at = now() + interval '1 month' from users "
        "where users.id = wallets.user_id and plan_id is not null and not is_anonymous"
    )


def change_grants_and_holds() -> None:
    op.add_column(
        "credit_grants",
        sa.Column(
            "expiry_rank",
            sa.BigInteger(),
            sa.Computed(EXPIRY_RANK, persisted=True),
            nullable=False,
        ),
    )
    op.drop_index("ix_credit_grants_usable", "credit_grants")
    op.create_index(
        "ix_credit_grants_usable",
        "credit_grants",
        ["user_id", "expiry_rank", "id"],
        postgresql_where=sa.text("remaining > 0"),
    )
    op.create_index(
        "ix_credit_grants_expiring",
        "credit_grants",
        ["expires_at"],
        postgresql_where=sa.text("remaining > 0 and expires_at is not null"),
    )
    op.add_column(
        "credit_holds",
        sa.Column("unlimited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def change_history() -> None:
    op.add_column(
        "credit_transactions",
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.execute("alter table credit_transactions disable trigger refuse_change")
    op.execute("update credit_transactions set used = -amount where type in ('SPEND', 'CAPTURE')")
    op.execute("alter table credit_transactions enable trigger refuse_change")
    replace_check("credit_transactions", "type", f"type in ({MOVEMENTS}, 'TRANSFER')")
    replace_check("credit_entries", "account", f"account in ({ACCOUNTS}, 'TRANSFER')")


def replace_check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def create_refunds_and_transfers() -> None:
    op.create_table(
        "credit_refund_parts",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spend_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_refund_parts_amount")),
        sa.ForeignKeyConstraint(
            ["refund_id"],
            ["credit_transactions.id"],
            name=op.f("fk_credit_refund_parts_refund_id"),
        ),
        sa.ForeignKeyConstraint(
            ["spend_id"], ["credit_transactions.id"], name=op.f("fk_credit_refund_parts_spend_id")
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["credit_grants.id"], name=op.f("fk_credit_refund_parts_grant_id")
        ),
        sa.PrimaryKeyConstraint("refund_id", "position", name=op.f("pk_credit_refund_parts")),
    )
    for column in ("spend_id", "grant_id"):
        op.create_index(op.f(f"ix_credit_refund_parts_{column}"), "credit_refund_parts", [column])
    op.create_table(
        "credit_transfers",
        sa.Column("sent_id", sa.Uuid(), nullable=False),
        sa.Column("received_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sent_id"], ["credit_transactions.id"], name=op.f("fk_credit_transfers_sent_id")
        ),
        sa.ForeignKeyConstraint(
            ["received_id"],
            ["credit_transactions.id"],
            name=op.f("fk_credit_transfers_received_id"),
        ),
        sa.PrimaryKeyConstraint("sent_id", name=op.f("pk_credit_transfers")),
        sa.UniqueConstraint("received_id", name=op.f("uq_credit_transfers_received_id")),
    )


def create_proofs() -> None:
    op.create_table(
        "ledger_proofs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("wallets", sa.Integer(), nullable=False),
        sa.Column("faults", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fault_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_proofs")),
    )


# Without transfers, what was sent is spent and what was received is given: balances stay as they are.
TRANSFERS_BEFORE = (
    "update credit_entries e set account = case when t.amount < 0 then 'SPENT' else 'ISSUED' end"
    " from credit_transactions t where t.id = e.transaction_id and e.account = 'TRANSFER'",
    "update credit_transactions set type = case when amount < 0 then 'SPEND' else 'ADMIN' end"
    " where type = 'TRANSFER'",
)


def rewrite_transfers() -> None:
    history = ("credit_entries", "credit_transactions")
    run_all(
        [
            *(f"alter table {table} disable trigger refuse_change" for table in history),
            *TRANSFERS_BEFORE,
            *(f"alter table {table} enable trigger refuse_change" for table in history),
        ]
    )


def downgrade() -> None:
    rewrite_transfers()
    for table in ("ledger_proofs", "credit_transfers", "credit_refund_parts"):
        op.drop_table(table)
    for name in ("refuse_change", "refuse_truncate"):
        op.execute(f"drop trigger {name} on credit_hold_parts")
    replace_check("credit_entries", "account", f"account in ({ACCOUNTS})")
    replace_check("credit_transactions", "type", f"type in ({MOVEMENTS})")
    op.drop_column("credit_transactions", "used")
    op.drop_column("credit_holds", "unlimited")
    op.drop_index("ix_credit_grants_expiring", "credit_grants")
    op.drop_index("ix_credit_grants_usable", "credit_grants")
    op.drop_column("credit_grants", "expiry_rank")
    op.create_index(
        "ix_credit_grants_usable",
        "credit_grants",
        ["user_id"],
        postgresql_where=sa.text("remaining > 0"),
    )
    for column in ("plan_credits_due_at", "daily_used_on", "daily_used", "unlimited"):
        op.drop_column("wallets", column)
