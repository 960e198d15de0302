"""A request to a remembered partner has no address that the requester has not typed."""

from __future__ import annotations

from alembic import op

revision = "0920"
down_revision = "0910"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("partner_requests", "email", nullable=True)


def downgrade() -> None:
    op.execute("update partner_requests set email = email_key where email is null")
    op.alter_column("partner_requests", "email", nullable=False)
