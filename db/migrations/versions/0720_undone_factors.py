"""What was added to an account to sign in with can be taken back."""

from __future__ import annotations

from alembic import op

revision = "0720"
down_revision = "0710"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_check("ck_one_time_codes_purpose", "one_time_codes")
    op.add_check(
        "ck_one_time_codes_purpose",
        "one_time_codes",
        "(purpose in ('CONFIRM_EMAIL', 'RESET_PASSWORD', 'SIGN_IN', 'CHANGE_EMAIL', 'UNDO_EMAIL_CHANGE', 'UNDO_ADDED_FACTOR'))",
    )


def downgrade() -> None:
    op.execute("delete from one_time_codes where purpose = 'UNDO_ADDED_FACTOR'")
    op.drop_check("ck_one_time_codes_purpose", "one_time_codes")
    op.add_check(
        "ck_one_time_codes_purpose",
        "one_time_codes",
        "(purpose in ('CONFIRM_EMAIL', 'RESET_PASSWORD', 'SIGN_IN', 'CHANGE_EMAIL', 'UNDO_EMAIL_CHANGE'))",
    )
