"""Referrals: both sides are rewarded once, when the friend is real, and nobody refers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.commands import call_as_service
from db.core.pool import Database
from db.referrals.operations import BEGIN_CLAIMED, SETTLE, TAKE_BACK, due, refunded

from ..conftest import MakeUser
from .conftest import Ask

REDEEM = """mutation($code: String!, $device: String) {
  redeemReferralCode(input: {code: $code, deviceId: $device}) {
    referral { id status credits } errors { code path } } }"""
CODE = "{ viewer { referralCode referrals { nodes { id status credits } } } }"
Friend = Callable[..., Awaitable[Actor]]


@pytest.fixture
def friend(make_user: MakeUser, owner: asyncpg.Connection) -> Friend:
    """`await friend()` is a member whose address is confirmed, with three credits."""

    async def make(confirmed: bool = True) -> Actor:
        user = await make_user(3)
        if confirmed:
            await owner.execute(
                "update users set email_confirmed_at = now() where id = $1", user.user_id
            )
        return user

    return make


@pytest.fixture
def redeem(ask: Ask) -> Callable[..., Awaitable[dict[str, Any]]]:
    """`await redeem(friend, referrer, device)` is what `redeemReferralCode` answers."""

    async def run(
        actor: Actor, referrer: Actor, device: str | None = "", code: str | None = None
    ) -> dict[str, Any]:
        if code is None:
            code = (await ask(CODE, actor=referrer))["data"]["viewer"]["referralCode"]
        device = str(uuid4()) if device == "" else device
        answer = await ask(REDEEM, {"code": code, "device": device}, actor=actor)
        found: dict[str, Any] = answer["data"]["redeemReferralCode"]
        return found

    return run


Redeem = Callable[..., Awaitable[dict[str, Any]]]


async def settle(database: Database, referral: dict[str, Any], times: int = 3) -> bool:
    """The job looks at a referral, several times at once; whether it was rewarded."""
    wanted = UUID(referral["referral"]["id"].removeprefix("referral_"))
    looks = (call_as_service(database, SETTLE(wanted=wanted)) for _ in range(times))
    rewarded = await asyncio.gather(*looks)
    assert sum(rewarded) <= 1
    return any(rewarded)


async def spend(owner: asyncpg.Connection, actor: Actor) -> None:
    async with owner.transaction():
        await owner.execute("select set_config('app.user_id', $1, true)", actor.user_claim)
        await owner.execute("select app.spend_credits(1, 'test', null, $1)", str(uuid4()))


async def buy(owner: asyncpg.Connection, actor: Actor) -> None:
    await owner.execute(
        "insert into orders (user_id, product_id, kind, credits, provider, amount_cents, currency,"
        " expires_at) values ($1, 'credits-50', 'CREDITS', 50, 'sandbox', 500, 'USD', now())",
        actor.user_id,
    )
    await owner.execute(
        "update orders set status = 'PAID', paid_at = now()"
        " where user_id = $1 and status = 'PENDING'",
        actor.user_id,
    )


async def balance(owner: asyncpg.Connection, actor: Actor) -> int:
    found: int = await owner.fetchval(
        "select balance from wallets where user_id = $1", actor.user_id
    )
    return found


async def test_both_sides_are_rewarded_once_after_the_first_use(
    ask: Ask, friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, newcomer = await friend(), await friend()
    made = await redeem(newcomer, referrer)
    assert (made["errors"], made["referral"]["status"]) == ([], "PENDING")
    assert not await settle(database, made)
    await spend(owner, newcomer)
    referral = UUID(made["referral"]["id"].removeprefix("referral_"))
    assert referral in await due(database, 1_000_000)
    assert await settle(database, made)
    assert not await settle(database, made)
    assert (await balance(owner, referrer), await balance(owner, newcomer)) == (8, 5)
    shown = (await ask(CODE, actor=referrer))["data"]["viewer"]["referrals"]["nodes"]
    assert shown == [{"id": made["referral"]["id"], "status": "REWARDED", "credits": 5}]
    grants = await owner.fetch(
        "select source, reference_id from credit_grants where user_id = any ($1) and source = 'REFERRAL'",
        [referrer.user_id, newcomer.user_id],
    )
    assert [tuple(row) for row in grants] == [("REFERRAL", str(referral))] * 2


@pytest.mark.parametrize(
    ("confirmed", "has_device", "buys", "rewarded"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (True, False, False, False),
        (False, False, True, True),
    ],
    ids=["verified use", "unverified use", "use without a device", "a purchase"],
)
async def test_what_counts(
    friend: Friend,
    redeem: Redeem,
    database: Database,
    owner: asyncpg.Connection,
    confirmed: bool,
    has_device: bool,
    buys: bool,
    rewarded: bool,
) -> None:
    referrer, newcomer = await friend(), await friend(confirmed)
    made = await redeem(newcomer, referrer, "" if has_device else None)
    await (buy if buys else spend)(owner, newcomer)
    assert await settle(database, made) is rewarded


async def test_who_seems_to_be_the_same_person_is_rewarded_for_a_purchase_alone(
    friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, newcomer = await friend(), await friend()
    for user in (referrer, newcomer):
        await owner.execute(
            "insert into sessions (user_id, expires_at, user_agent, address)"
            " values ($1, now() + interval '1 day', 'Aura/1.0', $2)",
            user.user_id,
            f"198.51.100.0/24 {referrer.user_id}",
        )
    made = await redeem(newcomer, referrer)
    await spend(owner, newcomer)
    assert not await settle(database, made)
    await buy(owner, newcomer)
    assert await settle(database, made)


async def test_a_ring_on_one_device_is_refused(
    friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, device = await friend(), str(uuid4())
    first, second = await friend(), await friend()
    assert (await redeem(first, referrer, device))["referral"]["status"] == "PENDING"
    made = await redeem(second, referrer, device)
    assert (made["referral"]["status"], made["errors"]) == ("REFUSED", [])
    await buy(owner, second)
    assert not await settle(database, made)
    # Nor when the account that had it is gone.
    await owner.execute(
        "update referral_devices set user_id = null where user_id = $1", first.user_id
    )
    third = await friend()
    assert (await redeem(third, referrer, device))["referral"]["status"] == "REFUSED"
    noted = "select count(*) from audit_log where action = 'refuse_referral' and user_id = any ($1)"
    assert await owner.fetchval(noted, [second.user_id, third.user_id]) == 2


async def test_a_circle_is_refused(friend: Friend, redeem: Redeem) -> None:
    one, two, three = await friend(), await friend(), await friend()
    assert (await redeem(two, one))["referral"]["status"] == "PENDING"
    assert (await redeem(three, two))["referral"]["status"] == "PENDING"
    assert (await redeem(one, three))["referral"]["status"] == "REFUSED"


async def test_codes_are_refused_that_are_ones_own_unknown_second_or_too_late(
    ask: Ask, friend: Friend, redeem: Redeem, owner: asyncpg.Connection
) -> None:
    referrer, other, newcomer = await friend(), await friend(), await friend()
    wrong = ["input", "code"]
    for code, actor, said in (
        (None, referrer, "BAD_USER_INPUT"),
        ("no such code", newcomer, "NOT_FOUND"),
    ):
        made = await redeem(actor, referrer, code=code)
        assert made == {"referral": None, "errors": [{"code": said, "path": wrong}]}
    made = await redeem(newcomer, referrer, None)
    # In any spelling, and with the device told of later, it is the same one.
    spelled = (await ask(CODE, actor=referrer))["data"]["viewer"]["referralCode"].lower()
    again = await redeem(newcomer, referrer, code=f"{spelled[:4]}-{spelled[4:]}")
    assert again == made
    assert (await redeem(newcomer, other))["errors"] == [{"code": "INVALID_STATE", "path": wrong}]
    buyer = await friend()
    await buy(owner, buyer)
    assert (await redeem(buyer, referrer))["errors"] == [{"code": "INVALID_STATE", "path": wrong}]


async def test_no_more_than_so_many_are_rewarded(
    friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer = await friend()
    await owner.execute("update referral_terms set most_rewards = 1")
    try:
        for reward in (5, 0):
            newcomer = await friend()
            made = await redeem(newcomer, referrer)
            await buy(owner, newcomer)
            before = await balance(owner, referrer)
            assert await settle(database, made)
            assert await balance(owner, referrer) == before + reward
            assert await balance(owner, newcomer) == 6
    finally:
        await owner.execute("update referral_terms set most_rewards = 50")


async def test_a_code_given_with_the_sign_up_counts_once_the_account_is_there(
    ask: Ask, friend: Friend, database: Database, owner: asyncpg.Connection
) -> None:
    referrer = await friend()
    code = (await ask(CODE, actor=referrer))["data"]["viewer"]["referralCode"]
    email = f"Ada.{uuid4().hex}@Example.test"
    signed_up = await ask(
        "mutation($email: String!, $code: String) { signUp(input: {email: $email,"
        ' password: "correct horse", referralCode: $code}) { errors { code } } }',
        {"email": email, "code": code},
    )
    assert signed_up["data"]["signUp"]["errors"] == []
    # The address is confirmed later where that is demanded.
    claimed = "select count(*) from referral_claims where email_key = lower($1)"
    assert await owner.fetchval(claimed, email) == 1
    await owner.execute(
        "insert into users (email, email_key) values ($1, lower($1)) on conflict do nothing", email
    )
    # Whoever buys at once is no older customer: the code is looked at a moment later.
    newcomer = await owner.fetchval("select id from users where email_key = lower($1)", email)
    await owner.execute("update wallets set updated_at = now() where user_id = $1", newcomer)
    await buy(owner, replace(referrer, user_id=newcomer))
    while await owner.fetchval(claimed, email):
        await call_as_service(database, BEGIN_CLAIMED(at_most=1000))
    referral = await owner.fetchval(
        "select id from referrals where referrer_id = $1 and referee_id = $2",
        referrer.user_id,
        newcomer,
    )
    assert referral in await due(database, 1_000_000)
    assert await settle(database, {"referral": {"id": f"referral_{referral}"}})


async def test_a_referral_of_which_nothing_comes_lapses(
    friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, newcomer = await friend(), await friend()
    made = await redeem(newcomer, referrer)
    referral = UUID(made["referral"]["id"].removeprefix("referral_"))
    await owner.execute(
        "update referrals set created_at = now() - interval '91 days' where id = $1", referral
    )
    assert not await settle(database, made)
    status = "select status from referrals where id = $1"
    assert await owner.fetchval(status, referral) == "LAPSED"
    await buy(owner, newcomer)
    assert not await settle(database, made)


async def take_back(database: Database, referral: dict[str, Any], times: int = 3) -> bool:
    """The job looks at a refunded one, several times at once; whether its credits were taken."""
    wanted = UUID(referral["referral"]["id"].removeprefix("referral_"))
    looks = (call_as_service(database, TAKE_BACK(wanted=wanted)) for _ in range(times))
    taken = await asyncio.gather(*looks)
    assert sum(taken) <= 1
    return any(taken)


async def refund(owner: asyncpg.Connection, actor: Actor) -> None:
    """The buyer has the money of all their orders back; those sold nothing here."""
    await owner.execute(
        "update orders set status = 'REFUNDED', refunded_cents = amount_cents where user_id = $1",
        actor.user_id,
    )


async def owes(owner: asyncpg.Connection, actor: Actor) -> int:
    found: int = await owner.fetchval(
        "select coalesce(-sum(e.amount), 0) from credit_entries e join credit_transactions t"
        " on t.id = e.transaction_id where t.user_id = $1 and e.account = 'DEBT'",
        actor.user_id,
    )
    return found


async def test_a_refunded_purchase_takes_the_reward_back(
    ask: Ask, friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, newcomer = await friend(), await friend(confirmed=False)
    made = await redeem(newcomer, referrer)
    await buy(owner, newcomer)
    assert await settle(database, made)
    assert (await balance(owner, referrer), await balance(owner, newcomer)) == (8, 6)
    assert not await take_back(database, made)
    # The referrer has used six of eight, the friend five of six.
    for actor, times in ((referrer, 6), (newcomer, 5)):
        for _ in range(times):
            await spend(owner, actor)
    await refund(owner, newcomer)
    referral = UUID(made["referral"]["id"].removeprefix("referral_"))
    assert referral in await refunded(database, 1_000_000)
    assert await take_back(database, made)
    assert not await take_back(database, made)
    assert referral not in await refunded(database, 1_000_000)
    # Of whose code it was, what was left of the reward goes; who had the money back owes the rest.
    assert (await balance(owner, referrer), await owes(owner, referrer)) == (0, 0)
    assert (await balance(owner, newcomer), await owes(owner, newcomer)) == (0, 2)
    shown = (await ask(CODE, actor=referrer))["data"]["viewer"]["referrals"]["nodes"]
    assert shown == [{"id": made["referral"]["id"], "status": "TAKEN_BACK", "credits": 5}]


async def test_a_reward_stays_where_something_else_counts(
    friend: Friend, redeem: Redeem, database: Database, owner: asyncpg.Connection
) -> None:
    referrer, newcomer = await friend(), await friend()
    made = await redeem(newcomer, referrer)
    await buy(owner, newcomer)
    assert await settle(database, made)
    await refund(owner, newcomer)
    await buy(owner, newcomer)
    assert not await take_back(database, made)
    assert (await balance(owner, referrer), await balance(owner, newcomer)) == (8, 6)
    # The other order is what counts from then on.
    await refund(owner, newcomer)
    assert await take_back(database, made)
    assert (await balance(owner, referrer), await balance(owner, newcomer)) == (3, 3)
