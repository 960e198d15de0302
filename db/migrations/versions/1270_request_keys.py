"""Keys of developers' requests are random: counted ones told how many everybody makes."""

from __future__ import annotations

from alembic import op

revision = "1270"
down_revision = "1260"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is there keeps its key, and is deleted after 30 days.
    op.execute("alter table api_request_logs alter column id drop identity")
    op.execute(
        "alter table api_request_logs alter column id set default"
        " (uuid_hash_extended(gen_random_uuid(), (0)::bigint) & '9223372036854775807'::bigint)"
    )


def downgrade() -> None:
    op.execute("alter table api_request_logs alter column id drop default")
    op.execute("alter table api_request_logs alter column id add generated always as identity")
    # Counted keys are far below nearly all random ones: it goes on behind those that are.
    op.execute(
        "select setval(pg_get_serial_sequence('api_request_logs', 'id'), coalesce("
        "(select max(id) from api_request_logs where id < 1099511627776), 0) + 1, false)"
    )
