"""Nobody gets accounts, bonuses or knowledge of who is here without limit, whoever asks at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from auth.budgets import AccountBudgets
from auth.sessions import SignedIn
from auth.turns import Turns
from db.accounts import budgets
from db.accounts.budgets import Budget
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode, RateLimited
from db.core.pool import Database
from db.core.retention import purge
from settings import Settings
from tests.auth.services import PASSWORD, AuthServices, an_email, build, refused

GUESTS, SIGN_UPS, ACCOUNTS, TOLD = 4, 3, 12, 2
Make = Callable[..., Awaitable[SignedIn]]


@pytest_asyncio.fixture
async def nodes(services: AuthServices, settings: Settings) -> AsyncIterator[list[AuthServices]]:
    """Two processes of one deployment whose budgets are small."""
    limits = {
        "guest_bonuses_per_hour": GUESTS,
        "sign_up_bonuses_per_hour": SIGN_UPS,
        "accounts_per_hour": ACCOUNTS,
        "email_in_use_answers_per_hour": TOLD,
    }
    small = settings.model_copy(update=limits)
    nodes = [build(services.database, small) for _ in range(2)]
    yield nodes
    for node in nodes:
        node.passwords.close()


def an_address() -> str:
    return f"address {uuid4()}"


async def balance(services: AuthServices, user_id: UUID) -> int:
    select = "select coalesce(sum(balance), 0)::int from wallets where user_id = :id"
    found: int = await services.value(select, id=user_id)
    return found


async def wait_for(services: AuthServices, **time: int) -> None:
    """Lets time go by for all budgets."""
    await services.all(
        "update rate_budgets set expires_at = expires_at - cast(:interval as interval), used_at ="
        " array(select u - cast(:interval as interval) from unnest(used_at) u) returning 1",
        interval=timedelta(**time),
    )


async def at_once(makers: list[Awaitable[SignedIn]]) -> tuple[list[SignedIn], Counter[ErrorCode]]:
    answers = await asyncio.gather(*makers, return_exceptions=True)
    made = [answer for answer in answers if isinstance(answer, SignedIn)]
    others = [answer for answer in answers if not isinstance(answer, SignedIn)]
    assert all(isinstance(other, DomainError) for other in others), others
    return made, Counter(other.code for other in others if isinstance(other, DomainError))


def guest(node: AuthServices, network: str, **more: Any) -> Awaitable[SignedIn]:
    return node.accounts.sign_in_anonymously(network=network, **more)


def member(node: AuthServices, network: str, **more: Any) -> Awaitable[SignedIn]:
    return node.accounts.sign_up(an_email(), PASSWORD, network=network, **more)


@pytest.mark.parametrize(("make", "most", "bonus"), [(guest, GUESTS, 3), (member, SIGN_UPS, 10)])
async def test_of_many_at_once_exactly_as_many_get_a_bonus_as_may(
    nodes: list[AuthServices], make: Make, most: int, bonus: int
) -> None:
    address = an_address()
    made, errors = await at_once([make(node, address) for node in nodes for _ in range(10)])
    assert (len(made), errors) == (ACCOUNTS, {ErrorCode.RATE_LIMITED: 20 - ACCOUNTS})
    given = Counter(signed_in.bonus_credits for signed_in in made)
    assert given == {bonus: most, 0: ACCOUNTS - most}
    for signed_in in made:
        assert await balance(nodes[0], signed_in.user_id) == signed_in.bonus_credits
    # Nobody else pays for it.
    assert (await make(nodes[0], an_address())).bonus_credits == bonus


async def test_a_use_counts_for_an_hour(nodes: list[AuthServices]) -> None:
    node, address = nodes[0], an_address()
    for _ in range(GUESTS - 1):
        await guest(node, address)
    await wait_for(node, minutes=30)
    assert [(await guest(node, address)).bonus_credits for _ in range(2)] == [3, 0]
    await wait_for(node, minutes=29)
    assert (await guest(node, address)).bonus_credits == 0
    await wait_for(node, minutes=1)
    given = [(await guest(node, address)).bonus_credits for _ in range(GUESTS)]
    assert given == [3] * (GUESTS - 1) + [0]


async def test_who_opens_too_many_accounts_is_told_when_to_come_back(
    nodes: list[AuthServices],
) -> None:
    node, address = nodes[0], an_address()
    for _ in range(ACCOUNTS):
        await guest(node, address)
    await wait_for(node, minutes=10)
    count = "select count(*) from users"
    before = await node.value(count)
    with pytest.raises(RateLimited) as limited:
        await guest(node, address)
    assert 40 * 60 < limited.value.retry_after_seconds <= 50 * 60
    assert await node.value(count) == before
    # Guests keep no member out, and neither do they keep a guest from becoming one.
    assert (await member(node, address)).bonus_credits == 10


async def test_becoming_a_member_doubles_no_bonus(nodes: list[AuthServices]) -> None:
    node, address = nodes[0], an_address()
    one = await guest(node, address)
    assert one.bonus_credits == 3
    made, errors = await at_once(
        [member(node, address, anonymous=one.actor) for node in nodes for _ in range(3)]
    )
    assert [signed_in.bonus_credits for signed_in in made] == [7]
    assert errors == {ErrorCode.UNAUTHENTICATED: 5}
    assert await balance(node, one.user_id) == 10
    # Beyond the budget a guest keeps what there is, and is still owed the rest.
    await at_once([member(node, address) for _ in range(SIGN_UPS)])
    late = await guest(node, address)
    joined = await member(node, address, anonymous=late.actor)
    assert (joined.bonus_credits, await balance(node, late.user_id)) == (0, 3)
    grant = "select app.grant_sign_up_bonus(:id)"
    assert [await node.value(grant, id=late.user_id) for _ in range(2)] == [7, 0]
    assert await balance(node, late.user_id) == 10


async def test_a_device_gets_one_bonus_wherever_it_is(nodes: list[AuthServices]) -> None:
    device, address = str(uuid4()), an_address()
    made, errors = await at_once(
        [guest(node, an_address(), device_id=device) for node in nodes for _ in range(5)]
    )
    assert (sum(signed_in.bonus_credits or 0 for signed_in in made), errors) == (3, {})
    # What it asks for in vain is left for its neighbours.
    for _ in range(GUESTS):
        assert (await guest(nodes[0], address, device_id=device)).bonus_credits == 0
    others = [await guest(nodes[0], address, device_id=str(uuid4())) for _ in range(GUESTS + 1)]
    assert [signed_in.bonus_credits for signed_in in others] == [3] * GUESTS + [0]


@pytest.mark.parametrize("device_id", ["", "x" * 129, "two\nlines", "nul\0"])
async def test_a_device_id_is_one(services: AuthServices, device_id: str) -> None:
    code = await refused(guest(services, an_address(), device_id=device_id))
    assert code is ErrorCode.BAD_USER_INPUT


async def test_nobody_learns_without_limit_who_has_an_account(nodes: list[AuthServices]) -> None:
    address, known = an_address(), an_email()
    await nodes[0].accounts.sign_up(known, PASSWORD)
    made, errors = await at_once(
        [node.accounts.sign_up(known, PASSWORD, network=address) for node in nodes * 4]
    )
    assert made == []
    assert errors == {ErrorCode.EMAIL_IN_USE: TOLD, ErrorCode.RATE_LIMITED: 8 - TOLD}
    messages = set()
    for email in (known, an_email()):
        with pytest.raises(RateLimited) as limited:
            await nodes[1].accounts.sign_up(email, PASSWORD, network=address)
        messages.add(limited.value.message)
    assert len(messages) == 1
    assert await refused(nodes[0].accounts.sign_up(known, PASSWORD, network=an_address())) is (
        ErrorCode.EMAIL_IN_USE
    )


async def test_a_flood_of_one_address_holds_one_connection_and_waits_in_a_bounded_queue() -> None:
    turns, working, most = Turns[str](3), Counter[str](), Counter[str]()

    async def work(key: str) -> None:
        async with turns.of(key):
            working[key] += 1
            most[key] = max(most[key], working[key])
            await asyncio.sleep(0)
            working[key] -= 1

    done = await asyncio.gather(*(work(key) for key in "aaaaaabb"), return_exceptions=True)
    assert Counter(type(one) for one in done) == {type(None): 6, RateLimited: 2}
    assert (most, len(turns)) == ({"a": 1, "b": 1}, 0)
    waiting = [asyncio.create_task(work("a")) for _ in range(4)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await work("a")
    assert len(turns) == 0


async def test_who_was_told_to_wait_and_does_not_costs_no_statement(
    nodes: list[AuthServices], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, address, known = nodes[0], an_address(), an_email()
    await node.accounts.sign_up(known, PASSWORD)
    await at_once([guest(node, address) for _ in range(ACCOUNTS + 1)])
    for _ in range(TOLD + 1):
        await refused(node.accounts.sign_up(known, PASSWORD, network=address))
    monkeypatch.setattr(node.accounts, "_database", None)
    monkeypatch.setattr(node.accounts, "_passwords", None)
    for asked in (guest(node, address), member(node, address)):
        with pytest.raises(RateLimited) as limited:
            await asked
        assert 3500 < limited.value.retry_after_seconds <= 3600


async def test_a_budget_of_nothing_lets_nobody_in(services: AuthServices) -> None:
    nothing = Budget("nothing", 0)
    async with services.database.transaction(SERVICE) as transaction:
        for ask in (budgets.take, budgets.look):
            assert await ask(transaction, nothing, b"x") == 3600
    assert await services.value("select count(*) from rate_budgets where kind = 'nothing'") == 0


async def test_addresses_are_not_stored_and_what_is_goes_when_it_no_longer_counts(
    nodes: list[AuthServices], database: Database, settings: Settings
) -> None:
    node, address, device = nodes[0], an_address(), str(uuid4())
    await guest(node, address, device_id=device)
    tables = "select table_name from information_schema.tables where table_schema = 'public'"
    for row in await node.all(tables):
        stored = await node.value(
            f"select coalesce(string_agg(t::text, ' '), '') from public.{row['table_name']} t"
        )
        assert address not in stored
        assert device not in stored
    count = "select count(*) from rate_budgets"
    await wait_for(node, minutes=59)
    before = await node.value(count)
    assert dict([one async for one in purge(database)])["budgets that are whole again"] < before
    await wait_for(node, minutes=1)
    [one async for one in purge(database)]
    kinds = {
        row["kind"]
        for row in await node.all(
            "select distinct kind from rate_budgets where kind !~ '^(code|wrong)'"
        )
    }
    assert kinds == {"device_bonuses"}
    await wait_for(node, days=365)
    [one async for one in purge(database)]
    assert await node.value(count) == 0
    assert AccountBudgets(settings)._of("guests", "a") != AccountBudgets(settings)._of(
        "guests", "b"
    )
