"""Refunds that admins ask for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0420"
down_revision = "0410"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refund_requests",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("refunded_before_cents", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="REQUESTED", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'REQUESTED') = (ended_at is null)", name=op.f("ck_refund_requests_ended_at")
        ),
        sa.CheckConstraint(
            "status in ('REQUESTED', 'MADE', 'REFUSED')", name=op.f("ck_refund_requests_status")
        ),
        sa.CheckConstraint(
            "amount_cents > 0 and refunded_before_cents >= 0",
            name=op.f("ck_refund_requests_amounts"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_refund_requests_order_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_requests")),
        sa.UniqueConstraint(
            "order_id", "idempotency_key", name=op.f("uq_refund_requests_order_id_idempotency_key")
        ),
    )
    op.enable_row_level_security("refund_requests")
    op.create_policy(
        "service_all", "refund_requests", "for all to service using (true) with check (true)"
    )
    op.grant("select", "refund_requests", "service")
    op.create_trigger(
        "lifecycle_insert",
        "refund_requests",
        "after insert",
        "for each row when ((new.status = 'REQUESTED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "refund_requests",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'REQUESTED' and (new.status in ('MADE', 'REFUSED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    op.drop_table("refund_requests")
