"""What lost against another transaction is tried again, a few times, and then given up."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.core.retries import ATTEMPTS, retried

from ..conftest import MakeUser

LOCK = text("select from app.lock_wallet(:user_id)")


async def test_two_that_deadlock_both_get_done(database: Database, make_user: MakeUser) -> None:
    one, other = await make_user(credits=1), await make_user(credits=1)
    both_hold_one, attempts = asyncio.Barrier(2), 0

    async def lock(first: Actor, second: Actor) -> None:
        tries = 0

        async def attempt() -> None:
            nonlocal attempts, tries
            attempts, tries = attempts + 1, tries + 1
            async with database.transaction(SERVICE) as transaction:
                await transaction.execute(LOCK, user_id=first.user_id)
                if tries == 1:
                    await both_hold_one.wait()
                await transaction.execute(LOCK, user_id=second.user_id)

        await retried(attempt)

    await asyncio.gather(lock(one, other), lock(other, one))
    assert attempts == 3


@pytest.mark.parametrize("error", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError])
async def test_trying_has_an_end(error: type[Exception]) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(error):
        await retried(attempt)
    assert attempts == ATTEMPTS


async def test_another_fault_is_not_tried_again() -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise asyncpg.UniqueViolationError

    with pytest.raises(asyncpg.UniqueViolationError):
        await retried(attempt)
    assert attempts == 1
