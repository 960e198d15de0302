"""Referrals: a code for each user, who came by it, and what both get."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0890"
down_revision = "0800"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "referral_code",
            sa.Text(),
            server_default=sa.text(
                "upper(substr(replace((gen_random_uuid())::text, '-'::text, ''::text), 1, 12))"
            ),
            nullable=False,
        ),
    )
    op.create_index("uq_users_referral_code", "users", ["referral_code"], unique=True)
    op.grant("select (referral_code)", "users", "authenticated")
    _create_referrals()
    _create_beside()
    _protect()


def _create_referrals() -> None:
    op.create_table(
        "referrals",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("referrer_id", sa.Uuid(), nullable=False),
        sa.Column("referee_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("is_near", sa.Boolean(), nullable=False),
        sa.Column("credits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        *(
            sa.Column(
                name,
                sa.DateTime(timezone=True),
                server_default=sa.text("now()"),
                nullable=False,
            )
            for name in ("created_at", "checked_at")
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("referrer_id <> referee_id", name=op.f("ck_referrals_two_users")),
        sa.CheckConstraint(
            "(status = 'PENDING') = (ended_at is null)", name=op.f("ck_referrals_ended_at")
        ),
        sa.CheckConstraint(
            "status in ('PENDING', 'REWARDED', 'REFUSED', 'LAPSED')",
            name=op.f("ck_referrals_status"),
        ),
        sa.ForeignKeyConstraint(
            ["referrer_id"], ["users.id"], name=op.f("fk_referrals_referrer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["referee_id"], ["users.id"], name=op.f("fk_referrals_referee_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrals")),
        sa.UniqueConstraint("referee_id", name=op.f("uq_referrals_referee_id")),
    )
    op.create_index(
        "ix_referrals_referrer_id_created_at_id",
        "referrals",
        ["referrer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_referrals_pending",
        "referrals",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )


def _create_beside() -> None:
    op.create_table(
        "referral_terms",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("referrer_credits", sa.Integer(), nullable=False),
        sa.Column("referee_credits", sa.Integer(), nullable=False),
        sa.Column("most_rewards", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_referral_terms_single_row")),
        sa.CheckConstraint("most_rewards >= 0", name=op.f("ck_referral_terms_most_rewards")),
        sa.CheckConstraint(
            "referrer_credits between 0 and 1000 and referee_credits between 0 and 1000",
            name=op.f("ck_referral_terms_credits"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referral_terms")),
    )
    op.execute("insert into referral_terms values (1, 5, 3, 50)")
    op.create_table(
        "referral_devices",
        sa.Column("device_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_referral_devices_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("device_hash", name=op.f("pk_referral_devices")),
    )
    op.create_index(
        op.f("ix_referral_devices_user_id"), "referral_devices", ["user_id"], unique=False
    )
    op.create_table(
        "referral_claims",
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("email_key", name=op.f("pk_referral_claims")),
    )
    op.create_index(
        op.f("ix_referral_claims_created_at"), "referral_claims", ["created_at"], unique=False
    )


def _protect() -> None:
    for table in ("referral_claims", "referral_devices", "referral_terms", "referrals"):
        op.enable_row_level_security(table)
        op.create_policy("service_all", table, "for all to service using (true) with check (true)")
        op.grant("select", table, "service")
    op.grant("delete", "referral_claims", "service")
    op.create_policy(
        "owner_select",
        "referrals",
        "for select to authenticated using (referee_id = (select app.user_id()) or referrer_id = (select app.user_id()) or (select app.is_admin()))",
    )
    op.grant(
        "select (id, referrer_id, referee_id, status, credits, created_at, ended_at)",
        "referrals",
        "authenticated",
    )
    op.create_trigger(
        "lifecycle_insert",
        "referrals",
        "after insert",
        "for each row when ((new.status in ('PENDING', 'REFUSED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "referrals",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('REWARDED', 'REFUSED', 'LAPSED'))) is not true) execute function app.refuse_transition('status')",
    )


def downgrade() -> None:
    drop_table_cascade("referral_claims")
    drop_table_cascade("referral_devices")
    drop_table_cascade("referral_terms")
    drop_table_cascade("referrals")
    op.drop_index("uq_users_referral_code", table_name="users")
    op.drop_column("users", "referral_code")
