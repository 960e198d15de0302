"""Affiliates: links to stores, what is earned by them, and by which an order came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "1184"
down_revision = "1183"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "affiliate_links",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("clicks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("code ~ '^[a-z0-9]{10}$'", name=op.f("ck_affiliate_links_code")),
        sa.CheckConstraint("clicks >= 0", name=op.f("ck_affiliate_links_clicks")),
        sa.ForeignKeyConstraint(
            ["store_id"],
            ["stores.id"],
            name=op.f("fk_affiliate_links_store_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_affiliate_links_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_affiliate_links")),
    )
    op.create_index("ix_affiliate_links_store_id", "affiliate_links", ["store_id"], unique=False)
    op.create_index(
        "ix_affiliate_links_user_id_created_at_id",
        "affiliate_links",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("uq_affiliate_links_code", "affiliate_links", ["code"], unique=True)
    op.create_index(
        "uq_affiliate_links_store", "affiliate_links", ["user_id", "store_id"], unique=True
    )
    op.create_table(
        "affiliate_referrals",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("sale_id", sa.Uuid(), nullable=False),
        sa.Column("commission_cents", sa.Integer(), nullable=False),
        sa.Column("reversed_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="EARNED", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_affiliate_referrals_currency")),
        sa.CheckConstraint(
            "status in ('EARNED', 'HELD', 'REVERSED')", name=op.f("ck_affiliate_referrals_status")
        ),
        sa.CheckConstraint(
            "commission_cents > 0", name=op.f("ck_affiliate_referrals_commission_cents")
        ),
        sa.CheckConstraint(
            "reversed_cents between 0 and commission_cents",
            name=op.f("ck_affiliate_referrals_reversed_cents"),
        ),
        sa.ForeignKeyConstraint(
            ["link_id"],
            ["affiliate_links.id"],
            name=op.f("fk_affiliate_referrals_link_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["sale_id"], ["sales.id"], name=op.f("fk_affiliate_referrals_sale_id")
        ),
        sa.ForeignKeyConstraint(
            ["seller_id"],
            ["users.id"],
            name=op.f("fk_affiliate_referrals_seller_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["store_id"],
            ["stores.id"],
            name=op.f("fk_affiliate_referrals_store_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_affiliate_referrals_user_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_affiliate_referrals")),
    )
    op.create_index(
        "ix_affiliate_referrals_link_id", "affiliate_referrals", ["link_id"], unique=False
    )
    op.create_index(
        "ix_affiliate_referrals_seller_id_created_at_id",
        "affiliate_referrals",
        ["seller_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_affiliate_referrals_store_id", "affiliate_referrals", ["store_id"], unique=False
    )
    op.create_index(
        "ix_affiliate_referrals_user_id_created_at_id",
        "affiliate_referrals",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_affiliate_referrals_sale_id", "affiliate_referrals", ["sale_id"], unique=True
    )
    op.add_column("sale_offers", sa.Column("affiliate_link_id", sa.Uuid(), nullable=True))
    op.add_column("sale_offers", sa.Column("commission_percent", sa.Integer(), nullable=True))
    op.create_index(
        "ix_sale_offers_affiliate_link_id", "sale_offers", ["affiliate_link_id"], unique=False
    )
    op.create_foreign_key(
        op.f("fk_sale_offers_affiliate_link_id"),
        "sale_offers",
        "affiliate_links",
        ["affiliate_link_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.add_column(
        "stores",
        sa.Column(
            "affiliate_commission_percent",
            sa.Integer(),
            server_default=sa.text("10"),
            nullable=False,
        ),
    )
    op.enable_row_level_security("affiliate_links")
    op.create_policy(
        "owner_select",
        "affiliate_links",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "affiliate_links", "for all to service using (true) with check (true)"
    )
    op.grant("select", "affiliate_links", "service")
    op.grant(
        "select (id, user_id, store_id, code, clicks, created_at)",
        "affiliate_links",
        "authenticated",
    )
    op.enable_row_level_security("affiliate_referrals")
    op.create_policy(
        "owner_select",
        "affiliate_referrals",
        "for select to authenticated using (user_id = (select app.user_id()) or seller_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "affiliate_referrals", "for all to service using (true) with check (true)"
    )
    op.grant("select", "affiliate_referrals", "service")
    op.grant(
        "select (id, link_id, user_id, seller_id, store_id, commission_cents, reversed_cents, currency, status, created_at)",
        "affiliate_referrals",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "affiliate_referrals",
        "after insert",
        "for each row when ((new.status = 'EARNED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "affiliate_referrals",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'EARNED' and (new.status in ('HELD', 'REVERSED')) or old.status = 'HELD' and (new.status in ('EARNED', 'REVERSED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_reversed_cents",
        "affiliate_referrals",
        "after update",
        "for each row when ((new.reversed_cents >= old.reversed_cents) is not true) execute function app.refuse_transition('reversed_cents')",
    )
    op.add_check(
        "ck_stores_affiliate_commission_percent",
        "stores",
        "(affiliate_commission_percent between 1 and 90)",
    )
    op.grant("select (affiliate_commission_percent)", "stores", "anon, authenticated")


def downgrade() -> None:
    op.drop_check("ck_stores_affiliate_commission_percent", "stores")
    op.drop_column("stores", "affiliate_commission_percent")
    op.drop_constraint(op.f("fk_sale_offers_affiliate_link_id"), "sale_offers", type_="foreignkey")
    op.drop_index("ix_sale_offers_affiliate_link_id", table_name="sale_offers")
    op.drop_column("sale_offers", "commission_percent")
    op.drop_column("sale_offers", "affiliate_link_id")
    op.drop_index("uq_affiliate_referrals_sale_id", table_name="affiliate_referrals")
    op.drop_index("ix_affiliate_referrals_user_id_created_at_id", table_name="affiliate_referrals")
    op.drop_index("ix_affiliate_referrals_store_id", table_name="affiliate_referrals")
    op.drop_index(
        "ix_affiliate_referrals_seller_id_created_at_id", table_name="affiliate_referrals"
    )
    op.drop_index("ix_affiliate_referrals_link_id", table_name="affiliate_referrals")
    drop_table_cascade("affiliate_referrals")
    op.drop_index("uq_affiliate_links_store", table_name="affiliate_links")
    op.drop_index("uq_affiliate_links_code", table_name="affiliate_links")
    op.drop_index("ix_affiliate_links_user_id_created_at_id", table_name="affiliate_links")
    op.drop_index("ix_affiliate_links_store_id", table_name="affiliate_links")
    drop_table_cascade("affiliate_links")
