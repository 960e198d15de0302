"""Movements cost the database less: no index is kept up that a movement's rows are not found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0070"
down_revision = "0060"
branch_labels = None
depends_on = None

SOURCES = ("SIGNUP_BONUS", "PLAN", "PURCHASE", "REFERRAL", "REFUND", "ADMIN")
MOVEMENTS = (*SOURCES, "SPEND", "HOLD", "CAPTURE", "RELEASE", "EXPIRY", "TRANSFER")
ACCOUNTS = ("ISSUED", "GRANT", "HOLD", "SPENT", "EXPIRED", "TRANSFER")
# Each statement reads its tables' conditions anew, and an array is read faster than a list.
CHECKS = (
    ("credit_grants", "source", SOURCES),
    ("credit_transactions", "type", MOVEMENTS),
    ("credit_entries", "account", ACCOUNTS),
)
SELDOM_SET = (
    ("credit_entries", "grant_id"),
    ("credit_entries", "hold_id"),
    ("credit_transactions", "hold_id"),
)
# Older verbs, which worked on many wallets at once.
REPLACED = ("app.expire_holds(integer)", "app.expire_grants(integer)")


def upgrade() -> None:
    run_all([f"drop function if exists {verb}" for verb in REPLACED])
    op.add_column(
        "credit_grants",
        sa.Column(
            "usable", sa.Boolean(), sa.Computed("remaining > 0", persisted=True), nullable=False
        ),
    )
    op.execute("grant select (usable) on credit_grants to authenticated")
    index_grants("usable", "usable")
    for table, column in SELDOM_SET:
        index_column(table, column, f"{column} is not null")
    op.drop_constraint(op.f("pk_credit_entries"), "credit_entries")
    op.create_primary_key(op.f("pk_credit_entries"), "credit_entries", ["transaction_id", "id"])
    op.drop_index(op.f("ix_credit_entries_transaction_id"), "credit_entries")
    for table, column, values in CHECKS:
        replace_check(table, column, f"{column} = any ('{{{','.join(values)}}}'::text[])")


def index_grants(usable: str, expiring: str) -> None:
    """The indexes of grants with something left, by the conditions that say so."""
    run_all(
        [
            "drop index ix_credit_grants_usable",
            "drop index ix_credit_grants_expiring",
            "create index ix_credit_grants_usable on credit_grants (user_id, expiry_rank, id)"
            f" where {usable}",
            "create index ix_credit_grants_expiring on credit_grants (expires_at)"
            f" where {expiring} and expires_at is not null",
        ]
    )


def index_column(table: str, column: str, condition: str | None) -> None:
    where = sa.text(condition) if condition else None
    op.drop_index(op.f(f"ix_{table}_{column}"), table)
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column], postgresql_where=where)


def replace_check(table: str, column: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{column}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, condition)


def downgrade() -> None:
    for table, column, values in CHECKS:
        replace_check(table, column, f"{column} in ({', '.join(f"'{one}'" for one in values)})")
    op.create_index(op.f("ix_credit_entries_transaction_id"), "credit_entries", ["transaction_id"])
    op.drop_constraint(op.f("pk_credit_entries"), "credit_entries")
    op.create_primary_key(op.f("pk_credit_entries"), "credit_entries", ["id"])
    for table, column in SELDOM_SET:
        index_column(table, column, None)
    index_grants("remaining > 0", "remaining > 0")
    op.drop_column("credit_grants", "usable")
