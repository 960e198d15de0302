"""Profiles, as Aura's clients sync them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import run_all

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LOCKS = (
    "alter table profiles enable row level security",
    "create policy owner_select on profiles for select to authenticated using (user_id = (select app.user_id()))",
    "create policy owner_insert on profiles for insert to authenticated with check (user_id = (select app.user_id()))",
    "create policy owner_update on profiles for update to authenticated using (user_id = (select app.user_id())) with check (user_id = (select app.user_id()))",
    "create policy owner_delete on profiles for delete to authenticated using (user_id = (select app.user_id()))",
    "create policy service_all on profiles for all to service using (true) with check (true)",
    "grant select (id, user_id, local_id, name, thumbnail, analysis, chat_history, created_at, updated_at, synced_at) on profiles to authenticated",
    "grant insert (user_id, local_id, created_at, updated_at, name, thumbnail, analysis, chat_history) on profiles to authenticated",
    "grant update (updated_at, synced_at, name, thumbnail, analysis, chat_history) on profiles to authenticated",
    "grant delete on profiles to authenticated",
    "grant select, insert, update, delete on profiles to service",
)


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid_v7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("local_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("thumbnail", sa.Text(), nullable=True),
        sa.Column("analysis", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "chat_history",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
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
        sa.Column(
            "synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_profiles_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        sa.UniqueConstraint("user_id", "local_id", name=op.f("uq_profiles_user_id_local_id")),
    )
    op.create_index(
        "ix_profiles_user_id_created_at_id",
        "profiles",
        ["user_id", "created_at", "id"],
        unique=False,
    )
    run_all(LOCKS)


def downgrade() -> None:
    op.drop_table("profiles")
