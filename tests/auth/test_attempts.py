"""Whoever floods loses its own turns: others sign in, and no account is closed to its owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import chain, repeat

import argon2
import pytest
import pytest_asyncio

from auth import attempts as module
from auth.attempts import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_NETWORK, Attempts
from auth.networks import RateLimit
from auth.passwords import PasswordHasher
from db.core.errors import DomainError, ErrorCode, RateLimited
from db.core.fair_queue import Asker, FairQueue
from tests.auth.services import PASSWORD, AuthServices, an_email, refused

ATTACKER = "203.0.113.66"
OWNER = "198.51.100.7"
FAILURES = 30


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.0)


@pytest_asyncio.fixture
async def one_thread() -> AsyncIterator[PasswordHasher]:
    hasher = PasswordHasher(max_concurrent=1, max_waiting=8)
    yield hasher
    hasher.close()


@contextmanager
def held() -> Iterator[threading.Event]:
    gate = threading.Event()
    try:
        yield gate
    finally:
        gate.set()


def stopped() -> float:
    """A clock that stands, so that no rate refills while a busy machine runs a test."""
    return 1000.0


@pytest.fixture
def services(services: AuthServices, monkeypatch: pytest.MonkeyPatch) -> AuthServices:
    monkeypatch.setattr(services.accounts, "_attempts", Attempts(FAILURES, stopped))
    return services


async def guess(attempts: Attempts, network: str, account: str) -> ErrorCode:
    """A wrong password, and what was said to it."""
    try:
        async with attempts.attempt(network, account):
            raise DomainError(ErrorCode.INVALID_CREDENTIALS, "No.")
    except DomainError as error:
        return error.code


async def succeed(attempts: Attempts, network: str, account: str) -> Asker:
    async with attempts.attempt(network, account) as asker:
        return asker


def test_networks_take_turns_and_within_one_its_accounts() -> None:
    queue = FairQueue[str]()
    for network, account, name in (
        ("a", "x", "ax1"),
        ("a", "x", "ax2"),
        ("a", "x", "ax3"),
        ("a", "y", "ay1"),
        ("b", "x", "bx1"),
        ("b", "x", "bx2"),
        ("c", "z", "cz1"),
    ):
        queue.put(Asker(network, account), name)
    taken = [queue.take() for _ in range(len(queue))]
    assert taken == ["ax1", "bx1", "cz1", "ay1", "bx2", "ax2", "ax3"]
    assert len(queue) == 0


def test_who_has_most_waiting_makes_room() -> None:
    queue = FairQueue[str]()
    for network, account, name in (
        ("a", "x", "1"),
        ("a", "x", "2"),
        ("a", "y", "3"),
        ("b", "x", "4"),
    ):
        queue.put(Asker(network, account), name)
    assert queue.drop_from_longest_line("new") == "2"
    assert queue.drop_from_longest_line("a") is None
    assert len(queue) == 3
    assert [queue.take() for _ in range(3)] == ["1", "4", "3"]


def test_a_rate_refills_evenly_and_is_forgotten_when_free() -> None:
    now = [1000.0]
    rate = RateLimit[str](3, 60, lambda: now[0])
    assert [rate.use("a") for _ in range(3)] == [0, 0, 0]
    assert rate.use("a") == pytest.approx(20)
    assert rate.use("b") == 0
    now[0] += 20
    assert rate.use("a") == 0
    assert rate.use("a") == pytest.approx(20)
    rate.give_back("a")
    assert rate.use("a") == 0
    now[0] += 120
    for key in "cde":
        rate.use(key)
    assert len(rate) == 3


async def test_attempts_at_once_are_shares_of_a_network_and_of_an_account_in_it() -> None:
    attempts = Attempts(1000)
    async with under_way(attempts, [(ATTACKER, "victim")] * ATTEMPTS_PER_ACCOUNT):
        assert await guess(attempts, ATTACKER, "victim") is ErrorCode.RATE_LIMITED
        assert await guess(attempts, OWNER, "victim") is ErrorCode.INVALID_CREDENTIALS
        assert await guess(attempts, ATTACKER, "another") is ErrorCode.INVALID_CREDENTIALS
    many = [(ATTACKER, f"account {number}") for number in range(ATTEMPTS_PER_NETWORK)]
    async with under_way(attempts, many):
        assert await guess(attempts, ATTACKER, "one more") is ErrorCode.RATE_LIMITED
        assert await guess(attempts, OWNER, "account 0") is ErrorCode.INVALID_CREDENTIALS
    assert await guess(attempts, ATTACKER, "victim") is ErrorCode.INVALID_CREDENTIALS
    assert attempts.refused == 2


@asynccontextmanager
async def under_way(attempts: Attempts, places: list[tuple[str, str]]) -> AsyncIterator[None]:
    """All these attempts at once."""
    async with AsyncExitStack() as stack:
        for place in places:
            await stack.enter_async_context(attempts.attempt(*place))
        yield


async def test_failures_are_counted_by_network_and_success_costs_nothing() -> None:
    attempts = Attempts(FAILURES, stopped)
    for _ in range(3 * FAILURES):
        await succeed(attempts, OWNER, "owner")
    said = [await guess(attempts, ATTACKER, f"somebody {number}") for number in range(FAILURES + 5)]
    assert said == [
        *repeat(ErrorCode.INVALID_CREDENTIALS, FAILURES),
        *repeat(ErrorCode.RATE_LIMITED, 5),
    ]
    with pytest.raises(RateLimited) as error:
        await succeed(attempts, ATTACKER, "anybody")
    assert 1 <= error.value.retry_after_seconds <= 3
    assert await guess(attempts, OWNER, "owner") is ErrorCode.INVALID_CREDENTIALS


async def test_where_an_account_was_signed_in_to_others_do_not_use_up_its_failures() -> None:
    attempts = Attempts(FAILURES, stopped)
    assert not (await succeed(attempts, ATTACKER, "neighbour")).is_known
    for number in range(FAILURES + 1):
        await guess(attempts, ATTACKER, f"somebody {number}")
    assert (await succeed(attempts, ATTACKER, "neighbour")).is_known


async def test_an_outage_is_no_guess() -> None:
    attempts = Attempts(1)
    for _ in range(5):
        with pytest.raises(DomainError):
            async with attempts.attempt(OWNER, "owner"):
                raise DomainError(ErrorCode.SERVICE_UNAVAILABLE, "Away.")
    assert (await succeed(attempts, OWNER, "owner")).network == OWNER


@pytest.mark.parametrize("networks", [1, 1000], ids=["one attacker", "a thousand attackers"])
async def test_an_honest_hash_is_among_the_next_ones(networks: int) -> None:
    hasher = PasswordHasher(max_concurrent=1)
    order: list[str] = []

    async def ask(asker: Asker) -> None:
        await hasher._run(lambda: order.append(asker.account), asker)

    with held() as gate:
        first = asyncio.create_task(hasher._run(gate.wait))
        attackers = [Asker(f"attacker {n % networks}", f"victim {n}") for n in range(1000)]
        attacks = [asyncio.create_task(ask(asker)) for asker in attackers]
        await asyncio.sleep(0)
        known, stranger = Asker(OWNER, "owner", is_known=True), Asker("198.51.100.8", "stranger")
        honest = [asyncio.create_task(ask(asker)) for asker in (known, stranger)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *honest)
        assert order.index("owner") <= 2
        assert order.index("stranger") <= networks + 4
    await asyncio.gather(*attacks)
    hasher.close()


async def test_a_full_queue_has_room_for_newcomers(one_thread: PasswordHasher) -> None:
    with held() as gate:
        attacker = Asker(ATTACKER, "victim")
        running = [asyncio.create_task(one_thread._run(gate.wait, attacker)) for _ in range(9)]
        await asyncio.sleep(0)
        for network in (ATTACKER, OWNER):
            running.append(
                asyncio.create_task(one_thread._run(gate.wait, Asker(network, "victim")))
            )
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        codes = [task.exception().code for task in running if task.done()]  # type: ignore[union-attr]
        assert codes == [ErrorCode.RATE_LIMITED] * 2
        assert not running[-1].done()
        assert running[-2].done()
        gate.set()
        await asyncio.gather(*(task for task in running if not task.done()))


async def test_a_thousand_guesses_leave_the_sign_ins_of_others_alone(
    services: AuthServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    emails = [an_email() for _ in range(10)]
    for number, email in enumerate(emails):
        await services.accounts.sign_up(email, PASSWORD, network=f"198.51.100.{number}")
    hashed = 0
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        nonlocal hashed
        hashed += password != PASSWORD
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    victims = chain.from_iterable(repeat((emails[0], an_email())))
    guesses = [
        asyncio.create_task(
            refused(services.accounts.sign_in(email, "wrong horse", network=ATTACKER))
        )
        for email, _ in zip(victims, range(1000), strict=False)
    ]
    await asyncio.sleep(0)
    honest = await asyncio.gather(
        # The owner of the account that is guessed at is among them, from a new address too.
        services.accounts.sign_in(emails[0], PASSWORD, network="192.0.2.1"),
        *(
            services.accounts.sign_in(email, PASSWORD, network=f"198.51.100.{number}")
            for number, email in enumerate(emails)
        ),
    )
    assert len({signed_in.session_id for signed_in in honest}) == 11
    codes = await asyncio.gather(*guesses)
    assert codes.count(ErrorCode.RATE_LIMITED) >= 1000 - FAILURES
    assert hashed <= FAILURES


async def test_known_and_unknown_addresses_are_limited_alike(services: AuthServices) -> None:
    known = an_email()
    await services.accounts.sign_up(known, PASSWORD, network=OWNER)
    said = []
    for network, email in (("192.0.2.10", known), ("192.0.2.11", an_email())):
        answers = []
        for _ in range(FAILURES + 2):
            with pytest.raises(DomainError) as error:
                await services.accounts.sign_in(email, "wrong horse", network=network)
            answers.append((error.value.code, error.value.message))
        said.append(answers)
    assert said[0] == said[1]
