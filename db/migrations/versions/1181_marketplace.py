"""Stores, what they sell, and their sales: products get sellers, orders get kinds that stores sell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade

revision = "1181"
down_revision = "1180"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_stores()
    make_sales()
    widen_products()
    protect_stores()
    protect_products()
    protect_sales()


def make_stores() -> None:
    op.drop_check("ck_orders_gives", "orders")
    op.drop_check("ck_orders_kind", "orders")
    op.drop_policy("through_select", "product_prices")
    op.drop_policy("admin_select", "products")
    op.drop_check("ck_products_gives", "products")
    op.drop_check("ck_products_kind", "products")
    op.create_table(
        "marketplace_terms",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fee_basis_points", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "fee_basis_points between 0 and 10000",
            name=op.f("ck_marketplace_terms_fee_basis_points"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_marketplace_terms_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marketplace_terms")),
    )
    op.create_table(
        "creator_profiles",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("creator_type", sa.Text(), server_default="INDEPENDENT", nullable=False),
        sa.Column("business_name", sa.Text(), nullable=True),
        sa.Column("business_description", sa.Text(), nullable=True),
        sa.Column("contact_email", sa.Text(), nullable=True),
        sa.Column("website_url", sa.Text(), nullable=True),
        sa.Column(
            "links",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("onboarded_at", sa.DateTime(timezone=True), nullable=True),
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
            "creator_type in ('INDEPENDENT', 'BUSINESS', 'CORPORATION', 'GROUP', 'TEAM', 'STUDIO')",
            name=op.f("ck_creator_profiles_creator_type"),
        ),
        sa.CheckConstraint(
            "length(business_description) <= 500",
            name=op.f("ck_creator_profiles_business_description"),
        ),
        sa.CheckConstraint(
            "length(business_name) between 1 and 100",
            name=op.f("ck_creator_profiles_business_name"),
        ),
        sa.CheckConstraint(
            "length(contact_email) <= 254", name=op.f("ck_creator_profiles_contact_email")
        ),
        sa.CheckConstraint(
            "length(website_url) <= 2000", name=op.f("ck_creator_profiles_website_url")
        ),
        sa.CheckConstraint(
            "octet_length(links::text) <= 8192", name=op.f("ck_creator_profiles_links")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_creator_profiles_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_creator_profiles")),
    )
    op.create_table(
        "stores",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column(
            "theme",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "layout",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "links",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("custom_domain", sa.Text(), nullable=True),
        sa.Column("logo_path", sa.Text(), nullable=True),
        sa.Column("banner_path", sa.Text(), nullable=True),
        sa.Column("is_public", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("connect_status", sa.Text(), server_default="NOT_CONNECTED", nullable=False),
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
            "connect_status in ('NOT_CONNECTED', 'PENDING', 'INCOMPLETE', 'CONNECTED', 'COMPLETE')",
            name=op.f("ck_stores_connect_status"),
        ),
        sa.CheckConstraint(
            "slug ~ '^[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]$'", name=op.f("ck_stores_slug")
        ),
        sa.CheckConstraint(
            "length(custom_domain) between 4 and 253", name=op.f("ck_stores_custom_domain")
        ),
        sa.CheckConstraint("length(description) <= 5000", name=op.f("ck_stores_description")),
        sa.CheckConstraint("length(name) between 1 and 100", name=op.f("ck_stores_name")),
        sa.CheckConstraint(
            "octet_length(theme::text) <= 65536 and octet_length(layout::text) <= 65536 and octet_length(links::text) <= 8192",
            name=op.f("ck_stores_page"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_stores_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stores")),
    )
    op.create_index(
        "ix_stores_user_id_created_at_id", "stores", ["user_id", "created_at", "id"], unique=False
    )
    op.create_index("uq_stores_custom_domain", "stores", ["custom_domain"], unique=True)
    op.create_index("uq_stores_slug", "stores", ["slug"], unique=True)
    op.create_table(
        "discount_codes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("amount_cents", sa.Integer(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("min_purchase_cents", sa.Integer(), nullable=True),
        sa.Column("max_discount_cents", sa.Integer(), nullable=True),
        sa.Column(
            "product_ids",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("usage_limit", sa.Integer(), nullable=True),
        sa.Column("use_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("code ~ '^[A-Z0-9-]{3,32}$'", name=op.f("ck_discount_codes_code")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_discount_codes_currency")),
        sa.CheckConstraint(
            "kind = 'PERCENTAGE' and percent between 1 and 100 and amount_cents is null or kind = 'FIXED' and percent is null and amount_cents > 0",
            name=op.f("ck_discount_codes_kind"),
        ),
        sa.CheckConstraint(
            "cardinality(product_ids) <= 100", name=op.f("ck_discount_codes_product_ids")
        ),
        sa.CheckConstraint(
            "currency is not null or num_nonnulls(amount_cents, min_purchase_cents, max_discount_cents) = 0",
            name=op.f("ck_discount_codes_amounts"),
        ),
        sa.CheckConstraint(
            "min_purchase_cents > 0 and max_discount_cents > 0",
            name=op.f("ck_discount_codes_bounds"),
        ),
        sa.CheckConstraint(
            "usage_limit > 0 and use_count >= 0", name=op.f("ck_discount_codes_usage_limit")
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_discount_codes_store_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_discount_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discount_codes")),
    )
    op.create_index(
        "ix_discount_codes_store_id_created_at_id",
        "discount_codes",
        ["store_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_discount_codes_user_id", "discount_codes", ["user_id"], unique=False)
    op.create_index("uq_discount_codes_code", "discount_codes", ["store_id", "code"], unique=True)
    op.create_table(
        "payouts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_payout_id", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("arrives_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payouts_currency")),
        sa.CheckConstraint(
            "status in ('PENDING', 'IN_TRANSIT', 'PAID', 'FAILED', 'CANCELLED')",
            name=op.f("ck_payouts_status"),
        ),
        sa.CheckConstraint("amount_cents >= 0", name=op.f("ck_payouts_amount_cents")),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_payouts_store_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_payouts_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
    )
    op.create_index(
        "ix_payouts_store_id_created_at_id",
        "payouts",
        ["store_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_payouts_user_id", "payouts", ["user_id"], unique=False)
    op.create_index(
        "uq_payouts_provider", "payouts", ["provider", "provider_payout_id"], unique=True
    )
    op.create_table(
        "seller_accounts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sealed_account", sa.LargeBinary(), nullable=False),
        sa.Column("account_index", sa.LargeBinary(), nullable=False),
        sa.Column("charges_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("payouts_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "details_submitted", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "provider in ('stripe', 'paypal', 'sandbox')", name=op.f("ck_seller_accounts_provider")
        ),
        sa.ForeignKeyConstraint(
            ["store_id"],
            ["stores.id"],
            name=op.f("fk_seller_accounts_store_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seller_accounts")),
    )
    op.create_index(
        "uq_seller_accounts_account_index",
        "seller_accounts",
        ["provider", "account_index"],
        unique=True,
    )
    op.create_index(
        "uq_seller_accounts_store_id", "seller_accounts", ["store_id", "provider"], unique=True
    )
    op.create_table(
        "product_downloads",
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_product_downloads_product_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_product_downloads_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("product_id", "user_id", name=op.f("pk_product_downloads")),
    )
    op.create_index("ix_product_downloads_user_id", "product_downloads", ["user_id"], unique=False)
    op.create_table(
        "product_files",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="AWAITING", nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + interval '15 minutes'"),
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stored_bytes",
            sa.BigInteger(),
            sa.Computed("size_bytes", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'READY') = (path is not null)", name=op.f("ck_product_files_path")
        ),
        sa.CheckConstraint("status in ('AWAITING', 'READY')", name=op.f("ck_product_files_status")),
        sa.CheckConstraint(
            "length(content_type) between 3 and 100", name=op.f("ck_product_files_content_type")
        ),
        sa.CheckConstraint(
            "length(file_name) between 1 and 200", name=op.f("ck_product_files_file_name")
        ),
        sa.CheckConstraint(
            "size_bytes between 1 and 52428800", name=op.f("ck_product_files_size_bytes")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_product_files_product_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_product_files_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_files")),
    )
    op.create_index(
        "ix_product_files_awaiting",
        "product_files",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'AWAITING'"),
    )
    op.create_index(
        "ix_product_files_path",
        "product_files",
        ["path"],
        unique=False,
        postgresql_where=sa.text("path is not null"),
    )
    op.create_index(
        "ix_product_files_product_id_created_at_id",
        "product_files",
        ["product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_product_files_user_id_created_at_id",
        "product_files",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "product_pictures",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("width_pixels", sa.Integer(), nullable=False),
        sa.Column("height_pixels", sa.Integer(), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "width_pixels > 0 and height_pixels > 0", name=op.f("ck_product_pictures_pixels")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_product_pictures_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_pictures")),
    )
    op.create_index(
        "ix_product_pictures_product_id_sort_order_id",
        "product_pictures",
        ["product_id", "sort_order", "id"],
        unique=False,
    )
    op.create_index("uq_product_pictures_path", "product_pictures", ["path"], unique=True)
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=True),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
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
        sa.CheckConstraint("length(author_name) <= 100", name=op.f("ck_reviews_author_name")),
        sa.CheckConstraint("length(text) <= 2000", name=op.f("ck_reviews_text")),
        sa.CheckConstraint("rating between 1 and 5", name=op.f("ck_reviews_rating")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_reviews_product_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_reviews_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index(
        "ix_reviews_product_id_created_at_id",
        "reviews",
        ["product_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_reviews_user_id_created_at_id", "reviews", ["user_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "uq_reviews_user_id_product_id", "reviews", ["user_id", "product_id"], unique=True
    )
    op.create_table(
        "product_versions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(label) between 1 and 50", name=op.f("ck_product_versions_label")
        ),
        sa.CheckConstraint("length(notes) <= 5000", name=op.f("ck_product_versions_notes")),
        sa.CheckConstraint("number > 0", name=op.f("ck_product_versions_number")),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["product_files.id"],
            name=op.f("fk_product_versions_file_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_product_versions_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_versions")),
    )
    op.create_index("uq_product_versions_file_id", "product_versions", ["file_id"], unique=True)
    op.create_index(
        "uq_product_versions_number", "product_versions", ["product_id", "number"], unique=True
    )


def make_sales() -> None:
    op.create_table(
        "sale_offers",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("list_cents", sa.Integer(), nullable=False),
        sa.Column("discount_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fee_cents", sa.Integer(), nullable=False),
        sa.Column("discount_code_id", sa.Uuid(), nullable=True),
        sa.Column("buyer_email", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("guest_key", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "discount_cents between 0 and list_cents", name=op.f("ck_sale_offers_discount_cents")
        ),
        sa.CheckConstraint(
            "fee_cents between 0 and list_cents - discount_cents",
            name=op.f("ck_sale_offers_fee_cents"),
        ),
        sa.ForeignKeyConstraint(
            ["discount_code_id"],
            ["discount_codes.id"],
            name=op.f("fk_sale_offers_discount_code_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_sale_offers_order_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["seller_id"], ["users.id"], name=op.f("fk_sale_offers_seller_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_sale_offers_store_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_sale_offers")),
    )
    op.create_index(
        "ix_sale_offers_discount_code_id", "sale_offers", ["discount_code_id"], unique=False
    )
    op.create_index("ix_sale_offers_seller_id", "sale_offers", ["seller_id"], unique=False)
    op.create_index("ix_sale_offers_store_id", "sale_offers", ["store_id"], unique=False)
    op.create_index("uq_sale_offers_guest_key", "sale_offers", ["guest_key"], unique=True)
    op.create_table(
        "sales",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("product_name", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("seller_id", sa.Uuid(), nullable=True),
        sa.Column("buyer_id", sa.Uuid(), nullable=True),
        sa.Column("buyer_email", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("discount_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fee_cents", sa.Integer(), nullable=False),
        sa.Column("seller_cents", sa.Integer(), nullable=False),
        sa.Column("refunded_cents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default="COMPLETED", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('COMPLETED', 'PARTIALLY_REFUNDED', 'DISPUTED', 'REFUNDED')",
            name=op.f("ck_sales_status"),
        ),
        sa.CheckConstraint(
            "(buyer_email is null) = (email_key is null)", name=op.f("ck_sales_email_key")
        ),
        sa.CheckConstraint(
            "(currency is null) = (amount_cents = 0)", name=op.f("ck_sales_currency")
        ),
        sa.CheckConstraint("buyer_id is null or buyer_email is null", name=op.f("ck_sales_buyer")),
        sa.CheckConstraint("fee_cents + seller_cents = amount_cents", name=op.f("ck_sales_parts")),
        sa.CheckConstraint("fee_cents >= 0 and seller_cents >= 0", name=op.f("ck_sales_cents")),
        sa.CheckConstraint(
            "refunded_cents between 0 and amount_cents", name=op.f("ck_sales_refunded_cents")
        ),
        sa.ForeignKeyConstraint(
            ["buyer_id"], ["users.id"], name=op.f("fk_sales_buyer_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_sales_order_id")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_sales_product_id")),
        sa.ForeignKeyConstraint(
            ["seller_id"], ["users.id"], name=op.f("fk_sales_seller_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_sales_store_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sales")),
    )
    op.create_index(
        "ix_sales_buyer_id_created_at_id", "sales", ["buyer_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_sales_buyer_id_product_id", "sales", ["buyer_id", "product_id"], unique=False
    )
    op.create_index(
        "ix_sales_email_key",
        "sales",
        ["email_key"],
        unique=False,
        postgresql_where=sa.text("email_key is not null"),
    )
    op.create_index("ix_sales_product_id", "sales", ["product_id"], unique=False)
    op.create_index(
        "ix_sales_seller_id_created_at_id", "sales", ["seller_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_sales_store_id_created_at_id", "sales", ["store_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "uq_sales_free",
        "sales",
        ["buyer_id", "product_id"],
        unique=True,
        postgresql_where=sa.text("order_id is null"),
    )
    op.create_index("uq_sales_order_id", "sales", ["order_id"], unique=True)


def widen_products() -> None:
    op.add_column("products", sa.Column("store_id", sa.Uuid(), nullable=True))
    op.add_column("products", sa.Column("seller_id", sa.Uuid(), nullable=True))
    op.add_column(
        "products", sa.Column("status", sa.Text(), server_default="PUBLISHED", nullable=False)
    )
    op.add_column("products", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("category", sa.Text(), nullable=True))
    op.add_column(
        "products",
        sa.Column(
            "tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    op.add_column(
        "products",
        sa.Column(
            "licences_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column("products", sa.Column("max_activations", sa.Integer(), nullable=True))
    op.add_column(
        "products",
        sa.Column(
            "affiliates_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(
        "products",
        sa.Column("download_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "products",
        sa.Column("rating_sum", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "products",
        sa.Column("rating_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "products",
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.add_column(
        "products",
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.add_column("products", sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_products_seller_id", "products", ["seller_id"], unique=False)
    op.create_index(
        "ix_products_store_id_category",
        "products",
        ["store_id", "category", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_products_store_id_created_at_id",
        "products",
        ["store_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_products_store_id_status",
        "products",
        ["store_id", "status", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        op.f("fk_products_store_id"),
        "products",
        "stores",
        ["store_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_foreign_key(
        op.f("fk_products_seller_id"),
        "products",
        "users",
        ["seller_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_function(
        "app.count_rating()",
        "create or replace function app.count_rating() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    if tg_op = 'UPDATE' and (old.product_id, old.rating) = (new.product_id, new.rating) then\n        return null;\n    end if;\n    if tg_op <> 'INSERT' then\n        update public.products p set rating_sum = p.rating_sum - old.rating, rating_count = p.rating_count - 1\n        where p.id = old.product_id;\n    end if;\n    if tg_op <> 'DELETE' then\n        update public.products p set rating_sum = p.rating_sum + new.rating, rating_count = p.rating_count + 1\n        where p.id = new.product_id;\n    end if;\n    return null;\nend;\n$$",
    )


def protect_stores() -> None:
    op.enable_row_level_security("creator_profiles")
    op.create_policy(
        "owner_select",
        "creator_profiles",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "creator_profiles", "for all to service using (true) with check (true)"
    )
    op.grant("select", "creator_profiles", "service")
    op.grant(
        "select (user_id, creator_type, business_name, business_description, contact_email, website_url, links, onboarded_at, created_at, updated_at)",
        "creator_profiles",
        "authenticated",
    )
    op.enable_row_level_security("discount_codes")
    op.create_policy(
        "owner_select",
        "discount_codes",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "discount_codes", "for all to service using (true) with check (true)"
    )
    op.grant("select", "discount_codes", "service")
    op.grant(
        "select (id, user_id, store_id, code, kind, percent, amount_cents, currency, min_purchase_cents, max_discount_cents, product_ids, usage_limit, use_count, is_active, expires_at, created_at)",
        "discount_codes",
        "authenticated",
    )
    op.enable_row_level_security("marketplace_terms")
    op.create_policy(
        "service_all", "marketplace_terms", "for all to service using (true) with check (true)"
    )
    op.grant("select", "marketplace_terms", "service")
    op.add_check(
        "ck_orders_gives",
        "orders",
        "((kind = 'CREDITS') = (credits is not null) and (kind in ('PLAN', 'SUBSCRIPTION')) = (plan_id is not null))",
    )
    op.add_check(
        "ck_orders_kind",
        "orders",
        "(kind in ('CREDITS', 'PLAN', 'SUBSCRIPTION', 'DOWNLOAD', 'BOT'))",
    )
    op.enable_row_level_security("payouts")
    op.create_policy(
        "owner_select",
        "payouts",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "payouts", "for all to service using (true) with check (true)")
    op.grant("select", "payouts", "service")
    op.grant(
        "select (id, store_id, user_id, provider, provider_payout_id, amount_cents, currency, status, arrives_at, created_at, told_at)",
        "payouts",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "payouts",
        "after insert",
        "for each row when ((new.status in ('PENDING', 'IN_TRANSIT', 'PAID', 'FAILED', 'CANCELLED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "payouts",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('IN_TRANSIT', 'PAID', 'FAILED', 'CANCELLED')) or old.status = 'IN_TRANSIT' and (new.status in ('PAID', 'FAILED', 'CANCELLED')) or old.status = 'PAID' and (new.status = 'FAILED')) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("product_downloads")
    op.create_policy(
        "owner_select",
        "product_downloads",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy(
        "service_all", "product_downloads", "for all to service using (true) with check (true)"
    )
    op.grant("select", "product_downloads", "service")
    op.grant("select (product_id, user_id, created_at)", "product_downloads", "authenticated")
    op.enable_row_level_security("product_files")
    op.create_policy(
        "owner_select",
        "product_files",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "product_files", "for all to service using (true) with check (true)"
    )
    op.grant("select, update, delete", "product_files", "service")
    op.grant(
        "select (id, user_id, product_id, file_name, content_type, size_bytes, status, created_at, expires_at, received_at, stored_bytes)",
        "product_files",
        "authenticated",
    )
    op.create_trigger(
        "count_insert",
        "product_files",
        "after insert",
        "for each row execute function app.count_use('REFUSE', 'deleteProductFile')",
    )
    op.create_trigger(
        "count_update",
        "product_files",
        "after update",
        "for each row when (old.stored_bytes <> new.stored_bytes) execute function app.count_use('REFUSE', 'deleteProductFile')",
    )
    op.create_trigger(
        "count_delete",
        "product_files",
        "after delete",
        "referencing old table as old_rows for each statement execute function app.count_deleted()",
    )
    op.create_trigger(
        "lifecycle_insert",
        "product_files",
        "after insert",
        "for each row when ((new.status = 'AWAITING') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "product_files",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'AWAITING' and (new.status = 'READY')) is not true) execute function app.refuse_transition('status')",
    )


def protect_products() -> None:
    op.enable_row_level_security("product_pictures")
    op.create_policy(
        "public_select",
        "product_pictures",
        "for select to anon, authenticated using (exists (select from products parent_1 where parent_1.id = product_pictures.product_id and (parent_1.is_active)))",
    )
    op.create_policy(
        "through_select",
        "product_pictures",
        "for select to authenticated using (exists (select from products parent_1 where parent_1.id = product_pictures.product_id and (parent_1.seller_id = (select app.user_id()) or (select app.is_admin()))))",
    )
    op.create_policy(
        "service_all", "product_pictures", "for all to service using (true) with check (true)"
    )
    op.grant("select", "product_pictures", "service")
    op.grant(
        "select (id, product_id, path, content_type, width_pixels, height_pixels, sort_order, created_at)",
        "product_pictures",
        "anon, authenticated",
    )
    op.create_policy(
        "through_select",
        "product_prices",
        "for select to authenticated using (exists (select from products parent_1 where parent_1.id = product_prices.product_id and (parent_1.seller_id = (select app.user_id()) or (select app.is_admin()))))",
    )
    op.enable_row_level_security("product_versions")
    op.create_policy(
        "public_select",
        "product_versions",
        "for select to anon, authenticated using (exists (select from products parent_1 where parent_1.id = product_versions.product_id and (parent_1.is_active)))",
    )
    op.create_policy(
        "through_select",
        "product_versions",
        "for select to authenticated using (exists (select from products parent_1 where parent_1.id = product_versions.product_id and (parent_1.seller_id = (select app.user_id()) or (select app.is_admin()))))",
    )
    op.create_policy(
        "service_all", "product_versions", "for all to service using (true) with check (true)"
    )
    op.grant("select", "product_versions", "service")
    op.grant(
        "select (id, product_id, number, label, notes, file_name, size_bytes, created_at)",
        "product_versions",
        "anon, authenticated",
    )
    op.add_check(
        "ck_products_counts",
        "products",
        "(download_count >= 0 and rating_count >= 0 and rating_sum between rating_count and 5 * rating_count)",
    )
    op.add_check("ck_products_description", "products", "(length(description) <= 5000)")
    op.add_check(
        "ck_products_gives",
        "products",
        "((kind = 'CREDITS') = (credits is not null) and (kind in ('PLAN', 'SUBSCRIPTION')) = (plan_id is not null))",
    )
    op.add_check(
        "ck_products_kind",
        "products",
        "(kind in ('CREDITS', 'PLAN', 'SUBSCRIPTION', 'DOWNLOAD', 'BOT'))",
    )
    op.add_check(
        "ck_products_labels",
        "products",
        "(length(category) between 1 and 50 and cardinality(tags) <= 20)",
    )
    op.add_check("ck_products_max_activations", "products", "(max_activations between 1 and 10000)")
    op.add_check(
        "ck_products_seller",
        "products",
        "(kind in ('DOWNLOAD', 'BOT') or store_id is null and seller_id is null)",
    )
    op.add_check("ck_products_status", "products", "(status in ('DRAFT', 'PUBLISHED', 'ARCHIVED'))")
    op.create_policy(
        "owner_select",
        "products",
        "for select to authenticated using (seller_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.grant(
        "select (store_id, seller_id, status, description, category, tags, licences_enabled, max_activations, affiliates_enabled, download_count, rating_sum, rating_count, created_at, updated_at, published_at)",
        "products",
        "anon, authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "products",
        "after insert",
        "for each row when ((new.status in ('DRAFT', 'PUBLISHED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "products",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'DRAFT' and (new.status in ('PUBLISHED', 'ARCHIVED')) or old.status = 'PUBLISHED' and (new.status = 'ARCHIVED') or old.status = 'ARCHIVED' and (new.status = 'PUBLISHED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_download_count",
        "products",
        "after update",
        "for each row when ((new.download_count >= old.download_count) is not true) execute function app.refuse_transition('download_count')",
    )


def protect_sales() -> None:
    op.enable_row_level_security("reviews")
    op.create_policy(
        "public_select",
        "reviews",
        "for select to anon, authenticated using (exists (select from products parent_1 where parent_1.id = reviews.product_id and (parent_1.is_active)))",
    )
    op.create_policy(
        "through_select",
        "reviews",
        "for select to authenticated using (exists (select from products parent_1 where parent_1.id = reviews.product_id and (parent_1.seller_id = (select app.user_id()) or (select app.is_admin()))) or user_id = (select app.user_id()))",
    )
    op.create_policy("service_all", "reviews", "for all to service using (true) with check (true)")
    op.grant("select", "reviews", "service")
    op.grant(
        "select (id, product_id, user_id, author_name, rating, text, created_at, updated_at)",
        "reviews",
        "anon, authenticated",
    )
    op.create_trigger(
        "count_rating",
        "reviews",
        "after insert or update or delete",
        "for each row execute function app.count_rating()",
    )
    op.enable_row_level_security("sale_offers")
    op.create_policy(
        "service_all", "sale_offers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "sale_offers", "service")
    op.enable_row_level_security("sales")
    op.create_policy(
        "owner_select",
        "sales",
        "for select to authenticated using (buyer_id = (select app.user_id()) or seller_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "sales", "for all to service using (true) with check (true)")
    op.grant("select", "sales", "service")
    op.grant(
        "select (id, order_id, product_id, product_name, store_id, seller_id, buyer_id, provider, amount_cents, currency, discount_cents, fee_cents, seller_cents, refunded_cents, status, created_at, claimed_at)",
        "sales",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "sales",
        "after insert",
        "for each row when ((new.status = 'COMPLETED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "sales",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'COMPLETED' and (new.status in ('PARTIALLY_REFUNDED', 'DISPUTED', 'REFUNDED')) or old.status = 'PARTIALLY_REFUNDED' and (new.status in ('DISPUTED', 'REFUNDED')) or old.status = 'DISPUTED' and (new.status in ('COMPLETED', 'PARTIALLY_REFUNDED', 'REFUNDED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_refunded_cents",
        "sales",
        "after update",
        "for each row when ((new.refunded_cents >= old.refunded_cents) is not true) execute function app.refuse_transition('refunded_cents')",
    )
    op.enable_row_level_security("seller_accounts")
    op.create_policy(
        "service_all", "seller_accounts", "for all to service using (true) with check (true)"
    )
    op.grant("select", "seller_accounts", "service")
    op.enable_row_level_security("stores")
    op.create_policy(
        "public_select", "stores", "for select to anon, authenticated using (is_public)"
    )
    op.create_policy(
        "owner_select",
        "stores",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.create_policy("service_all", "stores", "for all to service using (true) with check (true)")
    op.grant("select", "stores", "service")
    op.grant(
        "select (id, user_id, slug, name, description, theme, layout, links, custom_domain, is_public, connect_status, created_at, updated_at)",
        "stores",
        "anon, authenticated",
    )


def downgrade() -> None:
    # Orders and payments are books, which stay: of packs of one credit that are sold no more.
    op.execute("update orders set kind = 'CREDITS', credits = 1 where kind in ('DOWNLOAD', 'BOT')")
    op.execute(
        "update products set kind = 'CREDITS', credits = 1, is_active = false, store_id = null,"
        " seller_id = null where kind in ('DOWNLOAD', 'BOT')"
    )
    drop_table_cascade("sales")
    drop_table_cascade("sale_offers")
    drop_table_cascade("product_versions")
    drop_table_cascade("reviews")
    op.drop_function("app.count_rating()")
    drop_table_cascade("product_pictures")
    drop_table_cascade("product_files")
    op.drop_table("product_downloads")
    drop_table_cascade("seller_accounts")
    op.drop_table("payouts")
    drop_table_cascade("discount_codes")
    narrow_products()
    drop_table_cascade("stores")
    drop_table_cascade("creator_profiles")
    op.drop_table("marketplace_terms")
    op.add_check(
        "ck_products_kind",
        "products",
        "((kind = ANY (ARRAY['CREDITS'::text, 'PLAN'::text, 'SUBSCRIPTION'::text])))",
    )
    op.add_check(
        "ck_products_gives",
        "products",
        "((((kind = 'CREDITS'::text) = (credits IS NOT NULL)) AND ((kind = 'CREDITS'::text) = (plan_id IS NULL))))",
    )
    op.create_policy(
        "admin_select",
        "products",
        "for select to authenticated using (( SELECT app.is_admin() AS is_admin))",
    )
    op.create_policy(
        "through_select",
        "product_prices",
        "for select to authenticated using ((EXISTS ( SELECT\n   FROM products parent_1\n  WHERE ((parent_1.id = product_prices.product_id) AND ( SELECT app.is_admin() AS is_admin)))))",
    )
    op.add_check(
        "ck_orders_kind",
        "orders",
        "((kind = ANY (ARRAY['CREDITS'::text, 'PLAN'::text, 'SUBSCRIPTION'::text])))",
    )
    op.add_check(
        "ck_orders_gives",
        "orders",
        "((((kind = 'CREDITS'::text) = (credits IS NOT NULL)) AND ((kind = 'CREDITS'::text) = (plan_id IS NULL))))",
    )


def narrow_products() -> None:
    op.drop_trigger("lifecycle_download_count", "products")
    op.drop_trigger("lifecycle_update", "products")
    op.drop_trigger("lifecycle_insert", "products")
    op.drop_policy("owner_select", "products")
    op.drop_check("ck_products_status", "products")
    op.drop_check("ck_products_seller", "products")
    op.drop_check("ck_products_max_activations", "products")
    op.drop_check("ck_products_labels", "products")
    op.drop_check("ck_products_kind", "products")
    op.drop_check("ck_products_gives", "products")
    op.drop_check("ck_products_description", "products")
    op.drop_check("ck_products_counts", "products")
    op.drop_policy("through_select", "product_prices")
    op.drop_check("ck_orders_kind", "orders")
    op.drop_check("ck_orders_gives", "orders")
    op.drop_constraint(op.f("fk_products_seller_id"), "products", type_="foreignkey")
    op.drop_constraint(op.f("fk_products_store_id"), "products", type_="foreignkey")
    op.drop_index("ix_products_store_id_status", table_name="products")
    op.drop_index("ix_products_store_id_created_at_id", table_name="products")
    op.drop_index("ix_products_store_id_category", table_name="products")
    op.drop_index("ix_products_seller_id", table_name="products")
    op.drop_column("products", "published_at")
    op.drop_column("products", "updated_at")
    op.drop_column("products", "created_at")
    op.drop_column("products", "rating_count")
    op.drop_column("products", "rating_sum")
    op.drop_column("products", "download_count")
    op.drop_column("products", "affiliates_enabled")
    op.drop_column("products", "max_activations")
    op.drop_column("products", "licences_enabled")
    op.drop_column("products", "tags")
    op.drop_column("products", "category")
    op.drop_column("products", "description")
    op.drop_column("products", "status")
    op.drop_column("products", "seller_id")
    op.drop_column("products", "store_id")
