"""Indexes of licences hold those alone that have what the index finds them by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1212"
down_revision = "1211"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_licences_product_id_created_at_id": ["product_id", "created_at", "id"],
    "ix_licences_developer_product_id_created_at_id": ["developer_product_id", "created_at", "id"],
    "ix_licences_roblox_id": ["roblox_id"],
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.drop_index(name, table_name="licences")
        is_set = sa.text(f"{columns[0]} is not null")
        op.create_index(name, "licences", columns, postgresql_where=is_set)


def downgrade() -> None:
    for name, columns in reversed(_INDEXES.items()):
        op.drop_index(name, table_name="licences")
        op.create_index(name, "licences", columns)
