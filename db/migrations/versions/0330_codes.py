"""One-time codes that are mailed, and sign-ups that wait for theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0330"
down_revision = "0320"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_sign_ups",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("network_hash", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("guest_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["guest_id"],
            ["users.id"],
            name=op.f("fk_pending_sign_ups_guest_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_sign_ups")),
    )
    op.create_index(
        op.f("ix_pending_sign_ups_expires_at"), "pending_sign_ups", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_pending_sign_ups_guest_id"), "pending_sign_ups", ["guest_id"], unique=False
    )
    op.create_index(
        "uq_pending_sign_ups_email_key",
        "pending_sign_ups",
        ["email_key", "network_hash"],
        unique=True,
    )
    op.create_table(
        "one_time_codes",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("sign_up_id", sa.Uuid(), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("network_hash", sa.LargeBinary(), nullable=False),
        sa.Column("guesses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("guesses_elsewhere", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "purpose in ('CONFIRM_EMAIL', 'RESET_PASSWORD', 'SIGN_IN', 'CHANGE_EMAIL')",
            name=op.f("ck_one_time_codes_purpose"),
        ),
        sa.CheckConstraint(
            "guesses between 0 and 5 and guesses_elsewhere between 0 and guesses",
            name=op.f("ck_one_time_codes_guesses"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(user_id, sign_up_id) = 1", name=op.f("ck_one_time_codes_of_one")
        ),
        sa.ForeignKeyConstraint(
            ["sign_up_id"],
            ["pending_sign_ups.id"],
            name=op.f("fk_one_time_codes_sign_up_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_one_time_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_codes")),
    )
    op.create_index(
        "ix_one_time_codes_email_key", "one_time_codes", ["email_key", "purpose"], unique=False
    )
    op.create_index(
        op.f("ix_one_time_codes_expires_at"), "one_time_codes", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_one_time_codes_sign_up_id"), "one_time_codes", ["sign_up_id"], unique=False
    )
    op.create_index(op.f("ix_one_time_codes_user_id"), "one_time_codes", ["user_id"], unique=False)
    op.enable_row_level_security("one_time_codes")
    op.create_policy(
        "service_all", "one_time_codes", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "one_time_codes", "service")
    op.enable_row_level_security("pending_sign_ups")
    op.create_policy(
        "service_all", "pending_sign_ups", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "pending_sign_ups", "service")


def downgrade() -> None:
    op.drop_index(op.f("ix_one_time_codes_user_id"), table_name="one_time_codes")
    op.drop_index(op.f("ix_one_time_codes_sign_up_id"), table_name="one_time_codes")
    op.drop_index(op.f("ix_one_time_codes_expires_at"), table_name="one_time_codes")
    op.drop_index("ix_one_time_codes_email_key", table_name="one_time_codes")
    op.drop_table("one_time_codes")
    op.drop_index("uq_pending_sign_ups_email_key", table_name="pending_sign_ups")
    op.drop_index(op.f("ix_pending_sign_ups_guest_id"), table_name="pending_sign_ups")
    op.drop_index(op.f("ix_pending_sign_ups_expires_at"), table_name="pending_sign_ups")
    op.drop_table("pending_sign_ups")
