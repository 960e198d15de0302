"""Second factors; how and when the owner of a session proved who they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0240"
down_revision = "0230"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hashes", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("codes_left", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "codes_left = cardinality(code_hashes)", name=op.f("ck_recovery_codes_count_of_codes")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "second_factor_challenges",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_second_factor_challenges_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factor_challenges")),
    )
    op.create_index(
        op.f("ix_second_factor_challenges_expires_at"),
        "second_factor_challenges",
        ["expires_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_second_factor_challenges_user_id"),
        "second_factor_challenges",
        ["user_id"],
        unique=False,
    )
    op.create_table(
        "totp_factors",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_totp_factors_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_totp_factors")),
    )
    op.add_column(
        "sessions",
        sa.Column("methods", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "authenticated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.execute(
        "update sessions s set authenticated_at = s.created_at, methods = case when u.is_anonymous"
        " then '{guest}' else '{password}' end::text[] from users u where u.id = s.user_id"
    )
    op.enable_row_level_security("recovery_codes")
    op.create_policy(
        "owner_select",
        "recovery_codes",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "recovery_codes", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "recovery_codes", "service")
    op.grant("select (user_id, codes_left, created_at)", "recovery_codes", "authenticated")
    op.enable_row_level_security("second_factor_challenges")
    op.create_policy(
        "service_all",
        "second_factor_challenges",
        "for all to service using (true) with check (true)",
    )
    op.grant("select, insert, update, delete", "second_factor_challenges", "service")
    op.grant("select (methods, authenticated_at)", "sessions", "authenticated")
    op.enable_row_level_security("totp_factors")
    op.create_policy(
        "owner_select",
        "totp_factors",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "totp_factors", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "totp_factors", "service")
    op.grant("select (user_id, created_at, confirmed_at)", "totp_factors", "authenticated")


def downgrade() -> None:
    op.drop_column("sessions", "authenticated_at")
    op.drop_column("sessions", "methods")
    op.drop_table("totp_factors")
    op.drop_index(
        op.f("ix_second_factor_challenges_user_id"), table_name="second_factor_challenges"
    )
    op.drop_index(
        op.f("ix_second_factor_challenges_expires_at"), table_name="second_factor_challenges"
    )
    op.drop_table("second_factor_challenges")
    op.drop_table("recovery_codes")
