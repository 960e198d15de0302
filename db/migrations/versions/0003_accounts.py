"""Accounts: users, credentials, sessions, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table users enable row level security",
    "create policy owner_select on users for select to authenticated using (id = (select app.user_id()))",
    "create policy owner_update on users for update to authenticated using (id = (select app.user_id())) with check (id = (select app.user_id()))",
    "create policy service_all on users for all to service using (true) with check (true)",
    "grant select (id, email, is_anonymous, role, status, display_name, plan_id, created_at, updated_at) on users to authenticated",
    "grant update (display_name, updated_at) on users to authenticated",
    "grant select, insert, update, delete on users to service",
    "alter table sign_up_terms enable row level security",
    "create policy service_all on sign_up_terms for all to service using (true) with check (true)",
    "grant select, insert, update, delete on sign_up_terms to service",
    "alter table credentials enable row level security",
    "create policy service_all on credentials for all to service using (true) with check (true)",
    "grant select, insert, update, delete on credentials to service",
    "alter table sessions enable row level security",
    "create policy owner_select on sessions for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on sessions for all to service using (true) with check (true)",
    "grant select (id, user_id, created_at, last_used_at, expires_at, revoked_at, revoked_reason, user_agent) on sessions to authenticated",
    "grant select, insert, update, delete on sessions to service",
    "alter table audit_log enable row level security",
    "create policy service_all on audit_log for all to service using (true) with check (true)",
    "grant select, insert on audit_log to service",
    "alter table refresh_tokens enable row level security",
    "create policy service_all on refresh_tokens for all to service using (true) with check (true)",
    "grant select, insert, update, delete on refresh_tokens to service",
)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("is_anonymous", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role in ('user', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("status in ('active', 'locked')", name=op.f("ck_users_status")),
        sa.CheckConstraint(
            "is_anonymous or email is not null", name=op.f("ck_users_email_unless_anonymous")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_users_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index(op.f("ix_users_plan_id"), "users", ["plan_id"], unique=False)
    op.create_index(
        "uq_users_lower_email", "users", [sa.literal_column("lower(email)")], unique=True
    )
    op.create_table(
        "sign_up_terms",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bonus_credits", sa.Integer(), nullable=False),
        sa.Column("anonymous_bonus_credits", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "bonus_credits >= 0 and anonymous_bonus_credits >= 0",
            name=op.f("ck_sign_up_terms_bonus"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_sign_up_terms_single_row")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_sign_up_terms_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_up_terms")),
    )
    op.create_index(op.f("ix_sign_up_terms_plan_id"), "sign_up_terms", ["plan_id"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_credentials_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_credentials")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
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
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_revoked_at"), "sessions", ["revoked_at"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_audit_log_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_user_id"), "audit_log", ["user_id"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_by", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name=op.f("fk_refresh_tokens_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(
        op.f("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"], unique=False
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    op.drop_table("audit_log")
    op.drop_table("sessions")
    op.drop_table("credentials")
    op.drop_table("sign_up_terms")
    op.drop_table("users")
