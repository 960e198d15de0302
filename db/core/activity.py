"""What waits for workers; how generations, e-mails, pushes and webhooks have ended of late."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from db.core.pool import Transaction

_JOBS = text("""
    select entrypoint,
        count(*) filter (where status = 'queued' and execute_after <= now()) as waiting,
        count(*) filter (where status = 'queued' and execute_after > now()) as deferred,
        count(*) filter (where status = 'picked') as running
    from queue.pgqueuer group by entrypoint order by entrypoint
""")
_OLDEST = text("""
    select coalesce(max(extract(epoch from now() - execute_after)), 0)::float8
    from queue.pgqueuer where status = 'queued' and execute_after <= now()
""")
_DEAD = text("select count(*) from dead_jobs where retried_at is null")
_ATTEMPTS = text("""
    select provider, outcome, count(*) as attempts from ai_generation_logs
    where created_at > now() - interval '1 hour' group by provider, outcome order by 1, 2
""")
_EMAILS = text("""
    select status, count(*) as emails from emails
    where created_at > now() - interval '1 hour' group by status order by status
""")
_PUSHES = text("""
    select provider, status, count(*) as pushes from push_deliveries
    where created_at > now() - interval '1 hour' group by provider, status order by 1, 2
""")
# Those of the last hour, and what waits from before: it is neither much nor old.
_WEBHOOKS = text("""
    select provider, status, coalesce(reason, '') as reason, count(*) as webhooks from (
        select provider, status, reason from webhook_events
        where received_at > now() - interval '1 hour'
        union all
        select provider, status, reason from webhook_events
        where status in ('RECEIVED', 'PARKED') and received_at <= now() - interval '1 hour') found
    group by 1, 2, 3 order by 1, 2, 3
""")
_OLDEST_WEBHOOK = text("""
    select coalesce(max(extract(epoch from now() - received_at)), 0)::float8
    from webhook_events where status = 'RECEIVED'
""")


async def job_counts(transaction: Transaction) -> list[Any]:
    """By `entrypoint`: how many jobs are `waiting`, `deferred` until later and `running`."""
    return await transaction.fetch_all(_JOBS)


async def oldest_job_seconds(transaction: Transaction) -> float:
    """How long the job that has waited longest could have run already."""
    seconds: float = await transaction.fetch_value(_OLDEST)
    return seconds


async def dead_jobs(transaction: Transaction) -> int:
    """How many jobs were given up and wait for an admin."""
    count: int = await transaction.fetch_value(_DEAD)
    return count


async def attempts_of_the_last_hour(transaction: Transaction) -> list[Any]:
    """By `provider` and `outcome`: how many `attempts` at generations ended in the last hour."""
    return await transaction.fetch_all(_ATTEMPTS)


async def emails_of_the_last_hour(transaction: Transaction) -> list[Any]:
    """By `status`: how many `emails` of those queued in the last hour."""
    return await transaction.fetch_all(_EMAILS)


async def pushes_of_the_last_hour(transaction: Transaction) -> list[Any]:
    """By `provider` and `status`: how many `pushes` of those that began in the last hour."""
    return await transaction.fetch_all(_PUSHES)


async def webhooks_by_status(transaction: Transaction) -> list[Any]:
    """By `provider`, `status` and `reason`: `webhooks` of the last hour, and all that wait."""
    return await transaction.fetch_all(_WEBHOOKS)


async def oldest_webhook_seconds(transaction: Transaction) -> float:
    """How long the delivery that was processed by no worker yet has waited."""
    seconds: float = await transaction.fetch_value(_OLDEST_WEBHOOK)
    return seconds
