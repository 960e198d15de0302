"""Guests who were merged into a member's account, and where the photos of such guests lie."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade

revision = "0250"
down_revision = "0240"
branch_labels = None
depends_on = None

STATUS = "for each row when (old.status is distinct from new.status and (old.status = 'active' and ({}) or old.status = 'locked' and (new.status = 'active')) is not true) execute function app.refuse_transition('status')"


def upgrade() -> None:
    op.create_table(
        "guest_merges",
        sa.Column("guest_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "moved",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("credits_moved", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("bonus_used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "merged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("guest_id <> user_id", name=op.f("ck_guest_merges_two_users")),
        sa.CheckConstraint(
            "credits_moved >= 0 and bonus_used >= 0", name=op.f("ck_guest_merges_figures")
        ),
        sa.ForeignKeyConstraint(
            ["guest_id"], ["users.id"], name=op.f("fk_guest_merges_guest_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_guest_merges_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("guest_id", name=op.f("pk_guest_merges")),
    )
    op.create_index(op.f("ix_guest_merges_user_id"), "guest_merges", ["user_id"], unique=False)
    op.create_index(
        "ix_guest_merges_unsettled",
        "guest_merges",
        ["merged_at"],
        unique=False,
        postgresql_where=sa.text("settled_at is null"),
    )
    op.add_column("uploads", sa.Column("folder_id", sa.Uuid(), nullable=True))
    op.enable_row_level_security("guest_merges")
    op.create_policy(
        "service_all", "guest_merges", "for all to service using (true) with check (true)"
    )
    op.grant("select", "guest_merges", "service")
    op.grant("select (folder_id)", "uploads", "authenticated")
    op.drop_trigger("lifecycle_update", "users")
    op.drop_check("ck_users_status", "users")
    op.add_check("ck_users_status", "users", "(status in ('active', 'locked', 'merged'))")
    merged = "new.status in ('locked') or new.status = 'merged' and (new.is_anonymous)"
    op.create_trigger("lifecycle_update", "users", "after update", STATUS.format(merged))


def downgrade() -> None:
    op.drop_trigger("lifecycle_update", "users")
    op.execute("update users set status = 'locked' where status = 'merged'")
    op.drop_check("ck_users_status", "users")
    op.add_check("ck_users_status", "users", "(status in ('active', 'locked'))")
    op.create_trigger(
        "lifecycle_update", "users", "after update", STATUS.format("new.status = 'locked'")
    )
    op.revoke("select (folder_id)", "uploads", "authenticated")
    op.drop_column("uploads", "folder_id")
    drop_table_cascade("guest_merges")
