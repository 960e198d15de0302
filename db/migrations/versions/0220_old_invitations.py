"""Invitations go 90 days after their time, found by an index."""

from __future__ import annotations

from alembic import op

revision = "0220"
down_revision = "0210"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_organization_invitations_expires_at",
        "organization_invitations",
        ["expires_at"],
        unique=False,
    )
    op.grant("delete", "organization_invitations", "service")


def downgrade() -> None:
    op.revoke("delete", "organization_invitations", "service")
    op.drop_index("ix_organization_invitations_expires_at", table_name="organization_invitations")
