"""Subscriptions that a provider renews, their invoices, and organizations as its customers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "1050"
down_revision = "1040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _invoices()
    _subscriptions()
    _customers()
    _protect_invoices()
    _protect_subscriptions()


def _invoices() -> None:
    op.create_table(
        "provider_invoices",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_invoice_id", sa.Text(), nullable=False),
        sa.Column("provider_subscription_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total_cents", sa.Integer(), nullable=False),
        sa.Column("paid_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("page_url", sa.Text(), nullable=True),
        sa.Column("document_url", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_provider_invoices_currency")),
        sa.CheckConstraint(
            "status in ('OPEN', 'PAID', 'UNCOLLECTIBLE', 'VOID')",
            name=op.f("ck_provider_invoices_status"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(user_id, organization_id) = 1", name=op.f("ck_provider_invoices_owner")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_provider_invoices_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_provider_invoices_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_invoices")),
    )
    op.create_index(
        "ix_provider_invoices_organization_id_created_at_id",
        "provider_invoices",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_provider_invoices_payment_id",
        "provider_invoices",
        ["provider", "payment_id"],
        unique=False,
    )
    op.create_index(
        "ix_provider_invoices_user_id_created_at_id",
        "provider_invoices",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_provider_invoices_provider",
        "provider_invoices",
        ["provider", "provider_invoice_id"],
        unique=True,
    )


def _subscriptions() -> None:
    op.create_table(
        "provider_subscriptions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_subscription_id", sa.Text(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("billing_interval", sa.Text(), nullable=False),
        sa.Column("seats", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "cancel_at_period_end", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checkout_id", sa.Text(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("checkout_ends_at", sa.DateTime(timezone=True), nullable=True),
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
        sa.CheckConstraint(
            "(status = 'PAST_DUE') = (grace_ends_at is not null)",
            name=op.f("ck_provider_subscriptions_grace"),
        ),
        sa.CheckConstraint(
            "billing_interval in ('MONTH', 'YEAR')",
            name=op.f("ck_provider_subscriptions_billing_interval"),
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')",
            name=op.f("ck_provider_subscriptions_status"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(user_id, organization_id) = 1",
            name=op.f("ck_provider_subscriptions_owner"),
        ),
        sa.CheckConstraint(
            "seats between 1 and 100000", name=op.f("ck_provider_subscriptions_seats")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_provider_subscriptions_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_provider_subscriptions_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_subscriptions")),
    )
    op.create_index(
        "ix_provider_subscriptions_due",
        "provider_subscriptions",
        [sa.literal_column("coalesce(grace_ends_at, current_period_end, checkout_ends_at)")],
        unique=False,
        postgresql_where=sa.text("status not in ('CANCELLED', 'EXPIRED')"),
    )
    op.create_index(
        "uq_provider_subscriptions_organization_id",
        "provider_subscriptions",
        ["organization_id"],
        unique=True,
    )
    op.create_index(
        "uq_provider_subscriptions_provider",
        "provider_subscriptions",
        ["provider", "provider_subscription_id"],
        unique=True,
    )
    op.create_index(
        "uq_provider_subscriptions_user_id", "provider_subscriptions", ["user_id"], unique=True
    )


def _customers() -> None:
    op.add_column(
        "payment_customers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
    )
    op.add_column("payment_customers", sa.Column("organization_id", sa.Uuid(), nullable=True))
    op.drop_constraint(op.f("pk_payment_customers"), "payment_customers", type_="primary")
    op.create_primary_key(op.f("pk_payment_customers"), "payment_customers", ["id"])
    op.alter_column("payment_customers", "user_id", existing_type=sa.UUID(), nullable=True)
    op.create_index(
        "uq_payment_customers_organization_id",
        "payment_customers",
        ["organization_id", "provider"],
        unique=True,
    )
    op.create_index(
        "uq_payment_customers_user_id", "payment_customers", ["user_id", "provider"], unique=True
    )
    op.create_foreign_key(
        op.f("fk_payment_customers_organization_id"),
        "payment_customers",
        "organizations",
        ["organization_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.add_check(
        "ck_payment_customers_owner",
        "payment_customers",
        "(num_nonnulls(user_id, organization_id) = 1)",
    )


def _protect_invoices() -> None:
    op.enable_row_level_security("provider_invoices")
    op.create_policy(
        "owner_select",
        "provider_invoices",
        "for select to authenticated using (user_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "provider_invoices", "for all to service using (true) with check (true)"
    )
    op.grant("select", "provider_invoices", "service")
    op.grant(
        "select (id, user_id, organization_id, provider, number, status, total_cents, paid_cents, currency, period_start, period_end, page_url, document_url, attempts, next_attempt_at, created_at, paid_at)",
        "provider_invoices",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "provider_invoices",
        "after insert",
        "for each row when ((new.status in ('OPEN', 'PAID', 'UNCOLLECTIBLE', 'VOID')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "provider_invoices",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'OPEN' and (new.status in ('PAID', 'UNCOLLECTIBLE', 'VOID')) or old.status = 'PAID' and (new.status in ('OPEN', 'UNCOLLECTIBLE', 'VOID')) or old.status = 'UNCOLLECTIBLE' and (new.status in ('OPEN', 'PAID', 'VOID')) or old.status = 'VOID' and (new.status in ('OPEN', 'PAID', 'UNCOLLECTIBLE'))) is not true) execute function app.refuse_transition('status')",
    )


def _protect_subscriptions() -> None:
    op.enable_row_level_security("provider_subscriptions")
    op.create_policy(
        "owner_select",
        "provider_subscriptions",
        "for select to authenticated using (user_id = (select app.user_id()) or organization_id = any ((select app.organization_ids('{OWNER,ADMIN}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "provider_subscriptions", "for all to service using (true) with check (true)"
    )
    op.grant("select", "provider_subscriptions", "service")
    op.grant(
        "select (id, user_id, organization_id, provider, plan_id, billing_interval, seats, status, current_period_start, current_period_end, cancel_at_period_end, grace_ends_at, ended_at, checkout_ends_at, created_at, updated_at)",
        "provider_subscriptions",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "provider_subscriptions",
        "after insert",
        "for each row when ((new.status in ('PENDING', 'INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "provider_subscriptions",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'INCOMPLETE' and (new.status in ('TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'TRIALING' and (new.status in ('INCOMPLETE', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'ACTIVE' and (new.status in ('INCOMPLETE', 'TRIALING', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'PAST_DUE' and (new.status in ('INCOMPLETE', 'TRIALING', 'ACTIVE', 'UNPAID', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'UNPAID' and (new.status in ('INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'PAUSED', 'CANCELLED', 'EXPIRED')) or old.status = 'PAUSED' and (new.status in ('INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'CANCELLED', 'EXPIRED')) or old.status = 'CANCELLED' and (new.status in ('PENDING', 'INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'EXPIRED')) or old.status = 'EXPIRED' and (new.status in ('PENDING', 'INCOMPLETE', 'TRIALING', 'ACTIVE', 'PAST_DUE', 'UNPAID', 'PAUSED', 'CANCELLED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_function(
        "app.end_at_provider()",
        "create or replace function app.end_at_provider() returns trigger language plpgsql"
        " as $$ begin return null; end; $$",
    )
    op.create_trigger(
        "end_at_provider",
        "provider_subscriptions",
        "after delete",
        "for each row execute function app.end_at_provider()",
    )


def downgrade() -> None:
    drop_table_cascade("provider_subscriptions")
    drop_table_cascade("provider_invoices")
    op.drop_check("ck_payment_customers_owner", "payment_customers")
    op.execute("delete from payment_customers where organization_id is not null")
    op.drop_index("uq_payment_customers_user_id", table_name="payment_customers")
    op.drop_index("uq_payment_customers_organization_id", table_name="payment_customers")
    op.drop_constraint(op.f("pk_payment_customers"), "payment_customers", type_="primary")
    op.drop_column("payment_customers", "organization_id")
    op.drop_column("payment_customers", "id")
    op.alter_column("payment_customers", "user_id", existing_type=sa.UUID(), nullable=False)
    op.create_primary_key(
        op.f("pk_payment_customers"), "payment_customers", ["user_id", "provider"]
    )
