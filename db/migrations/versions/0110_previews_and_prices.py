"""Tools say of which there are only previews, a plan may have a price on request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0110"
down_revision = "0100"
branch_labels = None
depends_on = None

FINISH = "drop function if exists app.finish_generation(uuid, integer, text, integer, jsonb, integer, jsonb, text, text, boolean"


def upgrade() -> None:
    op.add_column(
        "tools",
        sa.Column("is_preview", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.alter_column("plans", "price_cents", nullable=True, server_default=None)
    # `migrate` makes the command anew, with one argument more.
    run_all(("grant select (is_preview) on tools to anon, authenticated", f"{FINISH})"))


def downgrade() -> None:
    run_all(
        (
            f"{FINISH}, boolean)",
            "drop function if exists app.note_made_tools(text[])",
            "drop function if exists app.unknown_references(jsonb, jsonb)",
            "update plans set price_cents = 0 where price_cents is null",
        )
    )
    op.alter_column("plans", "price_cents", nullable=False, server_default=sa.text("0"))
    op.drop_column("tools", "is_preview")
