"""The terms of signing up say which seed they are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1213"
down_revision = "1212"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sign_up_terms", sa.Column("seed", sa.Text()))


def downgrade() -> None:
    op.drop_column("sign_up_terms", "seed")
