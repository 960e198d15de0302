"""Licences without a sale, an owner or an account at Discord are in no index of those."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1360"
down_revision = "1291"
branch_labels = None
depends_on = None

_INDEXES = {
    "uq_licences_sale_id": ["sale_id"],
    "ix_licences_owner_id_created_at_id": ["owner_id", "created_at", "id"],
    "ix_licences_discord_id": ["discord_id"],
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.drop_index(name, table_name="licences")
        _create(name, columns, postgresql_where=sa.text(f"{columns[0]} is not null"))


def downgrade() -> None:
    for name, columns in reversed(_INDEXES.items()):
        op.drop_index(name, table_name="licences")
        _create(name, columns)


def _create(name: str, columns: list[str], **options: sa.TextClause) -> None:
    op.create_index(name, "licences", columns, unique=name.startswith("uq_"), **options)
