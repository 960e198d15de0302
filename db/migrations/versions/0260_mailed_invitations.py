"""Invitations of one address are found by an index, so that nobody is flooded with them."""

from __future__ import annotations

from alembic import op

revision = "0260"
down_revision = "0250"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_organization_invitations_email_key_created_at",
        "organization_invitations",
        ["email_key", "created_at"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index(
        "ix_organization_invitations_email_key_created_at", table_name="organization_invitations"
    )
