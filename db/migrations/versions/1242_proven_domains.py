"""A domain is a store's once it is proven to be its owner's, and of one store at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1242"
down_revision = "1240"
branch_labels = None
depends_on = None

CHECK = "ck_stores_custom_domain_status"
SHOWN = "select (custom_domain_status, custom_domain_verified_at)"


def upgrade() -> None:
    op.add_column("stores", sa.Column("custom_domain_status", sa.Text(), nullable=True))
    op.add_column(
        "stores",
        sa.Column("custom_domain_verified_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column("stores", sa.Column("domain_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "stores",
        sa.Column("domain_misses", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.execute(
        "update stores set custom_domain_status = 'PENDING', domain_due_at = now()"
        " where custom_domain is not null"
    )
    op.add_check(
        CHECK,
        "stores",
        "((custom_domain_status in ('PENDING', 'VERIFIED', 'FAILED')) is not false"
        " and (custom_domain is null) = (custom_domain_status is null))",
    )
    op.grant(SHOWN, "stores", "anon, authenticated")
    op.drop_index("uq_stores_custom_domain", "stores")
    op.create_index(
        "uq_stores_custom_domain",
        "stores",
        ["custom_domain"],
        unique=True,
        postgresql_where=sa.text("custom_domain_status = 'VERIFIED'"),
    )
    op.create_index(
        "ix_stores_domain_due_at",
        "stores",
        ["domain_due_at"],
        unique=False,
        postgresql_where=sa.text("domain_due_at is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_stores_domain_due_at", "stores")
    op.drop_index("uq_stores_custom_domain", "stores")
    op.revoke(SHOWN, "stores", "anon, authenticated")
    op.drop_check(CHECK, "stores")
    # Of several stores that name a domain the one that proved it keeps it, else the oldest.
    op.execute(
        "update stores s set custom_domain = null where exists (select from stores o"
        " where o.custom_domain = s.custom_domain and o.id <> s.id"
        " and (o.custom_domain_status is distinct from 'VERIFIED', o.id)"
        " < (s.custom_domain_status is distinct from 'VERIFIED', s.id))"
    )
    op.create_index("uq_stores_custom_domain", "stores", ["custom_domain"], unique=True)
    for column in (
        "domain_misses",
        "domain_due_at",
        "custom_domain_verified_at",
        "custom_domain_status",
    ):
        op.drop_column("stores", column)
