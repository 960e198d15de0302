"""Switches: how the product runs now, for everybody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0690"
down_revision = "0580"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "switches",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sync_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "credits_unlimited", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("ai_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("read_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_switches_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_switches")),
    )
    op.execute("insert into switches (id) values (1)")
    op.enable_row_level_security("switches")
    op.create_policy("public_select", "switches", "for select to anon, authenticated using (true)")
    op.create_policy("service_all", "switches", "for all to service using (true) with check (true)")
    op.grant("select", "switches", "service")
    op.grant(
        "select (id, sync_enabled, credits_unlimited, ai_enabled, read_only, updated_at)",
        "switches",
        "anon, authenticated",
    )
    op.create_trigger(
        "record_event",
        "switches",
        "after update",
        "for each row execute function app.record_event('switches.changed', 'id', '{}', '{}', '')",
    )


def downgrade() -> None:
    drop_table_cascade("switches")
