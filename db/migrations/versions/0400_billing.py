"""What is sold, orders, payments and the inbox of webhooks; credits that are owed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade, run_all

revision = "0400"
down_revision = "0390"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_tables()
    make_inbox()
    close_tables()
    watch_states()
    widen_ledger()


def make_tables() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(kind = 'CREDITS') = (credits is not null) and (kind = 'CREDITS') = (plan_id is null)",
            name=op.f("ck_products_gives"),
        ),
        sa.CheckConstraint(
            "kind in ('CREDITS', 'PLAN', 'SUBSCRIPTION')", name=op.f("ck_products_kind")
        ),
        sa.CheckConstraint("credits between 1 and 1000000", name=op.f("ck_products_credits")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_products_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
    )
    op.create_index(op.f("ix_products_plan_id"), "products", ["plan_id"], unique=False)
    op.create_index("ix_products_sort_order_id", "products", ["sort_order", "id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("billing_interval", sa.Text(), nullable=True),
        sa.Column("price_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("refunded_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_taken_back", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("success_url", sa.Text(), nullable=True),
        sa.Column("cancel_url", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'CREDITS') = (credits is not null) and (kind = 'CREDITS') = (plan_id is null)",
            name=op.f("ck_orders_gives"),
        ),
        sa.CheckConstraint(
            "billing_interval in ('MONTH', 'YEAR')", name=op.f("ck_orders_billing_interval")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_orders_currency")),
        sa.CheckConstraint(
            "kind in ('CREDITS', 'PLAN', 'SUBSCRIPTION')", name=op.f("ck_orders_kind")
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'PAID', 'FAILED', 'CANCELLED', 'EXPIRED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint(
            "credits_taken_back between 0 and coalesce(credits, 0)",
            name=op.f("ck_orders_credits_taken_back"),
        ),
        sa.CheckConstraint(
            "refunded_cents between 0 and amount_cents", name=op.f("ck_orders_refunded_cents")
        ),
        sa.ForeignKeyConstraint(["hold_id"], ["credit_holds.id"], name=op.f("fk_orders_hold_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_orders_plan_id")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_orders_product_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_orders_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_created_at_id", "orders", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_orders_hold_id"), "orders", ["hold_id"], unique=False)
    op.create_index(
        "ix_orders_pending",
        "orders",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_index(op.f("ix_orders_plan_id"), "orders", ["plan_id"], unique=False)
    op.create_index(op.f("ix_orders_product_id"), "orders", ["product_id"], unique=False)
    op.create_index(
        "ix_orders_user_id_created_at_id", "orders", ["user_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_orders_user_id_status",
        "orders",
        ["user_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "product_prices",
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("billing_interval", sa.Text(), nullable=True),
        sa.Column("price_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "billing_interval in ('MONTH', 'YEAR')", name=op.f("ck_product_prices_billing_interval")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_product_prices_currency")),
        sa.CheckConstraint(
            "amount_cents between 1 and 100000000", name=op.f("ck_product_prices_amount_cents")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_product_prices_product_id")
        ),
        sa.PrimaryKeyConstraint("product_id", "provider", name=op.f("pk_product_prices")),
    )
    op.create_index(
        "uq_product_prices_price_id", "product_prices", ["provider", "price_id"], unique=True
    )
    op.create_table(
        "order_references",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "length(reference) between 1 and 255", name=op.f("ck_order_references_reference")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_references_order_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provider", "reference", name=op.f("pk_order_references")),
    )
    op.create_index(
        op.f("ix_order_references_order_id"), "order_references", ["order_id"], unique=False
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_payment_id", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("pays_order", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("refunded_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payments_currency")),
        sa.CheckConstraint(
            "status in ('PENDING', 'SUCCEEDED', 'FAILED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint(
            "refunded_cents between 0 and amount_cents", name=op.f("ck_payments_refunded_cents")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_payments_order_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_payments_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index("ix_payments_created_at_id", "payments", ["created_at", "id"], unique=False)
    op.create_index("ix_payments_order_id", "payments", ["order_id"], unique=False)
    op.create_index(
        "ix_payments_user_id_created_at_id",
        "payments",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_payments_pays_order",
        "payments",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("pays_order"),
    )
    op.create_index(
        "uq_payments_provider", "payments", ["provider", "provider_payment_id"], unique=True
    )


def make_inbox() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="RECEIVED", nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column(
            "headers",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("query", sa.Text(), server_default="", nullable=False),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('RECEIVED', 'PROCESSED', 'PARKED', 'QUARANTINED')",
            name=op.f("ck_webhook_events_status"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_webhook_events_order_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
    )
    op.create_index(
        op.f("ix_webhook_events_order_id"), "webhook_events", ["order_id"], unique=False
    )
    op.create_index(
        "ix_webhook_events_provider",
        "webhook_events",
        ["provider", "received_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_webhook_events_received_at_id", "webhook_events", ["received_at", "id"], unique=False
    )
    op.create_index(
        "ix_webhook_events_status", "webhook_events", ["status", "received_at", "id"], unique=False
    )
    op.create_index(
        "ix_webhook_events_waits_for",
        "webhook_events",
        ["provider", "waits_for"],
        unique=False,
        postgresql_where=sa.text("status = 'PARKED'"),
    )
    op.create_index(
        "uq_webhook_events_event_id",
        "webhook_events",
        ["provider", "event_id"],
        unique=True,
        postgresql_where=sa.text("verified"),
    )
    op.create_table(
        "payment_disputes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_dispute_id", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="OPEN", nullable=False),
        sa.Column(
            "opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'OPEN') = (closed_at is null)", name=op.f("ck_payment_disputes_closed_at")
        ),
        sa.CheckConstraint(
            "status in ('OPEN', 'WON', 'LOST')", name=op.f("ck_payment_disputes_status")
        ),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_payment_disputes_amount_cents")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_disputes_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_disputes")),
    )
    op.create_index(
        op.f("ix_payment_disputes_payment_id"), "payment_disputes", ["payment_id"], unique=False
    )
    op.create_index(
        "uq_payment_disputes_provider",
        "payment_disputes",
        ["provider", "provider_dispute_id"],
        unique=True,
    )
    op.create_table(
        "payment_refunds",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_refund_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_payment_refunds_amount_cents")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_refunds_payment_id")
        ),
        sa.PrimaryKeyConstraint("provider", "provider_refund_id", name=op.f("pk_payment_refunds")),
    )
    op.create_index(
        op.f("ix_payment_refunds_payment_id"), "payment_refunds", ["payment_id"], unique=False
    )


def close_tables() -> None:
    op.enable_row_level_security("order_references")
    op.create_policy(
        "service_all", "order_references", "for all to service using (true) with check (true)"
    )
    op.grant("select", "order_references", "service")
    op.enable_row_level_security("orders")
    op.create_policy(
        "owner_select",
        "orders",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "orders", "for all to service using (true) with check (true)")
    op.grant("select, delete", "orders", "service")
    op.grant(
        "select (id, user_id, product_id, kind, credits, plan_id, provider, amount_cents, currency, billing_interval, status, refunded_cents, credits_taken_back, created_at, expires_at, paid_at, paid_until)",
        "orders",
        "authenticated",
    )
    op.enable_row_level_security("payment_disputes")
    op.create_policy(
        "service_all", "payment_disputes", "for all to service using (true) with check (true)"
    )
    op.grant("select", "payment_disputes", "service")
    op.enable_row_level_security("payment_refunds")
    op.create_policy(
        "service_all", "payment_refunds", "for all to service using (true) with check (true)"
    )
    op.grant("select", "payment_refunds", "service")
    op.enable_row_level_security("payments")
    op.create_policy(
        "owner_select",
        "payments",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "payments", "for all to service using (true) with check (true)")
    op.grant("select", "payments", "service")
    op.grant(
        "select (id, user_id, order_id, provider, provider_payment_id, amount_cents, currency, status, pays_order, refunded_cents, created_at, updated_at)",
        "payments",
        "authenticated",
    )
    op.enable_row_level_security("product_prices")
    op.create_policy(
        "public_select",
        "product_prices",
        "for select to anon, authenticated using (exists (select from products parent_1 where parent_1.id = product_prices.product_id and (parent_1.is_active)))",
    )
    op.create_policy(
        "through_select",
        "product_prices",
        "for select to authenticated using (exists (select from products parent_1 where parent_1.id = product_prices.product_id and ((select app.is_admin()))))",
    )
    op.create_policy(
        "service_all", "product_prices", "for all to service using (true) with check (true)"
    )
    op.grant("select", "product_prices", "service")
    op.grant(
        "select (product_id, provider, amount_cents, currency, billing_interval)",
        "product_prices",
        "anon, authenticated",
    )
    op.enable_row_level_security("products")
    op.create_policy(
        "public_select", "products", "for select to anon, authenticated using (is_active)"
    )
    op.create_policy(
        "admin_select", "products", "for select to authenticated using ((select app.is_admin()))"
    )
    op.create_policy("service_all", "products", "for all to service using (true) with check (true)")
    op.grant("select", "products", "service")
    op.grant(
        "select (id, name, kind, credits, plan_id, is_active, sort_order)",
        "products",
        "anon, authenticated",
    )
    op.enable_row_level_security("webhook_events")
    op.create_policy(
        "admin_select",
        "webhook_events",
        "for select to authenticated using (exists (select from users admins where admins.id = (select app.user_id()) and admins.role = 'admin'))",
    )
    op.create_policy(
        "service_all", "webhook_events", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "webhook_events", "service")
    op.grant(
        "select (id, provider, event_id, kind, status, verified, reason, detail, deliveries, attempts, order_id, waits_for, headers, query, body, received_at, processed_at)",
        "webhook_events",
        "authenticated",
    )


def watch_states() -> None:
    op.create_trigger(
        "record_event",
        "orders",
        "after update",
        "for each row execute function app.record_event('order.updated', 'id', '{checkout_url,success_url,cancel_url,price_id,hold_id}', '{}', 'user_id')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "orders",
        "after insert",
        "for each row when ((new.status = 'PENDING') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "orders",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('PAID', 'FAILED', 'CANCELLED', 'EXPIRED')) or old.status = 'PAID' and (new.status in ('PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED')) or old.status = 'FAILED' and (new.status in ('PAID', 'CANCELLED', 'EXPIRED')) or old.status = 'CANCELLED' and (new.status = 'PAID') or old.status = 'EXPIRED' and (new.status = 'PAID') or old.status = 'PARTIALLY_REFUNDED' and (new.status in ('REFUNDED', 'DISPUTED')) or old.status = 'DISPUTED' and (new.status in ('PAID', 'PARTIALLY_REFUNDED', 'REFUNDED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_refunded_cents",
        "orders",
        "after update",
        "for each row when ((new.refunded_cents >= old.refunded_cents) is not true) execute function app.refuse_transition('refunded_cents')",
    )
    op.create_trigger(
        "lifecycle_credits_taken_back",
        "orders",
        "after update",
        "for each row when ((new.credits_taken_back >= old.credits_taken_back) is not true) execute function app.refuse_transition('credits_taken_back')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "payment_disputes",
        "after insert",
        "for each row when ((new.status = 'OPEN') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "payment_disputes",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'OPEN' and (new.status in ('WON', 'LOST'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "payments",
        "after insert",
        "for each row when ((new.status in ('PENDING', 'SUCCEEDED', 'FAILED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "payments",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('SUCCEEDED', 'FAILED')) or old.status = 'SUCCEEDED' and (new.status in ('PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED')) or old.status = 'FAILED' and (new.status = 'SUCCEEDED') or old.status = 'PARTIALLY_REFUNDED' and (new.status in ('REFUNDED', 'DISPUTED')) or old.status = 'DISPUTED' and (new.status in ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_refunded_cents",
        "payments",
        "after update",
        "for each row when ((new.refunded_cents >= old.refunded_cents) is not true) execute function app.refuse_transition('refunded_cents')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "webhook_events",
        "after insert",
        "for each row when ((new.status in ('RECEIVED', 'QUARANTINED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "webhook_events",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'RECEIVED' and (new.status in ('PROCESSED', 'PARKED', 'QUARANTINED')) or old.status = 'PARKED' and (new.status in ('RECEIVED', 'QUARANTINED')) or old.status = 'QUARANTINED' and (new.status = 'RECEIVED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_deliveries",
        "webhook_events",
        "after update",
        "for each row when ((new.deliveries >= old.deliveries) is not true) execute function app.refuse_transition('deliveries')",
    )
    op.create_trigger(
        "lifecycle_attempts",
        "webhook_events",
        "after update",
        "for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    )


def widen_ledger() -> None:
    op.drop_check("ck_credit_entries_account", "credit_entries")
    op.drop_check("ck_credit_transactions_type", "credit_transactions")
    op.add_column(
        "wallets", sa.Column("debt", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_index(
        "ix_wallets_debt",
        "wallets",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("debt > 0"),
    )
    op.add_check(
        "ck_credit_entries_account",
        "credit_entries",
        "(account = any ('{ISSUED,GRANT,HOLD,SPENT,EXPIRED,TRANSFER,DEBT}'::text[]))",
    )
    op.add_check(
        "ck_credit_transactions_type",
        "credit_transactions",
        "(type = any ('{SIGNUP_BONUS,PLAN,PURCHASE,REFERRAL,REFUND,ADMIN,SPEND,HOLD,CAPTURE,RELEASE,EXPIRY,TRANSFER,CLAWBACK,DEBT_PAYMENT}'::text[]))",
    )
    op.add_check("ck_wallets_debt", "wallets", "(debt >= 0)")
    op.grant("select (debt)", "wallets", "authenticated")


# Without debts, what was taken back has expired, and what was owed was never given.
DEBTS_BEFORE = (
    "update credit_entries set account = 'ISSUED' where account = 'DEBT'",
    "update credit_transactions set type = 'EXPIRY' where type in ('CLAWBACK', 'DEBT_PAYMENT')",
)
HISTORY = ("credit_entries", "credit_transactions")


def downgrade() -> None:
    run_all(
        [
            *(f"alter table {table} disable trigger refuse_change" for table in HISTORY),
            *DEBTS_BEFORE,
            *(f"alter table {table} enable trigger refuse_change" for table in HISTORY),
        ]
    )
    op.drop_check("ck_wallets_debt", "wallets")
    op.drop_check("ck_credit_transactions_type", "credit_transactions")
    op.drop_check("ck_credit_entries_account", "credit_entries")
    op.drop_index("ix_wallets_debt", table_name="wallets", postgresql_where=sa.text("debt > 0"))
    op.drop_column("wallets", "debt")
    for table in (
        "payment_refunds",
        "payment_disputes",
        "webhook_events",
        "payments",
        "order_references",
        "product_prices",
        "orders",
        "products",
    ):
        drop_table_cascade(table)
    op.add_check(
        "ck_credit_transactions_type",
        "credit_transactions",
        "((type = ANY ('{SIGNUP_BONUS,PLAN,PURCHASE,REFERRAL,REFUND,ADMIN,SPEND,HOLD,CAPTURE,RELEASE,EXPIRY,TRANSFER}'::text[])))",
    )
    op.add_check(
        "ck_credit_entries_account",
        "credit_entries",
        "((account = ANY ('{ISSUED,GRANT,HOLD,SPENT,EXPIRED,TRANSFER}'::text[])))",
    )
