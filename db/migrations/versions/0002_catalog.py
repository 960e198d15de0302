"""Catalog: plans, tools and the choices they offer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade, run_all

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table plans enable row level security",
    "create policy public_select on plans for select to anon, authenticated using (true)",
    "create policy service_all on plans for all to service using (true) with check (true)",
    "grant select (id, name, monthly_credits, max_daily_credits, price_cents, currency, sort_order) on plans to anon, authenticated",
    "grant select, insert, update, delete on plans to service",
    "alter table tools enable row level security",
    "create policy public_select on tools for select to anon, authenticated using (is_active)",
    "create policy service_all on tools for all to service using (true) with check (true)",
    "grant select (id, name_key, description_key, type, icon_name, cover_image_url, is_active, sort_order, credits_cost, parameters_schema) on tools to anon, authenticated",
    "grant select, insert, update, delete on tools to service",
    "alter table hairstyles enable row level security",
    "create policy public_select on hairstyles for select to anon, authenticated using (true)",
    "create policy service_all on hairstyles for all to service using (true) with check (true)",
    "grant select (id, name, image_url, gender, is_pro, category, sort_order) on hairstyles to anon, authenticated",
    "grant select, insert, update, delete on hairstyles to service",
    "alter table hair_colors enable row level security",
    "create policy public_select on hair_colors for select to anon, authenticated using (true)",
    "create policy service_all on hair_colors for all to service using (true) with check (true)",
    "grant select (hex_code, sort_order) on hair_colors to anon, authenticated",
    "grant select, insert, update, delete on hair_colors to service",
    "alter table skin_colors enable row level security",
    "create policy public_select on skin_colors for select to anon, authenticated using (true)",
    "create policy service_all on skin_colors for all to service using (true) with check (true)",
    "grant select (hex_code, name, sort_order) on skin_colors to anon, authenticated",
    "grant select, insert, update, delete on skin_colors to service",
)


def upgrade() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("monthly_credits", sa.Integer(), nullable=False),
        sa.Column("max_daily_credits", sa.Integer(), nullable=False),
        sa.Column("price_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "price_cents >= 0 and currency ~ '^[A-Z]{3}$'", name=op.f("ck_plans_price")
        ),
        sa.CheckConstraint(
            "monthly_credits >= 0 and max_daily_credits >= 0", name=op.f("ck_plans_credits")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("name", name=op.f("uq_plans_name")),
    )
    op.create_table(
        "tools",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("description_key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("icon_name", sa.Text(), nullable=False),
        sa.Column("cover_image_url", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_cost", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "parameters_schema",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"type": "object"}\''),
            nullable=False,
        ),
        sa.CheckConstraint(
            "type in ('TRANSFORMATION', 'FILTER', 'ANALYSIS')", name=op.f("ck_tools_type")
        ),
        sa.CheckConstraint("credits_cost between 0 and 1000", name=op.f("ck_tools_credits_cost")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tools")),
    )
    op.create_index("ix_tools_sort_order_id", "tools", ["sort_order", "id"], unique=False)
    op.create_table(
        "hairstyles",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("is_pro", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("gender in ('MALE', 'FEMALE')", name=op.f("ck_hairstyles_gender")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hairstyles")),
    )
    op.create_table(
        "hair_colors",
        sa.Column("hex_code", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("hex_code ~ '^#[0-9a-f]{6}$'", name=op.f("ck_hair_colors_hex_code")),
        sa.PrimaryKeyConstraint("hex_code", name=op.f("pk_hair_colors")),
    )
    op.create_table(
        "skin_colors",
        sa.Column("hex_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("hex_code ~ '^#[0-9a-f]{6}$'", name=op.f("ck_skin_colors_hex_code")),
        sa.PrimaryKeyConstraint("hex_code", name=op.f("pk_skin_colors")),
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("skin_colors")
    op.drop_table("hair_colors")
    op.drop_table("hairstyles")
    drop_table_cascade("tools")
    op.drop_table("plans")
