"""Plans of organizations with their limits, and what each uses of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0975"
down_revision = "0920"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _plans()
    _columns()
    _usage()


def _plans() -> None:
    op.create_table(
        "organization_plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workflows", sa.Integer(), nullable=False),
        sa.Column("calls_per_month", sa.Integer(), nullable=False),
        sa.Column("campaigns", sa.Integer(), nullable=False),
        sa.Column("seats", sa.Integer(), server_default=sa.text("-1"), nullable=False),
        sa.Column("month_cents", sa.Integer(), nullable=True),
        sa.Column("year_cents", sa.Integer(), nullable=True),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint(
            "workflows >= -1 and calls_per_month >= -1 and campaigns >= -1 and seats >= -1",
            name=op.f("ck_organization_plans_limits"),
        ),
        sa.CheckConstraint(
            "month_cents >= 0 and year_cents >= 0 and currency ~ '^[A-Z]{3}$'",
            name=op.f("ck_organization_plans_prices"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_plans")),
    )
    op.execute("""
        insert into organization_plans
            (id, name, workflows, calls_per_month, campaigns, month_cents, year_cents, sort_order)
        values ('free', 'Free', 1, 50, 0, 0, 0, 0), ('starter', 'Starter', 5, 500, 3, 2900, null, 1),
            ('pro', 'Pro', -1, 5000, -1, 9900, null, 2),
            ('enterprise', 'Enterprise', -1, -1, -1, null, null, 3)
    """)
    op.enable_row_level_security("organization_plans")
    op.create_policy(
        "public_select", "organization_plans", "for select to anon, authenticated using (true)"
    )
    op.create_policy(
        "service_all", "organization_plans", "for all to service using (true) with check (true)"
    )
    op.grant("select", "organization_plans", "service")
    op.grant(
        "select (id, name, workflows, calls_per_month, campaigns, seats, month_cents, year_cents,"
        " currency, sort_order, is_active)",
        "organization_plans",
        "anon, authenticated",
    )


def _columns() -> None:
    op.add_column(
        "organizations", sa.Column("plan_id", sa.Text(), server_default="free", nullable=False)
    )
    op.add_column(
        "organizations",
        sa.Column("seats", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column(
        "organizations",
        sa.Column("usage_reset_day", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.create_check_constraint(op.f("ck_organizations_seats"), "organizations", "seats >= 1")
    op.create_check_constraint(
        op.f("ck_organizations_usage_reset_day"),
        "organizations",
        "usage_reset_day between 1 and 28",
    )
    op.create_index(op.f("ix_organizations_plan_id"), "organizations", ["plan_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_organizations_plan_id"),
        "organizations",
        "organization_plans",
        ["plan_id"],
        ["id"],
    )
    op.grant("select (plan_id, seats, usage_reset_day)", "organizations", "authenticated")


def _usage() -> None:
    op.create_table(
        "organization_usage",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind in ('WORKFLOWS', 'CALLS', 'CAMPAIGNS')", name=op.f("ck_organization_usage_kind")
        ),
        sa.CheckConstraint("used >= 0", name=op.f("ck_organization_usage_used")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_usage_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "kind", "period_start", name=op.f("pk_organization_usage")
        ),
    )
    op.enable_row_level_security("organization_usage")
    op.create_policy(
        "member_select",
        "organization_usage",
        "for select to authenticated using (organization_id = any ((select"
        " app.organization_ids('{}'))::uuid[]) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "organization_usage", "for all to service using (true) with check (true)"
    )
    op.grant("select", "organization_usage", "service")
    op.grant(
        "select (organization_id, kind, period_start, used)", "organization_usage", "authenticated"
    )


def downgrade() -> None:
    drop_table_cascade("organization_usage")
    op.drop_constraint(op.f("fk_organizations_plan_id"), "organizations", type_="foreignkey")
    for column in ("usage_reset_day", "seats", "plan_id"):
        op.drop_column("organizations", column)
    drop_table_cascade("organization_plans")
