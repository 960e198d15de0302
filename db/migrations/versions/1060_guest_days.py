"""The free activities of a day are shared by the guests of a device, and by those of an address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1060"
down_revision = "1051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guest_days",
        sa.Column("holder", sa.LargeBinary(), nullable=False),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("resets_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_guest_days_used")),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_guest_days")),
    )
    op.create_index("ix_guest_days_resets_at", "guest_days", ["resets_at"], unique=False)
    op.create_table(
        "guest_holders",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.LargeBinary(), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.CheckConstraint("share > 0", name=op.f("ck_guest_holders_share")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_guest_holders_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "holder", name=op.f("pk_guest_holders")),
    )
    op.enable_row_level_security("guest_days")
    op.create_policy(
        "service_all", "guest_days", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "guest_days", "service")
    op.enable_row_level_security("guest_holders")
    op.create_policy(
        "service_all", "guest_holders", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert", "guest_holders", "service")


def downgrade() -> None:
    op.drop_table("guest_holders")
    op.drop_index("ix_guest_days_resets_at", table_name="guest_days")
    op.drop_table("guest_days")
