"""The keys of the vault that something is sealed with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1110"
down_revision = "1100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_keys",
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column(
            "first_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("head ~ '^[0-9a-f]{18}$'", name=op.f("ck_vault_keys_head")),
        sa.CheckConstraint("rounds >= 100000", name=op.f("ck_vault_keys_rounds")),
        sa.PrimaryKeyConstraint("head", name=op.f("pk_vault_keys")),
    )
    op.enable_row_level_security("vault_keys")
    op.create_policy(
        "service_all", "vault_keys", "for all to service using (true) with check (true)"
    )
    op.grant("select", "vault_keys", "service")


def downgrade() -> None:
    op.drop_table("vault_keys")
