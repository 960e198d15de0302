"""Bounds that only the API kept: on the texts of movements, and on the times that clients give."""

from __future__ import annotations

from alembic import op

revision = "0370"
down_revision = "0360"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_check_constraint(
        op.f("ck_credit_transactions_texts"),
        "credit_transactions",
        "char_length(reason) <= 255 and char_length(reference_id) <= 255",
    )
    op.create_check_constraint(
        op.f("ck_profiles_times"), "profiles", "isfinite(created_at) and isfinite(updated_at)"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_profiles_times"), "profiles")
    op.drop_constraint(op.f("ck_credit_transactions_texts"), "credit_transactions")
