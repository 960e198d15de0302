"""The ledger never loses, doubles or goes below zero, and every movement balances."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from db.core.actor import NOBODY, SERVICE, Actor
from db.core.pool import Database

from ..conftest import MakeUser
from .ledger import Ledger, refusal, refused_with

CONCURRENT = 50


@pytest.fixture
def ledger(database: Database, owner: asyncpg.Connection) -> Ledger:
    """The functions, and the ledger as its owner reads it."""
    return Ledger(database, owner)


async def test_fifty_concurrent_spends_of_the_last_credit_have_one_winner(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=1)
    results = await asyncio.gather(
        *(ledger.spend(actor, 1, f"key-{n}") for n in range(CONCURRENT)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, asyncpg.PostgresError)]
    assert [refusal(r) for r in refused] == ["INSUFFICIENT_CREDITS"] * (CONCURRENT - 1)
    assert await ledger.wallet(actor) == (0, 0)
    assert await ledger.history(actor) == [("ADMIN", 1, 0, 1), ("SPEND", -1, 0, 0)]
    await ledger.assert_sound(actor)


async def test_each_verb_moves_what_it_says(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=10)
    captured, partly, released = [await ledger.hold(actor, amount) for amount in (2, 3, 4)]
    assert await ledger.wallet(actor) == (10, 9)
    await ledger.capture(captured, 2)
    await ledger.capture(partly, 1)
    await ledger.release(released)
    await ledger.spend(actor, 5)
    assert await ledger.wallet(actor) == (2, 0)
    assert await ledger.history(actor) == [
        ("ADMIN", 10, 0, 10),
        ("HOLD", 0, 2, 10),
        ("HOLD", 0, 3, 10),
        ("HOLD", 0, 4, 10),
        ("CAPTURE", -2, -2, 8),
        ("CAPTURE", -1, -3, 7),
        ("RELEASE", 0, -4, 7),
        ("SPEND", -5, 0, 2),
    ]
    await ledger.assert_sound(actor)


async def test_credits_that_expire_soonest_go_first_and_purchased_ones_last(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 1, "PURCHASE", days=1)
    await ledger.grant(actor, 2, "ADMIN")
    await ledger.grant(actor, 4, "PLAN", days=30)
    await ledger.grant(actor, 8, "REFERRAL", days=2)
    left = []
    for amount in (8, 4, 2, 1):
        await ledger.spend(actor, amount)
        left.append(await ledger.remaining(actor))
    assert left == [[1, 2, 4, 0], [1, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    await ledger.assert_sound(actor)


async def test_what_a_hold_gives_back_returns_to_where_it_came_from(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 3, "PLAN", days=1)
    await ledger.grant(actor, 3, "PURCHASE")
    hold = await ledger.hold(actor, 5)
    assert await ledger.remaining(actor) == [0, 1]
    await ledger.capture(hold, 2)
    assert await ledger.remaining(actor) == [1, 3]
    await ledger.assert_sound(actor)


async def test_an_expired_grant_is_not_spent_and_its_end_is_recorded(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=1)
    await ledger.grant(actor, 5, "PLAN", days=1)
    await ledger.expire_grant(actor, 5)
    with refused_with("INSUFFICIENT_CREDITS"):
        await ledger.spend(actor, 2)
    await ledger.spend(actor, 1)
    assert (await ledger.history(actor))[2:] == [("EXPIRY", -5, 0, 1), ("SPEND", -1, 0, 0)]
    assert await ledger.wallet(actor) == (0, 0)
    await ledger.assert_sound(actor)


async def test_credits_released_to_a_grant_that_expired_meanwhile_expire(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=0)
    await ledger.grant(actor, 5, "PLAN", days=1)
    hold = await ledger.hold(actor, 5)
    await ledger.expire_grant(actor, 5)
    await ledger.release(hold)
    await ledger.assert_sound(actor)
    with refused_with("INSUFFICIENT_CREDITS"):
        await ledger.spend(actor, 1)
    await ledger.grant(actor, 1)
    assert await ledger.wallet(actor) == (1, 0)
    await ledger.assert_sound(actor)


async def test_the_same_key_returns_the_same_transaction_and_moves_nothing_more(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=10)
    first = await ledger.spend(actor, 3, "key")
    again = await asyncio.gather(*(ledger.spend(actor, 3, "key") for _ in range(5)))
    assert set(again) == {first}
    assert await ledger.wallet(actor) == (7, 0)
    for amount, reason in ((4, "test"), (3, "other")):
        with refused_with("IDEMPOTENCY_CONFLICT"):
            await ledger.spend(actor, amount, "key", reason)
    assert await ledger.wallet(actor) == (7, 0)


async def test_one_key_used_at_once_spends_once(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=10)
    ids = await asyncio.gather(*(ledger.spend(actor, 3, "key") for _ in range(20)))
    assert len(set(ids)) == 1
    assert await ledger.wallet(actor) == (7, 0)


async def test_a_refused_attempt_stores_nothing_so_that_its_key_works_after_topping_up(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=1)
    with refused_with("INSUFFICIENT_CREDITS") as error:
        await ledger.spend(actor, 5, "key")
    assert error.value.detail == '{"required": 5, "available": 1}'
    await ledger.grant(actor, 4)
    await ledger.spend(actor, 5, "key")
    assert await ledger.wallet(actor) == (0, 0)


async def test_keys_belong_to_one_user(ledger: Ledger, make_user: MakeUser) -> None:
    one, other = await make_user(credits=5), await make_user(credits=5)
    assert await ledger.spend(one, 1, "key") != await ledger.spend(other, 2, "key")
    assert (await ledger.wallet(one), await ledger.wallet(other)) == ((4, 0), (3, 0))


@pytest.mark.parametrize("key", ["", "x" * 256, None])
async def test_a_key_must_be_short_and_there(
    ledger: Ledger, make_user: MakeUser, key: str | None
) -> None:
    actor = await make_user(credits=5)
    with refused_with("BAD_USER_INPUT"):
        await ledger.try_spend(actor, 1, key)
    assert await ledger.wallet(actor) == (5, 0)


@pytest.mark.parametrize("first", ["capture", "release", "expire"])
@pytest.mark.parametrize("second", ["capture", "release"])
async def test_a_hold_ends_once(
    ledger: Ledger, make_user: MakeUser, first: str, second: str
) -> None:
    actor = await make_user(credits=10)
    hold = await ledger.hold(actor, 4, "0 seconds")
    ends: dict[str, Callable[[], Awaitable[Any]]] = {
        "capture": lambda: ledger.capture(hold, 3),
        "release": lambda: ledger.release(hold),
        "expire": lambda: ledger.expire_holds(actor),
    }
    await ends[first]()
    wallet, history = await ledger.wallet(actor), await ledger.history(actor)
    assert wallet == ((7, 0) if first == "capture" else (10, 0))
    with refused_with("BAD_USER_INPUT"):
        await ends[second]()
    await ledger.expire_holds(actor)
    assert (await ledger.wallet(actor), await ledger.history(actor)) == (wallet, history)
    await ledger.assert_sound(actor)


@pytest.mark.parametrize("amount", [0, -1, 5, 2**31 - 1, None])
async def test_a_capture_takes_from_one_to_all(
    ledger: Ledger, make_user: MakeUser, amount: int | None
) -> None:
    actor = await make_user(credits=10)
    hold = await ledger.hold(actor, 4)
    with refused_with("BAD_USER_INPUT"):
        await ledger.capture(hold, amount)
    assert await ledger.wallet(actor) == (10, 4)


async def test_an_unknown_hold_is_not_found(ledger: Ledger) -> None:
    for end in (ledger.capture(uuid4(), 1), ledger.release(uuid4())):
        with refused_with("NOT_FOUND"):
            await end


@pytest.mark.parametrize("amount", [0, -1, 1_000_001, 2**31 - 1, -(2**31), None])
@pytest.mark.parametrize("function", ["grant", "hold", "spend"])
async def test_amounts_are_from_one_to_a_million(
    ledger: Ledger, make_user: MakeUser, function: str, amount: int | None
) -> None:
    actor = await make_user(credits=10)
    with refused_with("BAD_USER_INPUT"):
        await getattr(ledger, function)(actor, amount)
    assert await ledger.wallet(actor) == (10, 0)
    assert len(await ledger.history(actor)) == 1


async def test_held_credits_are_not_spent(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=10)
    await ledger.hold(actor, 8)
    for function in (ledger.spend, ledger.hold):
        with refused_with("INSUFFICIENT_CREDITS") as error:
            await function(actor, 3)
        assert error.value.detail == '{"required": 3, "available": 2}'
    assert await ledger.wallet(actor) == (10, 8)


async def test_a_wallet_is_bounded(ledger: Ledger, make_user: MakeUser) -> None:
    actor = await make_user(credits=1)
    await ledger.owner.execute(
        "update wallets set balance = 1000000000 where user_id = $1", actor.user_id
    )
    with refused_with("LIMIT_EXCEEDED"):
        await ledger.grant(actor, 1)
    await ledger.owner.execute("update wallets set balance = 1 where user_id = $1", actor.user_id)
    await ledger.assert_sound(actor)


HISTORY = (
    "credit_transactions",
    "credit_entries",
    "credit_hold_parts",
    "credit_refund_parts",
    "credit_transfers",
)


@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize("function", ["update", "delete", "truncate", "truncate through wallets"])
async def test_history_is_never_changed_not_even_by_its_owner(
    ledger: Ledger, make_user: MakeUser, table: str, function: str
) -> None:
    actor, other = await make_user(credits=5), await make_user(credits=0)
    await ledger.hold(actor, 1)
    await ledger.refund(await ledger.spend(actor, 1))
    await ledger.transfer(actor, other, 1)
    column = "received_id" if table == "credit_transfers" else "amount"
    statements = {
        "update": f"update {table} set {column} = {column}",
        "delete": f"delete from {table}",
        "truncate": f"truncate {table} cascade",
        "truncate through wallets": "truncate wallets cascade",
    }
    with pytest.raises(asyncpg.RestrictViolationError):
        await ledger.owner.execute(statements[function])


@pytest.mark.parametrize("amounts", [(5,), (5, -4), (5, -5, 1)])
async def test_entries_that_do_not_balance_are_refused(
    ledger: Ledger, make_user: MakeUser, amounts: tuple[int, ...]
) -> None:
    actor = await make_user(credits=1)
    with pytest.raises(asyncpg.CheckViolationError, match="sum to zero"):
        await ledger.owner.execute(
            "insert into credit_entries (transaction_id, account, amount)"
            " select t.id, 'SPENT', a from credit_transactions t, unnest($2::int[]) a"
            " where t.user_id = $1",
            actor.user_id,
            amounts,
        )


async def test_fifty_concurrent_mixed_operations_keep_the_books(
    ledger: Ledger, make_user: MakeUser
) -> None:
    actor = await make_user(credits=20)

    async def one(n: int) -> None:
        if n % 5 == 0:
            await ledger.grant(actor, 3, "PURCHASE" if n % 2 else "PLAN", days=n + 1)
        elif n % 5 == 1:
            await ledger.spend(actor, 2, f"key-{n // 10}")
        else:
            hold = await ledger.hold(actor, 4)
            await (ledger.release(hold) if n % 2 else ledger.capture(hold, n % 4 + 1))

    results = await asyncio.gather(*map(one, range(CONCURRENT)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert {refusal(error) for error in errors} <= {"INSUFFICIENT_CREDITS"}
    await ledger.assert_sound(actor)
    balance, held = await ledger.wallet(actor)
    assert held == 0
    assert balance >= 0


async def test_a_capture_and_the_hold_running_out_have_one_winner(
    ledger: Ledger, make_user: MakeUser
) -> None:
    winners = set()
    for round_number in range(15):
        actor = await make_user(credits=5)
        hold = await ledger.hold(actor, 5, "0 seconds")

        async def capture_later(hold: UUID = hold, delay: float = round_number % 3 / 500) -> None:
            await asyncio.sleep(delay)
            await ledger.capture(hold, 5)

        results = await asyncio.gather(
            capture_later(), ledger.expire_holds(actor), return_exceptions=True
        )
        captured = results[0] is None
        assert results[1] == (0 if captured else 1)
        assert captured or refusal(results[0]) == "BAD_USER_INPUT"
        assert await ledger.wallet(actor) == ((0, 0) if captured else (5, 0))
        await ledger.assert_sound(actor)
        winners.add(captured)
    assert winners


FUNCTIONS = {
    "app.grant_credits(:user, 'ADMIN', 5)",
    "app.grant_sign_up_bonus(:user)",
    "app.hold_credits(:user, 1, 'test', interval '1 hour')",
    "app.capture_hold(:user, 1)",
    "app.release_hold(:user)",
    "app.refund_credits(:user, 1, 'test', 'key')",
    "app.transfer_credits(:user, :user, 1, 'test', 'key')",
    "app.grant_plan_credits(:user)",
    "app.expire_holds(:user)",
    "app.ledger_discrepancies(array[:user]::uuid[])",
    "app.lock_wallet(:user)",
    "app.remember_result(:user, 'spend_credits', 'key', '', :user)",
}


@pytest.mark.parametrize("call", sorted(FUNCTIONS))
@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_clients_cannot_give_or_take_credits(
    ledger: Ledger, make_user: MakeUser, role: str, call: str
) -> None:
    owner_of_wallet = await make_user(credits=5)
    actor = NOBODY if role == "anon" else owner_of_wallet
    parameters = {"user": owner_of_wallet.user_id} if ":user" in call else {}
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with ledger.database.transaction(actor) as transaction:
            await transaction.fetch_value(text(f"select {call}"), **parameters)
    assert await ledger.wallet(owner_of_wallet) == (5, 0)


@pytest.mark.parametrize("actor", [NOBODY, SERVICE])
async def test_only_a_signed_in_user_spends(ledger: Ledger, actor: Actor) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ledger.spend(actor, 1)


async def test_a_user_spends_only_their_own(ledger: Ledger, make_user: MakeUser) -> None:
    poor, rich = await make_user(credits=0), await make_user(credits=100)
    with refused_with("INSUFFICIENT_CREDITS"):
        await ledger.spend(poor, 1)
    with refused_with("UNAUTHENTICATED"):
        await ledger.spend(Actor("authenticated"), 1)
    assert await ledger.wallet(rich) == (100, 0)
