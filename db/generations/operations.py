"""The verbs of generations: their only writers once they are created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text

from db.actor import SERVICE
from db.errors import ErrorCode
from db.pool import Database, Transaction
from db.storage import upload_path

RESULT_CACHE_HOURS = 24

_WAITED_TOO_LONG = (
    "The generation waited too long and was given up. No credit was spent; start it again."
)

_OWNER = text("select user_id from generations where id = :id")
_LOCK_WALLET = text("select from app.lock_wallet(:user_id)")
_LOCK_GENERATION = text("""
    select g.id, g.user_id, g.status, g.tool_id, g.parameters, g.cache_key, g.upload_id,
           u.stored_content_type, g.hold_id, h.amount as hold_amount, h.status as hold_status
    from generations g
    join uploads u on u.id = g.upload_id
    left join credit_holds h on h.id = g.hold_id
    where g.id = :id
    for update of g
""")
_SET_RUNNING = text("update generations set status = 'RUNNING', started_at = now() where id = :id")
_CAPTURE = text("select app.capture_hold(:hold_id, :amount)")
_RELEASE = text("select app.release_hold(:hold_id)")
_SET_SUCCEEDED = text("""
    update generations
    set status = 'SUCCEEDED', result = :result, result_path = :result_path,
        result_content_type = :result_content_type, made_offline = :made_offline,
        credits_charged = :credits_charged, finished_at = now()
    where id = :id
""")
_SET_FAILED = text("""
    update generations
    set status = 'FAILED', error_code = :code, error_message = :message, finished_at = now()
    where id = :id
""")
_CACHE_RESULT = text("""
    insert into result_cache as c
        (cache_key, user_id, result, result_path, result_content_type, made_offline, expires_at)
    values (:cache_key, :user_id, :result, :result_path, :result_content_type, :made_offline,
            now() + make_interval(hours => :hours))
    on conflict (cache_key) do update
    set result = excluded.result, result_path = excluded.result_path,
        result_content_type = excluded.result_content_type, made_offline = excluded.made_offline,
        created_at = excluded.created_at, expires_at = excluded.expires_at
""")
_NOTIFY = text("""
    insert into notifications (user_id, type, title_key, message_key, data)
    values (:user_id, 'GENERAL', :title_key, :message_key, :data)
""")
_RESULT_PATH = text("select result_path from generations where id = :id")
_OVERDUE = text("""
    select g.id from credit_holds h
    join generations g on g.hold_id = h.id
    where h.status = 'OPEN' and h.expires_at <= now() and g.status in ('QUEUED', 'RUNNING')
    order by h.expires_at limit :at_most
""")


@dataclass(frozen=True, slots=True)
class RunnableGeneration:
    """What a worker needs to run a generation."""

    id: UUID
    user_id: UUID
    tool_id: str
    parameters: dict[str, Any]
    cache_key: str
    upload_path: str
    upload_content_type: str


async def _lock(transaction: Transaction, generation_id: UUID) -> asyncpg.Record | None:
    """The generation, locked, or None when there is none.

    The wallet is always locked first and the generation second, here as in `create_generation`:
    the ledger's verbs lock the wallet themselves, so locking the generation before calling them
    would let two transactions wait for each other.
    """
    user_id = await transaction.fetch_value(_OWNER, id=generation_id)
    if user_id is None:
        return None
    await transaction.execute(_LOCK_WALLET, user_id=user_id)
    return await transaction.fetch_one(_LOCK_GENERATION, id=generation_id)


async def start_generation(
    transaction: Transaction, generation_id: UUID
) -> RunnableGeneration | None:
    """The generation to run, now RUNNING; None when there is nothing left to do.

    One that is RUNNING already was left behind by a worker that died, and is run again.
    """
    row = await _lock(transaction, generation_id)
    if row is None or row["status"] not in {"QUEUED", "RUNNING"}:
        return None
    if row["hold_status"] not in {None, "OPEN"}:
        await _record_failure(transaction, row, ErrorCode.PROVIDER_FAILED, _WAITED_TOO_LONG)
        return None
    if row["status"] == "QUEUED":
        await transaction.execute(_SET_RUNNING, id=generation_id)
    return RunnableGeneration(
        id=generation_id,
        user_id=row["user_id"],
        tool_id=row["tool_id"],
        parameters=row["parameters"],
        cache_key=row["cache_key"],
        upload_path=upload_path(row["user_id"], row["upload_id"]),
        upload_content_type=row["stored_content_type"],
    )


async def finish_generation(
    transaction: Transaction,
    generation_id: UUID,
    *,
    result: dict[str, Any] | None,
    result_path: str | None,
    result_content_type: str | None,
    made_offline: bool,
) -> bool:
    """Capture the hold and record the result; False when the generation had ended already."""
    row = await _lock(transaction, generation_id)
    if row is None or row["status"] != "RUNNING":
        return False
    if row["hold_status"] not in {None, "OPEN"}:
        await _record_failure(transaction, row, ErrorCode.PROVIDER_FAILED, _WAITED_TOO_LONG)
        return False
    charged = row["hold_amount"] or 0
    if row["hold_id"] is not None:
        await transaction.fetch_value(_CAPTURE, hold_id=row["hold_id"], amount=charged)
    made = {
        "result": result,
        "result_path": result_path,
        "result_content_type": result_content_type,
        "made_offline": made_offline,
    }
    await transaction.execute(_SET_SUCCEEDED, id=generation_id, credits_charged=charged, **made)
    await transaction.execute(
        _CACHE_RESULT,
        cache_key=row["cache_key"],
        user_id=row["user_id"],
        hours=RESULT_CACHE_HOURS,
        **made,
    )
    await _notify(transaction, row, "generationSucceeded")
    return True


async def fail_generation(
    transaction: Transaction, generation_id: UUID, code: ErrorCode, message: str
) -> bool:
    """Release the hold and record the failure; False when the generation had ended already.

    `message` is shown to the user.
    """
    row = await _lock(transaction, generation_id)
    if row is None or row["status"] not in {"QUEUED", "RUNNING"}:
        return False
    await _record_failure(transaction, row, code, message)
    return True


async def _record_failure(
    transaction: Transaction, row: asyncpg.Record, code: ErrorCode, message: str
) -> None:
    if row["hold_status"] == "OPEN":
        await transaction.fetch_value(_RELEASE, hold_id=row["hold_id"])
    await transaction.execute(_SET_FAILED, id=row["id"], code=code.value, message=message)
    await _notify(transaction, row, "generationFailed")


async def _notify(transaction: Transaction, row: asyncpg.Record, key: str) -> None:
    await transaction.execute(
        _NOTIFY,
        user_id=row["user_id"],
        title_key=f"notifications.{key}.title",
        message_key=f"notifications.{key}.message",
        data={"generationId": str(row["id"]), "toolId": row["tool_id"]},
    )


async def recorded_result_path(transaction: Transaction, generation_id: UUID) -> str | None:
    """Where the generation's result lies, if it has one."""
    path: str | None = await transaction.fetch_value(_RESULT_PATH, id=generation_id)
    return path


async def give_up_overdue_generations(database: Database, at_most: int) -> int:
    """Fail the unfinished generations whose hold's time is over; returns how many ended."""
    async with database.transaction(SERVICE) as transaction:
        overdue = await transaction.fetch_all(_OVERDUE, at_most=at_most)
    ended = 0
    for row in overdue:
        async with database.transaction(SERVICE) as transaction:
            ended += await fail_generation(
                transaction, row["id"], ErrorCode.PROVIDER_FAILED, _WAITED_TOO_LONG
            )
    return ended
