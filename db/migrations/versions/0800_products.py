"""Products and prices that admins edit; credits that plans of refunded orders gave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0800"
down_revision = "0790"
branch_labels = None
depends_on = None

TABLES = ("products", "product_prices")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(
            table,
            sa.Column(
                "edited", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
            ),
        )
    op.drop_check("ck_orders_credits_taken_back", "orders")
    op.add_check(
        "ck_orders_credits_taken_back",
        "orders",
        "(credits_taken_back >= 0 and (credits is null or credits_taken_back <= credits))",
    )


def downgrade() -> None:
    op.execute("alter table orders disable trigger user")
    op.execute("update orders set credits_taken_back = 0 where credits is null")
    op.execute("alter table orders enable trigger user")
    op.drop_check("ck_orders_credits_taken_back", "orders")
    op.add_check(
        "ck_orders_credits_taken_back",
        "orders",
        "((credits_taken_back >= 0) and (credits_taken_back <= coalesce(credits, 0)))",
    )
    for table in TABLES:
        op.drop_column(table, "edited")
