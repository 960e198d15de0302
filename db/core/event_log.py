"""How large the log of events has become."""

from __future__ import annotations

from sqlalchemy import text

from db.core.pool import Transaction

_SIZE = text("""
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint as size_bytes,
       count(*) filter (where c.relname ~ '^on_') as days,
       coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as rows
from pg_class c where c.relnamespace = 'event_days'::regnamespace and c.relkind = 'r'
""")


async def event_log_size(transaction: Transaction) -> dict[str, int]:
    """`size_bytes` with its indexes, `days` with a partition, and `rows` as Postgres estimates."""
    row = await transaction.fetch_one(_SIZE)
    assert row is not None, "it is one row of sums"
    return dict(row)
