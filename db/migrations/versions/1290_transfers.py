"""Transfers between users of a provider are kept: what they move may be told of later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "1290"
down_revision = "1270"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_transfers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("giver_id", sa.Uuid(), nullable=False),
        sa.Column("receiver_id", sa.Uuid(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["giver_id"],
            ["users.id"],
            name=op.f("fk_provider_transfers_giver_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["receiver_id"],
            ["users.id"],
            name=op.f("fk_provider_transfers_receiver_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_transfers")),
    )
    op.create_index(
        "ix_provider_transfers_giver_id_told_at", "provider_transfers", ["giver_id", "told_at"]
    )
    op.create_index(
        op.f("ix_provider_transfers_receiver_id"), "provider_transfers", ["receiver_id"]
    )
    op.enable_row_level_security("provider_transfers")
    op.create_policy(
        "service_all", "provider_transfers", "for all to service using (true) with check (true)"
    )
    op.grant("select", "provider_transfers", "service")
    op.add_column(
        "provider_entitlements",
        sa.Column(
            "held_since",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.execute("update provider_entitlements set held_since = told_at")


def downgrade() -> None:
    op.drop_column("provider_entitlements", "held_since")
    drop_table_cascade("provider_transfers")
