"""How far a store's account at PayPal is, of which one may serve several stores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1210"
down_revision = "1186"
branch_labels = None
depends_on = None

CHECK = "ck_stores_paypal_status"
STATES = "('NOT_CONNECTED', 'PENDING', 'INCOMPLETE', 'CONNECTED', 'COMPLETE')"


def upgrade() -> None:
    op.add_column(
        "stores",
        sa.Column(
            "paypal_status",
            sa.Text(),
            server_default=sa.text("'NOT_CONNECTED'"),
            nullable=False,
        ),
    )
    op.add_check(CHECK, "stores", f"(paypal_status in {STATES})")
    op.grant("select (paypal_status)", "stores", "anon, authenticated")
    op.drop_index("uq_seller_accounts_account_index", "seller_accounts")
    op.create_index(
        "ix_seller_accounts_account_index",
        "seller_accounts",
        ["provider", "account_index"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_seller_accounts_account_index", "seller_accounts")
    # Of several stores of one account the first keeps it: the release before knows no more.
    op.execute(
        "delete from seller_accounts a using seller_accounts b where a.provider = b.provider"
        " and a.account_index = b.account_index and a.id > b.id"
    )
    op.create_index(
        "uq_seller_accounts_account_index",
        "seller_accounts",
        ["provider", "account_index"],
        unique=True,
    )
    op.drop_check(CHECK, "stores")
    op.drop_column("stores", "paypal_status")
