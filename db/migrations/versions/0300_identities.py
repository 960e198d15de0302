"""Identities at sign-in providers; members without an e-mail address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0300"
down_revision = "0290"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_check("ck_users_email_unless_anonymous", "users")
    op.create_table(
        "oauth_states",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("redirect_to", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_oauth_states")),
    )
    op.create_index(
        op.f("ix_oauth_states_expires_at"), "oauth_states", ["expires_at"], unique=False
    )
    op.create_table(
        "sign_in_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_sign_in_codes")),
    )
    op.create_index(
        op.f("ix_sign_in_codes_expires_at"), "sign_in_codes", ["expires_at"], unique=False
    )
    op.create_table(
        "used_id_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_used_id_tokens")),
    )
    op.create_index(
        op.f("ix_used_id_tokens_expires_at"), "used_id_tokens", ["expires_at"], unique=False
    )
    op.create_table(
        "user_identities",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column(
            "is_email_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(subject) between 1 and 255", name=op.f("ck_user_identities_subject")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_identities_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_identities")),
    )
    op.create_index(
        "ix_user_identities_user_id_created_at_id",
        "user_identities",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_user_identities_provider_subject",
        "user_identities",
        ["provider", "subject"],
        unique=True,
    )
    op.enable_row_level_security("oauth_states")
    op.create_policy(
        "service_all", "oauth_states", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "oauth_states", "service")
    op.enable_row_level_security("sign_in_codes")
    op.create_policy(
        "service_all", "sign_in_codes", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "sign_in_codes", "service")
    op.enable_row_level_security("used_id_tokens")
    op.create_policy(
        "service_all", "used_id_tokens", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "used_id_tokens", "service")
    op.enable_row_level_security("user_identities")
    op.create_policy(
        "owner_select",
        "user_identities",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "user_identities", "for all to service using (true) with check (true)"
    )
    op.grant("select, insert, update, delete", "user_identities", "service")
    op.grant(
        "select (id, user_id, provider, subject, email, is_email_verified, name, created_at, last_used_at)",
        "user_identities",
        "authenticated",
    )


def downgrade() -> None:
    op.drop_index("uq_user_identities_provider_subject", table_name="user_identities")
    op.drop_index("ix_user_identities_user_id_created_at_id", table_name="user_identities")
    op.drop_table("user_identities")
    op.drop_index(op.f("ix_used_id_tokens_expires_at"), table_name="used_id_tokens")
    op.drop_table("used_id_tokens")
    op.drop_index(op.f("ix_sign_in_codes_expires_at"), table_name="sign_in_codes")
    op.drop_table("sign_in_codes")
    op.drop_index(op.f("ix_oauth_states_expires_at"), table_name="oauth_states")
    op.drop_table("oauth_states")
    # Whoever came by a provider without a verified address has no way in any more, as a guest has none.
    op.execute("update users set is_anonymous = true where email is null")
    op.add_check(
        "ck_users_email_unless_anonymous", "users", "((is_anonymous OR (email IS NOT NULL)))"
    )
