"""Users brought from another service, and an index that finds the bcrypt hashes among passwords."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0310"
down_revision = "0300"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imported_users",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_imported_users_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_imported_users")),
    )
    op.create_index(
        "ix_credentials_imported_cost",
        "credentials",
        [sa.literal_column("substr(password_hash, 5, 2)")],
        unique=False,
        postgresql_where=sa.text("password_hash like '$2%'"),
    )
    op.enable_row_level_security("imported_users")
    op.create_policy(
        "owner_select",
        "imported_users",
        "for select to authenticated using (user_id = (select app.user_id()))",
    )
    op.create_policy(
        "service_all", "imported_users", "for all to service using (true) with check (true)"
    )
    op.grant("select", "imported_users", "service")
    op.grant("select (user_id, source, imported_at, metadata)", "imported_users", "authenticated")


def downgrade() -> None:
    op.drop_index("ix_credentials_imported_cost", table_name="credentials")
    op.drop_table("imported_users")
