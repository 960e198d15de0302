"""Partners: requests to connect, connections with what each side shares, and blocks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import drop_table_cascade

revision = "0570"
down_revision = "0565"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partner_blocks",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("user_id <> blocked_id", name=op.f("ck_partner_blocks_blocked_id")),
        sa.ForeignKeyConstraint(
            ["blocked_id"],
            ["users.id"],
            name=op.f("fk_partner_blocks_blocked_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_partner_blocks_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner_blocks")),
        sa.UniqueConstraint(
            "user_id", "blocked_id", name=op.f("uq_partner_blocks_user_id_blocked_id")
        ),
    )
    op.create_index(
        op.f("ix_partner_blocks_blocked_id"), "partner_blocks", ["blocked_id"], unique=False
    )
    op.create_table(
        "partner_requests",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("requester_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('PENDING', 'ACCEPTED', 'DECLINED', 'CANCELLED', 'EXPIRED')",
            name=op.f("ck_partner_requests_status"),
        ),
        sa.CheckConstraint(
            "recipient_id <> requester_id", name=op.f("ck_partner_requests_recipient_id")
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["users.id"],
            name=op.f("fk_partner_requests_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["requester_id"],
            ["users.id"],
            name=op.f("fk_partner_requests_requester_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner_requests")),
    )
    op.create_index(
        "ix_partner_requests_created_at", "partner_requests", ["created_at"], unique=False
    )
    op.create_index(
        "ix_partner_requests_due",
        "partner_requests",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_index(
        "ix_partner_requests_email_key_created_at",
        "partner_requests",
        ["email_key", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_partner_requests_recipient_id",
        "partner_requests",
        ["recipient_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_partner_requests_requester_id",
        "partner_requests",
        ["requester_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_partner_requests_pending",
        "partner_requests",
        ["requester_id", "email_key"],
        unique=True,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="CONNECTED", nullable=False),
        sa.Column("sharing", sa.Text(), server_default="OVERLAPPING", nullable=False),
        sa.Column("shared", sa.Text(), server_default="OVERLAPPING", nullable=False),
        sa.Column(
            "connected_at",
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
            "shared in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name=op.f("ck_partners_shared")
        ),
        sa.CheckConstraint(
            "sharing in ('ALL', 'OVERLAPPING', 'DEMOGRAPHICS')", name=op.f("ck_partners_sharing")
        ),
        sa.CheckConstraint(
            "status in ('CONNECTED', 'DISCONNECTED')", name=op.f("ck_partners_status")
        ),
        sa.CheckConstraint("user_id <> partner_id", name=op.f("ck_partners_partner_id")),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["users.id"], name=op.f("fk_partners_partner_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_partners_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partners")),
        sa.UniqueConstraint("user_id", "partner_id", name=op.f("uq_partners_user_id_partner_id")),
    )
    op.create_index(op.f("ix_partners_partner_id"), "partners", ["partner_id"], unique=False)
    op.create_index(
        "ix_partners_user_id_last_used_at_id",
        "partners",
        ["user_id", "last_used_at", "id"],
        unique=False,
    )
    op.create_function(
        "app.rename_partner()",
        "create or replace function app.rename_partner() returns trigger\nlanguage plpgsql security definer set search_path = pg_catalog, pg_temp as $$\nbegin\n    update public.partners p set display_name = new.display_name where p.partner_id = new.id;\n    return null;\nend;\n$$",
    )
    op.enable_row_level_security("partner_blocks")
    op.create_policy(
        "service_all", "partner_blocks", "for all to service using (true) with check (true)"
    )
    op.grant("select", "partner_blocks", "service")
    op.enable_row_level_security("partner_requests")
    op.create_policy(
        "owner_select",
        "partner_requests",
        "for select to authenticated using (requester_id = (select app.user_id()) or recipient_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "partner_requests", "for all to service using (true) with check (true)"
    )
    op.grant("select, delete", "partner_requests", "service")
    op.grant(
        "select (id, requester_id, requester_name, email, recipient_id, status, created_at, expires_at, ended_at)",
        "partner_requests",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "partner_requests",
        "after insert or update",
        "for each row execute function app.record_shared_event('partner_request.changed', 'id', '{email_key}', '{}', 'user', 'requester_id', '{}', '{}', 'user', 'recipient_id', '{}', '{}')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "partner_requests",
        "after insert",
        "for each row when ((new.status = 'PENDING') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "partner_requests",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'PENDING' and (new.status in ('ACCEPTED', 'DECLINED', 'CANCELLED', 'EXPIRED'))) is not true) execute function app.refuse_transition('status')",
    )
    op.enable_row_level_security("partners")
    op.create_policy(
        "owner_select",
        "partners",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy("service_all", "partners", "for all to service using (true) with check (true)")
    op.grant("select", "partners", "service")
    op.grant(
        "select (id, user_id, partner_id, display_name, status, sharing, shared, connected_at, last_used_at)",
        "partners",
        "authenticated",
    )
    op.create_trigger(
        "record_event",
        "partners",
        "after insert or update or delete",
        "for each row execute function app.record_event('partners.changed', 'id', '{}', '{}', 'user_id')",
    )
    op.create_trigger(
        "record_membership",
        "partners",
        "after insert or delete or update of partner_id, user_id, shared, status",
        "for each row execute function app.record_membership('sharing', 'partner_id')",
    )
    op.create_trigger(
        "lifecycle_insert",
        "partners",
        "after insert",
        "for each row when ((new.status = 'CONNECTED') is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "lifecycle_update",
        "partners",
        "after update",
        "for each row when (old.status is distinct from new.status and (old.status = 'CONNECTED' and (new.status = 'DISCONNECTED') or old.status = 'DISCONNECTED' and (new.status = 'CONNECTED')) is not true) execute function app.refuse_transition('status')",
    )
    op.create_trigger(
        "rename_partner",
        "users",
        "after update",
        "for each row when (old.display_name is distinct from new.display_name) execute function app.rename_partner()",
    )


def downgrade() -> None:
    op.drop_trigger("rename_partner", "users")
    op.drop_function("app.rename_partner()")
    # Functions of the slice return its rows.
    for table in ("partners", "partner_requests", "partner_blocks"):
        drop_table_cascade(table)
