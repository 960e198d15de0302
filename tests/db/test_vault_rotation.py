"""Rotation seals everything by the first key and loses nothing, whenever it is stopped."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.factors.tables import TotpFactor
from db.vault import watching
from db.vault.operations import VaultKeyMissing, check_keys, refuse_missing_keys
from db.vault.rotating import count_stale, rotate
from db.vault.sealing import Vault
from db.vault.watching import VaultKeys
from settings import Settings

from .rows import migrated_database
from .test_vault import FIRST, SECOND, sealed_before

USERS = 25
BY = "operator"


def silent(table: str, rows: int, total: int) -> None:
    """Says nothing."""


def vault_of(monkeypatch: pytest.MonkeyPatch, *written: str) -> Vault:
    """The vault of a process with these keys."""
    monkeypatch.setenv("VAULT_MASTER_KEY", ",".join(written))
    return Vault(Settings())


@pytest.fixture
async def owner_url(
    cluster: EmbeddedDatabase, database: Database, settings: Settings
) -> AsyncIterator[str]:
    """A database of its own."""
    async with migrated_database(cluster, settings, "rotated") as url:
        yield url


async def test_requirement_3_5_rotation_goes_on_where_it_was_stopped_and_loses_nothing(
    owner_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = vault_of(monkeypatch, FIRST)
    owner = await asyncpg.connect(owner_url)
    users = [uuid4() for _ in range(USERS)]
    await owner.execute(
        "insert into users (id, is_anonymous) select u, true from unnest($1::uuid[]) u", users
    )
    sealed = [
        sealed_before(FIRST, f"totp_factors.sealed_secret:{user}", f"secret of {user}")
        if n % 2
        else old.seal(TotpFactor.sealed_secret, user, f"secret of {user}")
        for n, user in enumerate(users)
    ]
    await owner.execute(
        "insert into totp_factors (user_id, sealed_secret) select * from unnest($1::uuid[], $2::bytea[])",
        users,
        sealed,
    )
    await owner.execute("insert into vault_keys (head, rounds) values ($1, 100000)", old.head.hex())
    new = vault_of(monkeypatch, SECOND, FIRST)
    assert (await count_stale(owner_url, new))["totp_factors"] == USERS

    class Stopped(Exception):
        """Somebody pressed Ctrl-C."""

    def stop(table: str, rows: int, total: int) -> None:
        if table == "totp_factors" and rows:
            raise Stopped

    with pytest.raises(Stopped):
        await rotate(owner_url, new, BY, stop, batch_rows=10)
    assert (await count_stale(owner_url, new))["totp_factors"] == USERS - 10
    assert await in_use(owner) == sorted([old.head.hex(), new.head.hex()])

    told: list[tuple[str, int, int]] = []
    done = await rotate(owner_url, new, BY, lambda *said: told.append(said), batch_rows=10)
    assert done.rows["totp_factors"] == USERS - 10
    assert ("totp_factors", USERS - 10, USERS - 10) in told
    assert (done.broken, done.retired) == ({}, 1)
    assert await in_use(owner) == [new.head.hex()]
    alone = vault_of(monkeypatch, SECOND)
    for user, value in await owner.fetch("select user_id, sealed_secret from totp_factors"):
        assert alone.open(TotpFactor.sealed_secret, user, value) == f"secret of {user}"
    detail = await owner.fetchval("select detail from audit_log where action = 'rotate_vault'")
    assert '"by": "operator"' in detail
    await owner.close()


async def test_what_no_key_opens_stays_and_retires_no_key(
    owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = vault_of(monkeypatch, FIRST)
    owner = await asyncpg.connect(owner_url)
    user: UUID = await owner.fetchval("insert into users (is_anonymous) values (true) returning id")
    broken = old.seal(TotpFactor.sealed_secret, uuid4(), "another row's")
    await owner.execute(
        "insert into totp_factors (user_id, sealed_secret) values ($1, $2)", user, broken
    )
    await owner.execute("insert into vault_keys (head, rounds) values ($1, 100000)", old.head.hex())
    new = vault_of(monkeypatch, SECOND, FIRST)
    done = await rotate(owner_url, new, BY, silent)
    assert (done.broken, done.retired) == ({"totp_factors": 1}, 0)
    assert await owner.fetchval("select sealed_secret from totp_factors") == broken
    await owner.close()


async def test_requirement_1_5_a_process_without_a_key_in_use_does_not_start(
    database: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = vault_of(monkeypatch, FIRST), vault_of(monkeypatch, SECOND, FIRST)
    try:
        await check_keys(database, old)
        await check_keys(database, new)
        with pytest.raises(VaultKeyMissing, match="lacks 1 of the keys"):
            await check_keys(database, vault_of(monkeypatch, SECOND))
        with pytest.raises(VaultKeyMissing, match="lacks 1 of the keys"):
            await refuse_missing_keys(database, vault_of(monkeypatch, SECOND))
    finally:
        # Whoever has the test's own key would refuse to look anything up.
        await owner.execute("delete from vault_keys")
    assert hashlib.sha256(old.head) != hashlib.sha256(new.head)


async def in_use(owner: asyncpg.Connection) -> list[str]:
    """The heads of the keys in use."""
    rows = await owner.fetch("select head from vault_keys where retired_at is null order by head")
    return [row["head"] for row in rows]


async def test_many_who_ask_at_once_whether_a_key_is_missing_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, answers, let_go = [100.0], [0, 1], asyncio.Event()
    # In the place of the database: -1 is a failure.

    async def read(*_: object) -> int:
        answer = answers.pop(0)
        await let_go.wait()
        if answer < 0:
            raise OSError("away")
        return answer

    monkeypatch.setattr(watching, "missing_keys", read)
    keys = VaultKeys(cast("Database", None), vault_of(monkeypatch, FIRST), lambda: now[0])
    asking = [asyncio.create_task(keys.missing()) for _ in range(20)]
    await asyncio.sleep(0)
    # Who leaves takes the read from nobody else.
    asking.pop(0).cancel()
    let_go.set()
    assert await asyncio.gather(*asking) == [0] * 19
    assert answers == [1]
    # From half a second on it is read again, and nobody waits for that before the second is over.
    now[0] += 0.4
    assert await keys.missing() == 0
    now[0] += 0.2
    let_go.clear()
    assert await keys.missing() == 0
    await asyncio.sleep(0)
    now[0] += 0.3
    assert await keys.missing() == 0
    # What was begun more than a second ago is no answer to who asks now.
    now[0] += 0.8
    answers.append(2)
    late = asyncio.create_task(keys.missing())
    await asyncio.sleep(0)
    assert not late.done()
    let_go.set()
    assert await late == 2
    # Whoever waits for a read that fails is told, and the next one reads again.
    now[0] += 2
    answers += [-1, 0]
    with pytest.raises(OSError, match="away"):
        await keys.missing()
    assert await keys.missing() == 0
