"""The life of a generation: its turn, its attempts, the one it follows, and lawful changes only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.migrations.steps import run_all, run_script

revision = "0040"
down_revision = "0030"
branch_labels = None
depends_on = None

UNFINISHED = "status in ('QUEUED', 'RUNNING')"
WATCHED = "create trigger record_event after insert or update on generations for each row execute function app.record_event"
UPGRADE = (
    # Every unfinished generation has its job already; of identical ones, the first keeps its key.
    f"update generations set enqueued_at = created_at where {UNFINISHED}",
    "update generations set attempts = 1 where status = 'RUNNING'",
    f"update generations g set cache_key = cache_key || ':' || id where {UNFINISHED} and exists (select from generations e where e.cache_key = g.cache_key and e.{UNFINISHED} and e.id < g.id)",
    "drop trigger record_event on generations",
    f"{WATCHED}('generation.updated', 'id', 'cache_key', 'attempts', 'enqueued_at', 'follows_id')",
    "revoke update on generations from service",
)
DOWNGRADE = (
    "drop trigger check_change on generations",
    "drop trigger record_event on generations",
    f"{WATCHED}('generation.updated', 'id', 'cache_key')",
    "grant update on generations to service",
)


def upgrade() -> None:
    op.add_column(
        "generations",
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "generations", sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("generations", sa.Column("follows_id", sa.Uuid(), nullable=True))
    op.create_check_constraint("attempts", "generations", "attempts >= 0")
    op.create_foreign_key(
        op.f("fk_generations_follows_id"), "generations", "generations", ["follows_id"], ["id"]
    )
    op.create_index(op.f("ix_generations_follows_id"), "generations", ["follows_id"], unique=False)
    run_all(UPGRADE)
    op.create_index(
        "ix_generations_unfinished",
        "generations",
        ["user_id", "created_at", "id"],
        postgresql_where=sa.text(UNFINISHED),
    )
    op.create_index(
        "uq_generations_cache_key_in_flight",
        "generations",
        ["cache_key"],
        unique=True,
        postgresql_where=sa.text(f"{UNFINISHED} and follows_id is null"),
    )
    run_script("0040_life_cycle.sql")
    op.execute(
        "create trigger check_change before update on generations "
        "for each row execute function app.check_generation_change()"
    )


def downgrade() -> None:
    run_all(DOWNGRADE)
    op.drop_index("uq_generations_cache_key_in_flight", "generations")
    op.drop_index("ix_generations_unfinished", "generations")
    for column in ("follows_id", "enqueued_at", "attempts"):
        op.drop_column("generations", column)
