"""Hashing never blocks the loop or queues without end, and costs the same for everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import argon2
import pytest
import pytest_asyncio

from auth import passwords
from auth.passwords import PasswordHasher
from db.core.errors import DomainError, ErrorCode

pytestmark = pytest.mark.usefixtures("real_hashes")


@pytest_asyncio.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


async def test_the_right_password_and_no_other(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=32768,t=2,p=1$")
    assert stored != await hasher.hash("correct horse")
    assert await hasher.verify(stored, "correct horse") == passwords.VerifyResult(ok=True)
    assert not (await hasher.verify(stored, "correct horsE")).ok
    assert not (await hasher.verify(stored, "")).ok


async def test_an_older_hash_is_upgraded_once_it_verified(hasher: PasswordHasher) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("correct horse")
    assert (await hasher.verify(old, "wrong horse")).new_hash is None
    result = await hasher.verify(old, "correct horse")
    assert result.ok
    assert result.new_hash is not None
    assert await hasher.verify(result.new_hash, "correct horse") == passwords.VerifyResult(ok=True)


@pytest.mark.parametrize("stored", ["", "plain", "$2b$12$abcdefghijklm"])
async def test_what_is_no_argon2_hash_matches_nothing(hasher: PasswordHasher, stored: str) -> None:
    assert not (await hasher.verify(stored, stored)).ok


async def test_nobody_costs_what_somebody_costs(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    verify = argon2.PasswordHasher.verify

    def watched(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        costs.append(argon2.extract_parameters(stored))
        return verify(self, stored, password)

    stored = await hasher.hash("correct horse")
    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched)
    assert not (await hasher.verify(stored, "wrong horse")).ok
    assert not (await hasher.verify(None, "wrong horse")).ok
    assert len(costs) == 2
    assert costs[0] == costs[1]


async def test_the_queue_is_bounded_and_the_loop_stays_free() -> None:
    hasher = PasswordHasher(max_concurrent=2, max_waiting=3)
    running, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1

    waiting = [asyncio.create_task(hasher._run(work)) for _ in range(20)]
    done, pending = await asyncio.wait(waiting, timeout=0.2)
    assert len(pending) == 5
    for task in done:
        error = task.exception()
        assert isinstance(error, DomainError)
        assert error.code is ErrorCode.RATE_LIMITED
    gate.set()
    await asyncio.gather(*pending)
    assert most == 2
    await asyncio.gather(*(hasher._run(lambda: None) for _ in range(5)))
    hasher.close()


async def test_callers_who_go_away_give_their_place_back() -> None:
    hasher = PasswordHasher(max_concurrent=1, max_waiting=2)
    gate = threading.Event()
    waiting = [asyncio.create_task(hasher._run(lambda: gate.wait(10))) for _ in range(3)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(DomainError):
        await asyncio.gather(*(hasher._run(lambda: None) for _ in range(3)))
    gate.set()
    await asyncio.sleep(0.05)
    await asyncio.gather(*(hasher._run(lambda: None) for _ in range(3)))
    hasher.close()
