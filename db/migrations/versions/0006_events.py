"""Events that subscriptions read, and the database's epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import TransactionId, run_all

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table database_epoch enable row level security",
    "create policy service_all on database_epoch for all to service using (true) with check (true)",
    "grant select on database_epoch to service",
    "alter table events enable row level security",
    "create policy service_all on events for all to service using (true) with check (true)",
    "grant select, delete on events to service",
)


def upgrade() -> None:
    op.create_table(
        "database_epoch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_epoch")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "xid", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False
        ),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("entity_id", sa.Text(), nullable=True),
        sa.Column("snapshot", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_events_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_user_id"), "events", ["user_id"], unique=False)
    op.create_index("ix_events_xid_id", "events", ["xid", "id"], unique=False)
    run_all(LOCKS)
    op.execute("insert into database_epoch (id) values (1)")


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("database_epoch")
