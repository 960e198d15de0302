"""How often an address or a device did what costs something; bonuses can be held back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0120"
down_revision = "0110"
branch_labels = None
depends_on = None

LOCK = (
    "alter table rate_budgets enable row level security",
    "create policy service_all on rate_budgets for all to service using (true) with check (true)",
    "grant select, insert, update, delete on rate_budgets to service",
    # Takes another argument now; `migrate` makes it anew.
    "drop function if exists app.grant_sign_up_bonus(uuid)",
)
DROPPED = (
    "drop function if exists app.take_from_budget(text, bytea, integer, interval)",
    "drop function if exists app.budget_wait(text, bytea, integer, interval)",
    "drop function if exists app.counted_uses(timestamptz[], interval)",
    "drop function if exists app.grant_sign_up_bonus(uuid, boolean)",
)


def upgrade() -> None:
    op.create_table(
        "rate_budgets",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("holder_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "holder_hash", name=op.f("pk_rate_budgets")),
    )
    op.create_index(op.f("ix_rate_budgets_expires_at"), "rate_budgets", ["expires_at"])
    run_all(LOCK)


def downgrade() -> None:
    run_all(DROPPED)
    op.drop_table("rate_budgets")
