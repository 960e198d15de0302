"""User profiles: what users say of themselves, one each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.steps import drop_table_cascade

revision = "0910"
down_revision = "0900"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_profiles",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "synthesis", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("zodiac_sign", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column(
            "preferences",
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
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("length(location) <= 255", name=op.f("ck_user_profiles_location")),
        sa.CheckConstraint("length(zodiac_sign) <= 50", name=op.f("ck_user_profiles_zodiac_sign")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_profiles_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_profiles")),
    )
    op.enable_row_level_security("user_profiles")
    op.create_policy(
        "owner_select",
        "user_profiles",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "user_profiles", "for all to service using (true) with check (true)"
    )
    op.grant("select", "user_profiles", "service")
    op.grant(
        "select (user_id, synthesis, zodiac_sign, location, preferences, created_at, updated_at)",
        "user_profiles",
        "authenticated",
    )


def downgrade() -> None:
    drop_table_cascade("user_profiles")
