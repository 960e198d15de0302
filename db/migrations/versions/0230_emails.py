"""E-mails that are to be sent, and how their sending ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0230"
down_revision = "0220"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "emails",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("recipient !~ '[[:cntrl:]]'", name=op.f("ck_emails_recipient")),
        sa.CheckConstraint(
            "(ended_at is null) = (status in ('QUEUED', 'SENDING'))"
            " and (ended_at is null) = (recipient is not null)",
            name=op.f("ck_emails_ended_at"),
        ),
        sa.CheckConstraint(
            "ended_at is null or parameters = '{}'", name=op.f("ck_emails_parameters")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'SENDING', 'SENT', 'FAILED', 'UNCERTAIN')",
            name=op.f("ck_emails_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_emails_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
    )
    op.create_index("ix_emails_created_at", "emails", ["created_at"], unique=False)
    op.create_index(op.f("ix_emails_user_id"), "emails", ["user_id"], unique=False)
    op.enable_row_level_security("emails")
    op.create_policy("service_all", "emails", "for all to service using (true) with check (true)")
    op.grant("select, delete", "emails", "service")
    op.create_trigger(
        "lifecycle_insert",
        "emails",
        "after insert",
        "for each row when ((new.status = 'QUEUED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "emails",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'QUEUED' and (new.status in ('SENDING', 'FAILED')) or old.status = 'SENDING' and (new.status in ('SENT', 'FAILED', 'UNCERTAIN', 'QUEUED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_attempts",
        "emails",
        "after update",
        "for each row when ((new.attempts >= old.attempts) is not true) execute function app.refuse_transition('attempts')",
    )


def downgrade() -> None:
    op.drop_table("emails")
