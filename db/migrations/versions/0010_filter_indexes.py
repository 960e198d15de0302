"""Indexes for the filters and orders of lists."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_generations_user_id_status", "generations", ["user_id", "status", "created_at", "id"]),
    (
        "ix_credit_transactions_user_id_type",
        "credit_transactions",
        ["user_id", "type", "created_at", "id"],
    ),
    ("ix_notifications_user_id_read", "notifications", ["user_id", "read", "created_at", "id"]),
    ("ix_profiles_user_id_updated_at_id", "profiles", ["user_id", "updated_at", "id"]),
)


def upgrade() -> None:
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _ in INDEXES:
        op.drop_index(name, table)
