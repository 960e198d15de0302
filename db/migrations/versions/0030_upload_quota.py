"""Uploads: counted before they are made, marked when used, deleted by their owner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0030"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uploads", sa.Column("used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_uploads_unused",
        "uploads",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("used_at is null"),
    )
    run_all(
        (
            "update uploads u set used_at = created_at"
            " where exists (select from generations g where g.upload_id = u.id)",
            "alter table uploads drop constraint ck_uploads_status",
            "alter table uploads add constraint ck_uploads_status"
            " check (status in ('AWAITING', 'READY', 'REJECTED', 'DELETED'))",
            "drop policy owner_insert on uploads",
            "revoke insert (user_id, content_type, declared_size_bytes, expires_at)"
            " on uploads from authenticated",
            "grant select (used_at) on uploads to authenticated",
        )
    )


def downgrade() -> None:
    run_all(
        (
            "delete from uploads u where u.status = 'DELETED'"
            " and not exists (select from generations g where g.upload_id = u.id)",
            "update uploads set status = 'REJECTED', rejected_code = 'NOT_FOUND',"
            " rejected_message = 'This photo was deleted.' where status = 'DELETED'",
            "alter table uploads drop constraint ck_uploads_status",
            "alter table uploads add constraint ck_uploads_status"
            " check (status in ('AWAITING', 'READY', 'REJECTED'))",
            "create policy owner_insert on uploads for insert to authenticated"
            " with check (user_id = (select app.user_id()))",
            "grant insert (user_id, content_type, declared_size_bytes, expires_at)"
            " on uploads to authenticated",
        )
    )
    op.drop_index("ix_uploads_unused", table_name="uploads")
    op.drop_column("uploads", "used_at")
