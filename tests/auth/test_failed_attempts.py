"""Failures reach the audit log counted together, never one write for each, whoever fails how often."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from auth import failed_attempts
from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from db.audit.actions import AuditAction
from db.core.errors import ErrorCode
from db.core.origin import asked_from
from db.core.pool import Database

from ..conftest import MakeUser
from .services import PASSWORD, AuthServices, an_email, refused

FAILED = AuditAction.SIGN_IN_FAILED
LINES = """select times, network from audit_log
    where user_id = $1 and action = 'sign_in_failed' order by id"""


@dataclass
class Asker:
    """Somebody at an address."""

    address: str
    user_agent: str | None = "curl"


class Clock:
    """A clock that tests can turn."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(database: Database, clock: Clock) -> FailedAttempts:
    return FailedAttempts(database, clock)


async def lines(owner: asyncpg.Connection, user_id: UUID | None) -> list[tuple[int, str | None]]:
    return [(row["times"], row["network"]) for row in await owner.fetch(LINES, user_id)]


async def test_a_first_failure_is_written_and_what_follows_once_a_minute(
    failures: FailedAttempts, clock: Clock, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(credits=0)
    asked_from(Asker("203.0.113.9"))
    failures.note(user.user_id, FAILED)
    await failures.write()
    assert await lines(owner, user.user_id) == [(1, "203.0.113.0/24")]
    for second in range(59):
        clock.now = second
        for _ in range(10):
            failures.note(user.user_id, FAILED)
        await failures.write()
    assert await lines(owner, user.user_id) == [(1, "203.0.113.0/24")]
    clock.now = 61
    await failures.write()
    assert await lines(owner, user.user_id) == [(1, "203.0.113.0/24"), (590, "203.0.113.0/24")]
    for clock.now in (122, 183):
        await failures.write()
    assert len(await lines(owner, user.user_id)) == 2
    assert not failures._counts
    assert not failures._networks


async def test_an_account_has_a_few_lines_however_many_networks_guess(
    failures: FailedAttempts, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(credits=0)
    for number in range(100):
        asked_from(Asker(f"198.51.{number}.1"))
        failures.note(user.user_id, FAILED)
    await failures.write()
    found = await lines(owner, user.user_id)
    assert found == [*((1, f"198.51.{number}.0/24") for number in range(4)), (96, None)]
    assert len(failures._counts) == 5
    await failures.stop()


async def test_memory_is_bounded(failures: FailedAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_attempts, "MOST_COUNTS", 3)
    for _ in range(5):
        failures.note(uuid4(), FAILED)
    assert len(failures._counts) == 3
    assert failures.dropped == 2
    await failures.stop()


async def test_what_could_not_be_written_is_kept_and_an_account_that_is_gone_left_out(
    failures: FailedAttempts,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, gone = await make_user(credits=0), await make_user(credits=0)
    asked_from(Asker("203.0.113.9"))
    for one in (user, gone):
        failures.note(one.user_id, FAILED)
    await owner.execute("delete from users where id = $1", gone.user_id)
    with monkeypatch.context() as patched:
        patched.setattr(failed_attempts, "SERVICE", None)
        with pytest.raises(AttributeError):
            await failures.write()
    failures.note(user.user_id, FAILED)
    await failures.write()
    assert await lines(owner, user.user_id) == [(2, "203.0.113.0/24")]
    assert await lines(owner, gone.user_id) == []
    await failures.stop()


async def test_known_and_unknown_addresses_run_the_same_statements(
    services: AuthServices, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    await services.failures.stop()
    ran: list[str] = []
    fetch_one = services.database.transaction

    def watched(actor: object) -> object:
        ran.append("transaction")
        return fetch_one(actor)  # type: ignore[arg-type]

    monkeypatch.setattr(services.database, "transaction", watched)
    counted = []
    for asked in (email, an_email()):
        ran.clear()
        asked_from(Asker("203.0.113.9"))
        assert await refused(services.accounts.sign_in(asked, "a wrong one")) is not None
        counted.append(list(ran))
    assert counted[0] == counted[1] == ["transaction"]
    monkeypatch.undo()
    await services.failures.stop()
    assert await lines(owner, ana.user_id) == [(1, "203.0.113.0/24")]
    of_nobody = "select count(*) from audit_log where user_id is null and action = 'sign_in_failed'"
    assert await owner.fetchval(of_nobody) >= 1


async def test_the_right_password_of_a_locked_account_is_noted_as_refused(
    services: AuthServices, owner: asyncpg.Connection
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    await owner.execute("update users set status = 'locked' where id = $1", ana.user_id)
    await refused(services.accounts.sign_in(email, PASSWORD))
    await services.failures.stop()
    assert await services.audit(ana.user_id) == ["sign_up", "sign_in_refused"]


async def test_what_a_limit_refused_is_a_line_however_many_came(
    services: AuthServices, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_attempts, "WRITE_AFTER_SECONDS", 3600.0)
    monkeypatch.setattr(services.accounts, "_attempts", Attempts(1, lambda: 0.0))
    asked_from(Asker("192.0.2.77"))
    noted = """select subject, times, user_id from audit_log
        where action = 'rate_limited' and network = '192.0.2.0/24' order by id"""

    async def limited(times: int) -> None:
        for _ in range(times):
            attempt = services.accounts.sign_in(an_email(), PASSWORD, network="192.0.2.77")
            assert await refused(attempt) is ErrorCode.RATE_LIMITED

    await refused(services.accounts.sign_in(an_email(), PASSWORD, network="192.0.2.77"))
    await limited(12)
    await services.failures.write()
    await limited(8)
    await services.failures.write()
    assert [tuple(row) for row in await owner.fetch(noted)] == [("password", 12, None)]
    await services.failures.stop()
    assert [row["times"] for row in await owner.fetch(noted)] == [12, 8]
