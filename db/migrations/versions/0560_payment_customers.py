"""payment_customers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0560"
down_revision = "0510"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payment_customers",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(customer_id) between 1 and 255", name=op.f("ck_payment_customers_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_payment_customers_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "provider", name=op.f("pk_payment_customers")),
    )
    op.create_index(
        "uq_payment_customers_customer_id",
        "payment_customers",
        ["provider", "customer_id"],
        unique=True,
    )
    op.enable_row_level_security("payment_customers")
    op.create_policy(
        "service_all", "payment_customers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "payment_customers", "service")


def downgrade() -> None:
    op.drop_index("uq_payment_customers_customer_id", table_name="payment_customers")
    op.drop_table("payment_customers")
