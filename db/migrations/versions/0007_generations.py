"""Generations: uploads, runs of tools, cached results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade, run_all

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table uploads enable row level security",
    "create policy owner_select on uploads for select to authenticated using (user_id = (select app.user_id()))",
    "create policy owner_insert on uploads for insert to authenticated with check (user_id = (select app.user_id()))",
    "create policy service_all on uploads for all to service using (true) with check (true)",
    "grant select (id, user_id, status, content_type, declared_size_bytes, path, stored_content_type, original_sha256, width_pixels, height_pixels, size_bytes, rejected_code, rejected_message, expires_at, created_at, received_at) on uploads to authenticated",
    "grant insert (user_id, content_type, declared_size_bytes, expires_at) on uploads to authenticated",
    "grant select, insert, update, delete on uploads to service",
    "alter table result_cache enable row level security",
    "create policy service_all on result_cache for all to service using (true) with check (true)",
    "grant select, insert, update, delete on result_cache to service",
    "alter table generations enable row level security",
    "create policy owner_select on generations for select to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on generations for all to service using (true) with check (true)",
    "grant select (id, user_id, tool_id, upload_id, status, parameters, result, result_path, result_content_type, error_code, error_message, credits_charged, from_cache, made_offline, hold_id, created_at, started_at, finished_at) on generations to authenticated",
    "grant select, update on generations to service",
    "create trigger record_event after insert or update on generations for each row execute function app.record_event('generation.updated', 'id', 'cache_key')",
)


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="AWAITING", nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("declared_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("stored_content_type", sa.Text(), nullable=True),
        sa.Column("original_sha256", sa.Text(), nullable=True),
        sa.Column("width_pixels", sa.Integer(), nullable=True),
        sa.Column("height_pixels", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("rejected_code", sa.Text(), nullable=True),
        sa.Column("rejected_message", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status <> 'READY' or (original_sha256 is not null and stored_content_type is not null and width_pixels > 0 and height_pixels > 0 and size_bytes > 0)",
            name=op.f("ck_uploads_ready"),
        ),
        sa.CheckConstraint(
            "status <> 'REJECTED' or rejected_code is not null", name=op.f("ck_uploads_rejected")
        ),
        sa.CheckConstraint(
            "status in ('AWAITING', 'READY', 'REJECTED')", name=op.f("ck_uploads_status")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_uploads_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_user_id"), "uploads", ["user_id"], unique=False)
    op.create_table(
        "result_cache",
        sa.Column("cache_key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("result_path", sa.Text(), nullable=True),
        sa.Column("result_content_type", sa.Text(), nullable=True),
        sa.Column("made_offline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_result_cache_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cache_key", name=op.f("pk_result_cache")),
    )
    op.create_index(
        op.f("ix_result_cache_expires_at"), "result_cache", ["expires_at"], unique=False
    )
    op.create_index(op.f("ix_result_cache_user_id"), "result_cache", ["user_id"], unique=False)
    op.create_table(
        "generations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tool_id", sa.Text(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("cache_key", sa.Text(), nullable=False),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("result_path", sa.Text(), nullable=True),
        sa.Column("result_content_type", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("credits_charged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("from_cache", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("made_offline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'FAILED') = (error_code is not null)", name=op.f("ck_generations_error")
        ),
        sa.CheckConstraint(
            "status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_generations_status"),
        ),
        sa.CheckConstraint("credits_charged >= 0", name=op.f("ck_generations_credits_charged")),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["credit_holds.id"], name=op.f("fk_generations_hold_id")
        ),
        sa.ForeignKeyConstraint(["tool_id"], ["tools.id"], name=op.f("fk_generations_tool_id")),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_generations_upload_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_generations_user_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
    )
    op.create_index(op.f("ix_generations_hold_id"), "generations", ["hold_id"], unique=False)
    op.create_index(op.f("ix_generations_tool_id"), "generations", ["tool_id"], unique=False)
    op.create_index(op.f("ix_generations_upload_id"), "generations", ["upload_id"], unique=False)
    op.create_index(
        "ix_generations_user_id_created_at_id",
        "generations",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    run_all(LOCKS)


def downgrade() -> None:
    drop_table_cascade("generations")
    op.drop_table("result_cache")
    drop_table_cascade("uploads")
