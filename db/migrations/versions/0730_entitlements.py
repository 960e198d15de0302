"""Entitlements: what users may use by purchases in app stores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0730"
down_revision = "0720"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_entitlements",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("will_renew", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_provider_entitlements_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_entitlements")),
    )
    op.create_index(
        "ix_provider_entitlements_user_id_created_at_id",
        "provider_entitlements",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_provider_entitlements_source",
        "provider_entitlements",
        ["provider", "source", "name"],
        unique=True,
    )
    op.create_table(
        "provider_user_names",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(name) between 1 and 255", name=op.f("ck_provider_user_names_name")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_provider_user_names_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provider", "name", name=op.f("pk_provider_user_names")),
    )
    op.create_index(
        op.f("ix_provider_user_names_user_id"), "provider_user_names", ["user_id"], unique=False
    )
    _protect()


def _protect() -> None:
    op.enable_row_level_security("provider_entitlements")
    op.create_policy(
        "owner_select",
        "provider_entitlements",
        "for select to authenticated using (user_id = (select app.user_id()) or (select app.is_admin()))",
    )
    for table in ("provider_entitlements", "provider_user_names"):
        op.create_policy("service_all", table, "for all to service using (true) with check (true)")
        op.grant("select", table, "service")
    op.enable_row_level_security("provider_user_names")
    op.grant(
        "select (id, user_id, provider, name, product, store, expires_at, grace_ends_at, will_renew, told_at, created_at)",
        "provider_entitlements",
        "authenticated",
    )


def downgrade() -> None:
    drop_table_cascade("provider_user_names")
    drop_table_cascade("provider_entitlements")
