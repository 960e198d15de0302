"""subscription_transactions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0770"
down_revision = "0760"
branch_labels = None
depends_on = None

TABLE = "subscription_transactions"
# Functions of rows, which go before their table.
OF_ROWS = (
    "app.cut_ordered_plan(subscription_transactions)",
    "app.extend_ordered_plan(subscription_transactions)",
    "app.follow_subscription(subscription_transactions, boolean)",
)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("auto_renews", sa.Boolean(), nullable=False),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(
                name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
            )
            for name in ("created_at", "updated_at")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f(f"ck_{TABLE}_currency")),
        sa.CheckConstraint(
            "length(purchase_id) between 1 and 255", name=op.f(f"ck_{TABLE}_purchase_id")
        ),
        sa.CheckConstraint(
            "status in ('ACTIVE', 'CANCELLED', 'EXPIRED', 'REFUNDED')",
            name=op.f(f"ck_{TABLE}_status"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f(f"fk_{TABLE}_order_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f(f"fk_{TABLE}_plan_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f(f"fk_{TABLE}_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index(
        f"ix_{TABLE}_due",
        TABLE,
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status in ('ACTIVE', 'CANCELLED')"),
    )
    op.create_index(op.f(f"ix_{TABLE}_order_id"), TABLE, ["order_id"], unique=False)
    op.create_index(op.f(f"ix_{TABLE}_plan_id"), TABLE, ["plan_id"], unique=False)
    op.create_index(
        f"ix_{TABLE}_user_id_created_at_id", TABLE, ["user_id", "created_at", "id"], unique=False
    )
    op.create_index(
        f"uq_{TABLE}_transaction_id", TABLE, ["provider", "transaction_id"], unique=True
    )
    op.enable_row_level_security(TABLE)
    op.create_policy(
        "owner_select",
        TABLE,
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", TABLE, "for all to service using (true) with check (true)")
    op.grant("select", TABLE, "service")
    op.grant(
        "select (id, user_id, order_id, provider, transaction_id, plan_id, amount_cents, currency, started_at, expires_at, auto_renews, grace_ends_at, status, created_at, updated_at)",
        TABLE,
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        TABLE,
        "after insert",
        "for each row when ((new.status in ('ACTIVE', 'CANCELLED', 'EXPIRED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        TABLE,
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'ACTIVE' and (new.status in ('CANCELLED', 'EXPIRED', 'REFUNDED')) or old.status = 'CANCELLED' and (new.status in ('ACTIVE', 'EXPIRED', 'REFUNDED')) or old.status = 'EXPIRED' and (new.status in ('ACTIVE', 'CANCELLED', 'REFUNDED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    for function in OF_ROWS:
        op.drop_function(function)
    op.drop_table(TABLE)
