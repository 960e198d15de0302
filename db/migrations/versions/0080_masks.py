"""A generation's mask is an upload; parameters are small; uploads that wait are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all

revision = "0080"
down_revision = "0070"
branch_labels = None
depends_on = None

UPGRADE = (
    "grant select (takes_mask) on tools to anon, authenticated",
    "grant select (mask_upload_id) on generations to authenticated",
    "update tools set takes_mask = true, parameters_schema = parameters_schema #- '{properties,mask}'"
    " where parameters_schema -> 'properties' ? 'mask'",
    "update generations set parameters = parameters - 'mask' where parameters ? 'mask'",
    # Verbs whose arguments or results change; `migrate` makes them anew.
    "drop function if exists app.create_generation(text, uuid, jsonb, text)",
    "drop function if exists app.create_cached_generation(uuid, uuid, text, uuid, jsonb, text)",
    "drop function if exists app.result_cache_key(uuid, text, text, jsonb)",
    "drop function if exists app.start_generation(uuid, text, integer)",
    "drop function if exists app.usable_upload(uuid, uuid)",
    "drop function if exists app.create_upload(text, bigint, interval, interval, bigint)",
)
DOWNGRADE = (
    "drop function if exists app.create_generation(text, uuid, jsonb, text, uuid)",
    "drop function if exists app.create_cached_generation(uuid, uuid, text, uuid, uuid, jsonb, text)",
    "drop function if exists app.result_cache_key(uuid, text, text, jsonb, text)",
    "drop function if exists app.start_generation(uuid, text, integer)",
    "drop function if exists app.usable_upload(uuid, uuid, text)",
    "drop function if exists app.usable_mask(uuid, tools, uuid)",
    "drop function if exists app.create_upload(text, bigint, interval, interval, bigint, integer)",
)


def upgrade() -> None:
    op.add_column(
        "tools",
        sa.Column("takes_mask", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("generations", sa.Column("mask_upload_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_generations_mask_upload_id"), "generations", "uploads", ["mask_upload_id"], ["id"]
    )
    op.create_index(
        op.f("ix_generations_mask_upload_id"), "generations", ["mask_upload_id"], unique=False
    )
    run_all(UPGRADE)
    op.create_check_constraint(
        "parameters", "generations", "octet_length(parameters::text) <= 8192"
    )


def downgrade() -> None:
    run_all(DOWNGRADE)
    op.drop_constraint(op.f("ck_generations_parameters"), "generations")
    op.drop_column("generations", "mask_upload_id")
    op.drop_column("tools", "takes_mask")
