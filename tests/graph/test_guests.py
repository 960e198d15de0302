"""A guest is merged into a member's account once, whole, and by nobody but who holds their token."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from auth.guests import Guests
from auth.refresh_tokens import new_refresh_token
from auth.sessions import SignedIn
from db.accounts import operations
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from jobs.guests import settle_merges
from server.app import make_services
from server.services import Services
from settings import Settings

from ..auth.services import lock
from ..db.ledger import Ledger
from ..jobs.helpers import begun, create_generation, finish, made, ready_upload
from .conftest import Ask

PASSWORD = "correct horse battery"
MERGE = """mutation($token: String!) { mergeAnonymousAccount(input: {anonymousRefreshToken: $token}) {
  merged { guestId credits mergedAt moved { slice count } }
  viewer { credits { balance held } profiles { nodes { name } } }
  errors { code path } } }"""
WAITING = "select count(*) from pg_locks where not granted"
PROFILE = 'mutation { createProfile(input: {name: "Try-out", analysis: {}}) { profile { id } } }'


@dataclass
class Accounts:
    """Opens accounts and merges them, as clients do."""

    ask: Ask
    services: Services
    owner: asyncpg.Connection
    ledger: Ledger

    async def guest(self, **given: Any) -> SignedIn:
        return await self.services.accounts.sign_in_anonymously(**given)

    async def member(self, **given: Any) -> SignedIn:
        return await self.services.accounts.sign_up(f"{uuid4()}@example.test", PASSWORD, **given)

    async def merge(self, member: SignedIn, token: str) -> dict[str, Any]:
        answer = await self.ask(MERGE, {"token": token}, actor=member.actor)
        assert "errors" not in answer, answer
        payload: dict[str, Any] = answer["data"]["mergeAnonymousAccount"]
        return payload

    async def refusal(self, member: SignedIn, token: str) -> tuple[str, list[str]]:
        """The code and path of the one error of a merge."""
        payload = await self.merge(member, token)
        assert payload["merged"] is None
        (error,) = payload["errors"]
        return error["code"], error["path"]

    async def sound(self, *people: SignedIn) -> None:
        for person in people:
            await self.ledger.assert_sound(person.actor)


@pytest.fixture
def accounts(
    ask: Ask, services: Services, owner: asyncpg.Connection, database: Database
) -> Accounts:
    return Accounts(ask, services, owner, Ledger(database, owner))


REFUSED = ("UNAUTHENTICATED", ["input", "anonymousRefreshToken"])


async def test_a_member_takes_over_what_they_had_as_a_guest(
    accounts: Accounts, database: Database, settings: Settings
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.ledger.grant(guest.actor, 7, "PURCHASE")
    await accounts.ask(PROFILE, actor=guest.actor)
    await ready_upload(database, open_storage(settings), guest.actor)
    payload = await accounts.merge(member, guest.refresh_token)
    assert payload["errors"] == []
    assert payload["merged"]["guestId"] == f"user_{guest.user_id}"
    assert payload["merged"]["credits"] == 7
    assert payload["merged"]["moved"] == [
        {"slice": "PROFILES", "count": 1},
        {"slice": "UPLOADS", "count": 1},
    ]
    assert payload["viewer"]["profiles"]["nodes"] == [{"name": "Try-out"}]
    assert payload["viewer"]["credits"] == {"balance": 17, "held": 0}
    await accounts.sound(guest, member)


async def test_an_open_stream_of_the_members_shows_what_came(
    accounts: Accounts, engine: Engine
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.ask(PROFILE, actor=guest.actor)
    await accounts.ask(PROFILE, actor=guest.actor)
    subscriber = Subscriber(engine, accounts.services.hub.subscribe, lambda: member.actor)
    stream = subscriber.stream("subscription { profilesChanged { profile { name } } }", {}, None)
    async with asyncio.timeout(10):
        await anext(stream)  # that it has begun
        await accounts.merge(member, guest.refresh_token)
        items = [await anext(stream), await anext(stream)]
    await stream.aclose()  # type: ignore[attr-defined]
    shown = [orjson.loads(item.body)["data"]["profilesChanged"]["profile"] for item in items]
    assert shown == [{"name": "Try-out"}] * 2


async def test_the_guest_is_nobody_any_more(
    accounts: Accounts, database: Database, settings: Settings
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    renewed = await accounts.services.accounts.refresh(guest.refresh_token)
    await accounts.merge(member, renewed.refresh_token)
    with pytest.raises(DomainError) as refused:
        await accounts.services.accounts.refresh(renewed.refresh_token)
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        accounts.services.tokens.verify(guest.access_token)
    # Another process learns of it by its next look.
    elsewhere = make_services(
        settings, database, open_storage(settings), accounts.services.hub._bus
    )
    assert elsewhere.tokens.verify(guest.access_token).user_id == guest.user_id
    await elsewhere.revocations.look()
    with pytest.raises(DomainError):
        elsewhere.tokens.verify(guest.access_token)
    elsewhere.passwords.close()


async def test_asking_again_answers_the_same_and_does_nothing(accounts: Accounts) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.ask(PROFILE, actor=guest.actor)
    first = await accounts.merge(member, guest.refresh_token)
    assert await accounts.merge(member, guest.refresh_token) == first
    assert await accounts.refusal(await accounts.member(), guest.refresh_token) == REFUSED


async def test_of_many_at_once_one_merges_and_all_are_told(accounts: Accounts) -> None:
    guest, member, other = await accounts.guest(), await accounts.member(), await accounts.member()
    await accounts.ledger.grant(guest.actor, 5, "PURCHASE")
    answers = await asyncio.gather(
        *(accounts.merge(person, guest.refresh_token) for person in (member, other) * 3)
    )
    told = [answer["merged"] for answer in answers]
    assert told.count(None) == 3
    assert sum(person["credits"] for person in told if person) == 15
    balances = [(await accounts.ledger.wallet(person.actor))[0] for person in (member, other)]
    assert sorted(balances) == [10, 15]
    await accounts.sound(guest, member, other)


async def test_nobody_loses_a_credit_when_the_guest_spends_meanwhile(accounts: Accounts) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.ledger.grant(guest.actor, 20, "PURCHASE")
    spends = [accounts.ledger.spend(guest.actor, 1, reason="late") for _ in range(20)]
    merged, *spent = await asyncio.gather(
        accounts.merge(member, guest.refresh_token), *spends, return_exceptions=True
    )
    assert isinstance(merged, dict)
    done = sum(isinstance(one, UUID) for one in spent)
    (left,) = {(await accounts.ledger.wallet(guest.actor))[0]}
    assert left == 0
    # What the bonus paid for is not the purchased credits' loss.
    assert merged["merged"]["credits"] == min(20, 23 - done)
    await accounts.sound(guest, member)


@pytest.mark.parametrize("end", ["finish", "cancel"])
async def test_work_under_way_is_paid_for_by_the_member(
    accounts: Accounts, database: Database, settings: Settings, end: str
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    photo = await ready_upload(database, open_storage(settings), guest.actor)
    generation = await create_generation(database, guest.actor, photo)
    attempt = await begun(database, generation) if end == "finish" else None
    price = (await accounts.ledger.wallet(guest.actor))[1]
    assert price > 0
    payload = await accounts.merge(member, guest.refresh_token)
    assert payload["viewer"]["credits"] == {"balance": 10 + price, "held": price}
    if attempt is not None:
        from db.generations.operations import finish_generation

        assert await finish_generation(database, attempt, made())
    else:
        cancelled = await accounts.ask(
            f'mutation {{ cancelGeneration(input: {{id: "generation_{generation}"}})'
            " { generation { status } errors { code } } }",
            actor=member.actor,
        )
        assert cancelled["data"]["cancelGeneration"]["errors"] == []
        await accounts.owner.execute("select app.lock_wallet($1)", member.user_id)
    # Bonus credits were held, and a member who had the bonus is owed no more of it.
    assert await accounts.ledger.wallet(member.actor) == (10, 0)
    shown = await accounts.ask(
        f'{{ node(id: "generation_{generation}") {{ ... on Generation {{ status creditsCharged }} }} }}',
        actor=member.actor,
    )
    expected = ("SUCCEEDED", price) if attempt else ("CANCELLED", 0)
    assert tuple(shown["data"]["node"].values()) == expected
    await accounts.sound(guest, member)


async def test_a_generation_that_ends_during_the_merge_is_charged_once(
    accounts: Accounts, database: Database, settings: Settings
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.ledger.grant(guest.actor, 10, "PURCHASE")
    photo = await ready_upload(database, open_storage(settings), guest.actor)
    made_here = [
        await create_generation(database, guest.actor, photo, parameters={"color": f"#00000{n}"})
        for n in range(3)
    ]
    merged, *_ = await asyncio.gather(
        accounts.merge(member, guest.refresh_token),
        *(finish(database, generation) for generation in made_here),
    )
    assert merged["errors"] == []
    rows = await accounts.owner.fetch(
        "select user_id, status, credits_charged from generations where id = any ($1)", made_here
    )
    assert {row["user_id"] for row in rows} == {member.user_id}
    assert {row["status"] for row in rows} == {"SUCCEEDED"}
    charged = sum(row["credits_charged"] for row in rows)
    used = await accounts.owner.fetchval(
        "select sum(used) from credit_transactions where user_id = any ($1)",
        [guest.user_id, member.user_id],
    )
    assert used == charged
    await accounts.sound(guest, member)


async def test_tokens_that_merge_nothing(accounts: Accounts) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    for token in ("", "x" * 9_999, new_refresh_token(), guest.access_token):
        assert await accounts.refusal(member, token) == REFUSED
    own = await accounts.refusal(member, member.refresh_token)
    assert own == ("BAD_USER_INPUT", ["input", "anonymousRefreshToken"])
    for table, column, value in (
        ("refresh_tokens", "session_id", guest.session_id),
        ("sessions", "id", guest.session_id),
    ):
        before = await accounts.owner.fetchval(
            f"update {table} n set expires_at = now() from {table} o where n.{column} = $1"
            f" and o.{column} = $1 returning o.expires_at",
            value,
        )
        assert await accounts.refusal(member, guest.refresh_token) == REFUSED
        await accounts.owner.execute(
            f"update {table} set expires_at = $2 where {column} = $1", value, before
        )
    assert (await accounts.merge(member, guest.refresh_token))["errors"] == []


async def test_a_token_that_was_used_up_ends_its_session(accounts: Accounts) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    second = await accounts.services.accounts.refresh(guest.refresh_token)
    third = await accounts.services.accounts.refresh(second.refresh_token)
    assert await accounts.refusal(member, guest.refresh_token) == REFUSED
    with pytest.raises(DomainError):
        accounts.services.tokens.verify(third.access_token)
    assert await accounts.refusal(member, third.refresh_token) == REFUSED


async def test_an_answer_of_a_refresh_that_was_lost_does_not_keep_the_guest_out(
    accounts: Accounts,
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.services.accounts.refresh(guest.refresh_token)
    assert (await accounts.merge(member, guest.refresh_token))["errors"] == []


@pytest.mark.parametrize("who", ["guest", "itself", "locked member", "locked guest", "converted"])
async def test_who_is_no_member_or_no_guest_is_refused(accounts: Accounts, who: str) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    token = guest.refresh_token
    lock = "update users set status = 'locked' where id = $1"
    if who in ("guest", "itself"):
        taker = guest if who == "itself" else await accounts.guest()
        answer = await accounts.ask(MERGE, {"token": token}, actor=taker.actor)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    elif who == "locked member":
        await accounts.owner.execute(lock, member.user_id)
        answer = await accounts.ask(MERGE, {"token": token}, actor=member.actor)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    elif who == "locked guest":
        await accounts.owner.execute(lock, guest.user_id)
        assert await accounts.refusal(member, token) == REFUSED
    else:
        await accounts.services.accounts.sign_up(
            f"{uuid4()}@example.test", PASSWORD, anonymous=guest.actor
        )
        assert (await accounts.refusal(member, token))[0] == "BAD_USER_INPUT"
    merges = "select count(*) from guest_merges where guest_id = $1"
    assert await accounts.owner.fetchval(merges, guest.user_id) == 0


async def test_of_signing_up_and_merging_at_once_one_happens(accounts: Accounts) -> None:
    for _ in range(4):
        guest, member = await accounts.guest(), await accounts.member()
        signed_up, merged = await asyncio.gather(
            accounts.services.accounts.sign_up(
                f"{uuid4()}@example.test", PASSWORD, anonymous=guest.actor
            ),
            accounts.merge(member, guest.refresh_token),
            return_exceptions=True,
        )
        assert isinstance(merged, dict), merged
        assert isinstance(signed_up, SignedIn) is (merged["merged"] is None), signed_up
        await accounts.sound(guest, member)


async def test_merging_gives_way_to_who_locks_the_account_first(accounts: Accounts) -> None:
    """As signing up does, which then wants the wallet that the merge holds."""
    guest, member = await accounts.guest(), await accounts.member()
    async with accounts.owner.transaction():
        await accounts.owner.execute(
            "update users set updated_at = now() where id = $1", guest.user_id
        )
        merging = asyncio.create_task(accounts.merge(member, guest.refresh_token))
        async with asyncio.timeout(5):
            while not await accounts.owner.fetchval(WAITING):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await accounts.owner.execute("select app.lock_wallet($1)", guest.user_id)
    assert (await merging)["errors"] == []


@pytest.mark.parametrize(("had", "has_then"), [(True, 10), (False, 10)])
async def test_many_guests_bring_no_more_than_one_bonus(
    accounts: Accounts, database: Database, settings: Settings, had: bool, has_then: int
) -> None:
    """Whoever had the bonus gets none of theirs; whoever is owed it, no more than that."""
    budget = settings.model_copy(update={"sign_up_bonuses_per_hour": 10 if had else 0})
    opening = make_services(budget, database, open_storage(settings), accounts.services.hub._bus)
    member = await opening.accounts.sign_up(
        f"{uuid4()}@example.test", PASSWORD, network=str(uuid4())
    )
    opening.passwords.close()
    assert (member.bonus_credits, had) in ((10, True), (0, False))
    for _ in range(8):
        guest = await accounts.guest()
        assert guest.bonus_credits == 3
        assert (await accounts.merge(member, guest.refresh_token))["errors"] == []
    assert await accounts.ledger.wallet(member.actor) == (has_then, 0)
    await accounts.sound(member, guest)


async def test_what_the_guest_used_of_the_bonus_counts_as_the_members(
    accounts: Accounts, database: Database
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    spent = await accounts.ledger.spend(guest.actor, 2)
    # A member who has had no bonus yet, as before an address is confirmed.
    await accounts.owner.execute(
        "update credit_grants set source = 'ADMIN' where user_id = $1", member.user_id
    )
    await accounts.merge(member, guest.refresh_token)
    assert await accounts.ledger.wallet(member.actor) == (11, 0)
    async with database.transaction(SERVICE) as transaction:
        assert await operations.grant_sign_up_bonus(transaction, member.user_id) == 7
        assert await operations.grant_sign_up_bonus(transaction, member.user_id) == 0
    # What is refunded of it is bonus again, and all that is owed was given.
    await accounts.ledger.refund(spent)
    assert await accounts.ledger.wallet(member.actor) == (18, 0)
    assert await accounts.ledger.wallet(guest.actor) == (0, 0)
    await accounts.sound(guest, member)


async def test_credits_that_come_to_the_guest_later_go_on_to_the_member(
    accounts: Accounts,
) -> None:
    guest, member, giver = await accounts.guest(), await accounts.member(), await accounts.member()
    await accounts.ledger.grant(guest.actor, 6, "PURCHASE")
    spent = await accounts.ledger.spend(guest.actor, 9)
    await accounts.merge(member, guest.refresh_token)
    assert await accounts.ledger.wallet(member.actor) == (10, 0)
    await accounts.ledger.refund(spent, 6)
    await accounts.ledger.transfer(giver.actor, guest.actor, 4)
    await accounts.ledger.grant(guest.actor, 5, "REFERRAL")
    assert await accounts.ledger.wallet(member.actor) == (25, 0)
    assert await accounts.ledger.wallet(guest.actor) == (0, 0)
    await accounts.sound(guest, member, giver)


async def test_what_a_guest_wrote_late_follows(accounts: Accounts, database: Database) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.merge(member, guest.refresh_token)
    late = await accounts.ask(PROFILE, actor=guest.actor)
    assert late["data"]["createProfile"]["profile"] is not None
    await settle_merges(database)
    whose = "select count(*) from profiles where user_id = $1"
    assert await accounts.owner.fetchval(whose, member.user_id) == 0
    await accounts.owner.execute(
        "update guest_merges set merged_at = now() - interval '3 minutes' where guest_id = $1",
        guest.user_id,
    )
    await settle_merges(database)
    assert await accounts.owner.fetchval(whose, member.user_id) == 1
    assert await accounts.owner.fetchval(
        "select settled_at is not null from guest_merges where guest_id = $1", guest.user_id
    )


async def test_both_accounts_note_it(accounts: Accounts, database: Database) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await accounts.merge(member, guest.refresh_token)
    rows = await accounts.owner.fetch(
        "select user_id, action, detail from audit_log where user_id = any ($1)"
        " and action <> 'sign_up' order by id",
        [guest.user_id, member.user_id],
    )
    assert [(row["user_id"], row["action"], row["detail"]) for row in rows] == [
        (guest.user_id, "merged", f'{{"into": "user_{member.user_id}"}}'),
        (member.user_id, "merge_guest", f'{{"guest": "user_{guest.user_id}"}}'),
    ]


async def test_a_locked_member_keeps_their_guest(
    accounts: Accounts, owner: asyncpg.Connection
) -> None:
    guest, member = await accounts.guest(), await accounts.member()
    await lock(owner, member.user_id)
    with pytest.raises(DomainError) as refused:
        await accounts.services.of(Guests.of).merge(member.actor, guest.refresh_token)
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
    assert (await accounts.services.accounts.refresh(guest.refresh_token)).user_id == guest.user_id
