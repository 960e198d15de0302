"""Imported bcrypt hashes are verified as their makers meant them, replaced, and tell nothing by time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import argon2
import asyncpg
import bcrypt
import pytest
import pytest_asyncio

from auth.passwords import PasswordHasher
from db.imports.rules import HIGHEST_COST, cost_of

from .services import PASSWORD, AuthServices, an_email, refused

LONG = "ä" * 40  # 80 bytes


def bcrypt_hash(password: str, cost: int = 4, prefix: str = "$2b") -> str:
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()
    return prefix + made[3:]


@pytest_asyncio.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was hashed: 1 for each argon2, and the steps of each bcrypt."""
    done: list[int] = []
    verify, check = argon2.PasswordHasher.verify, bcrypt.checkpw

    def watched_verify(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        done.append(1)
        return verify(self, stored, password)

    def watched_check(password: bytes, stored: bytes) -> bool:
        done.append(2 ** int(stored[4:6]))
        return check(password, stored)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched_verify)
    monkeypatch.setattr(bcrypt, "checkpw", watched_check)
    return done


@pytest.mark.parametrize("prefix", ["$2a", "$2b", "$2y"])
async def test_each_kind_is_verified_and_replaced(hasher: PasswordHasher, prefix: str) -> None:
    stored = bcrypt_hash("correct horse", prefix=prefix)
    assert not (await hasher.verify(stored, "wrong horse")).ok
    result = await hasher.verify(stored, "correct horse")
    assert result.ok
    assert (result.new_hash or "").startswith("$argon2id$")


async def test_what_bcrypt_never_read_is_not_compared(hasher: PasswordHasher) -> None:
    stored = bcrypt_hash(LONG)
    assert (await hasher.verify(stored, LONG)).ok
    assert (await hasher.verify(stored, LONG[:36] + "different")).ok
    assert not (await hasher.verify(stored, LONG[:35])).ok


@pytest.mark.parametrize(
    "stored",
    [
        bcrypt_hash("correct horse").replace("$04$", f"${HIGHEST_COST + 1}$"),
        bcrypt_hash("correct horse").replace("$04$", "$31$"),
        bcrypt_hash("correct horse").replace("$04$", "$03$"),
        bcrypt_hash("correct horse", prefix="$2x"),
        bcrypt_hash("correct horse") + "a",
        bcrypt_hash("correct horse")[:-1] + "\0",
    ],
    ids=["above the bound", "highest", "lowest", "another kind", "longer", "NUL"],
)
async def test_no_hash_keeps_a_thread_busy_or_passes_for_another(
    hasher: PasswordHasher, work: list[int], stored: str
) -> None:
    assert cost_of(stored) is None
    assert not (await hasher.verify(stored, "correct horse")).ok
    assert work == [1]


async def test_everybody_does_the_same_work_while_there_are_imported_hashes(
    hasher: PasswordHasher, work: list[int]
) -> None:
    own = await hasher.hash("correct horse")
    kinds = [None, own, bcrypt_hash("a", 4), bcrypt_hash("a", 6), bcrypt_hash("a", 8)]
    hasher.imported_cost = 8
    done = []
    for stored in kinds:
        work.clear()
        assert not (await hasher.verify(stored, "wrong horse")).ok
        done.append([*sorted(work)[0:1], sum(sorted(work)[1:])])
    assert done == [[1, 2**8]] * len(kinds)
    hasher.imported_cost = None
    work.clear()
    assert (await hasher.verify(own, "correct horse")).ok
    assert work == [1]


async def test_requirement_4_4_a_sign_in_replaces_the_hash_and_then_nobody_pays_for_it(
    services: AuthServices, owner: asyncpg.Connection, work: list[Any]
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    await owner.execute(
        "update credentials set password_hash = $2 where user_id = $1",
        ana.user_id,
        bcrypt_hash(PASSWORD, 5, "$2y"),
    )
    for asked in (email, an_email()):
        work.clear()
        await refused(services.accounts.sign_in(asked, "a wrong one"))
        assert sorted(work) == [1, 2**5]
    assert await services.accounts.sign_in(email, PASSWORD)
    stored = "select password_hash from credentials where user_id = $1"
    assert (await owner.fetchval(stored, ana.user_id)).startswith("$argon2id$")
    work.clear()
    await refused(services.accounts.sign_in(an_email(), "a wrong one"))
    assert work == [1]
