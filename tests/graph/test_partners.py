"""Partners through the API: asking, answering, what both see, and what ends with a connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor

from ..conftest import MakeUser
from .conftest import Ask

REQUEST = "request { id email status isExpired } errors { code path message }"
CALLS = {
    "request": f"mutation($e: String!) {{ answer: requestPartner(input: {{email: $e}}) {{ {REQUEST} }} }}",
    **{
        name: f"mutation($id: ID!) {{ answer: {field}(input: {{{key}: $id}}) {{ {selected} }} }}"
        for name, field, key, selected in (
            ("accept", "acceptPartner", "requestId", REQUEST),
            ("decline", "declinePartner", "requestId", REQUEST),
            ("cancel", "cancelPartnerRequest", "requestId", REQUEST),
            ("reconnect", "reconnectPartner", "partnerId", REQUEST),
            ("disconnect", "disconnectPartner", "partnerId", "partner { status } errors { code }"),
            ("remove", "removePartner", "partnerId", "errors { code }"),
            ("block", "blockPartner", "partnerId", "errors { code }"),
        )
    },
    "declineAndBlock": f"""mutation($id: ID!) {{
      answer: declinePartner(input: {{requestId: $id, block: true}}) {{ {REQUEST} }} }}""",
    "share": """mutation($id: ID!, $level: SharingLevel!) {
      answer: setSharing(input: {partnerId: $id, level: $level}) {
        partner { sharing shared } errors { code } } }""",
    "see": """{ answer: viewer {
      partners { nodes { id displayName status sharing shared } }
      partnerRequests { nodes { id status } } sentPartnerRequests { nodes { id status email } } } }""",
}


def email(actor: Actor) -> str:
    """The address that `make_user` gives."""
    return f"{actor.user_id}@example.test"


class Two:
    """Two people with addresses, who ask and answer."""

    def __init__(self, ask: Ask, owner: asyncpg.Connection, ada: Actor, bob: Actor) -> None:
        self.ask, self.owner, self.ada, self.bob = ask, owner, ada, bob

    async def __call__(self, call: str, actor: Actor, /, **variables: Any) -> Any:
        answer = await self.ask(CALLS[call], variables, actor=actor)
        assert "errors" not in answer, answer
        return answer["data"]["answer"]

    async def codes(self, call: str, actor: Actor, /, **variables: Any) -> list[str]:
        return [error["code"] for error in (await self(call, actor, **variables))["errors"]]

    async def requested(self, one: Actor, other: Actor) -> Any:
        answer = await self("request", one, e=email(other))
        assert answer["errors"] == []
        await self.deliver(answer["request"])
        return answer["request"]

    async def deliver(self, request: Any) -> None:
        """Does the job that tells whoever has the address."""
        key = UUID(request["id"].partition("_")[2])
        await self.owner.execute("select app.deliver_partner_request($1)", key)

    async def connected(self) -> tuple[str, str]:
        """Connects the two; the id of each one's row of the other."""
        request = await self.requested(self.ada, self.bob)
        assert await self.codes("accept", self.bob, id=request["id"]) == []
        return await self.partner(self.ada), await self.partner(self.bob)

    async def partner(self, actor: Actor) -> str:
        (partner,) = (await self("see", actor))["partners"]["nodes"]
        return str(partner["id"])


@pytest.fixture
async def two(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> Two:
    return Two(ask, owner, await make_user(), await make_user())


async def test_known_and_unknown_addresses_and_who_blocked_look_the_same(two: Two) -> None:
    _, of_ada = await two.connected()
    assert await two.codes("block", two.bob, id=of_ada) == []
    blocked = await two.requested(two.ada, two.bob)
    unknown = (await two("request", two.ada, e=f"{uuid4()}@example.test"))["request"]
    await two.deliver(unknown)
    await two.deliver(unknown)
    known = await two.requested(two.bob, two.ada)
    for answer in (blocked, unknown, known):
        assert (answer["status"], answer["isExpired"]) == ("PENDING", False)
    # Nothing but the request that connected them has reached who blocked.
    reached = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert [one["status"] for one in reached] == ["ACCEPTED"]
    mails = await two.owner.fetchval(
        "select count(*) from emails where template = 'partner_request' and recipient = $1",
        unknown["email"],
    )
    assert mails == 1


async def test_accepting_connects_both_and_tells_who_asked(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    assert (await two("see", two.bob))["partnerRequests"]["nodes"][0]["id"] == request["id"]
    assert await two.codes("accept", two.ada, id=request["id"]) == ["NOT_FOUND"]
    accepted = await two("accept", two.bob, id=request["id"])
    assert accepted["request"]["status"] == "ACCEPTED"
    for actor in (two.ada, two.bob):
        (partner,) = (await two("see", actor))["partners"]["nodes"]
        shown = [partner[name] for name in ("status", "sharing", "shared")]
        assert shown == ["CONNECTED", "OVERLAPPING", "OVERLAPPING"]
    titles = "select title_key from notifications where user_id = $1"
    assert await two.owner.fetchval(titles, two.bob.user_id) == "notifications.partnerRequest.title"
    assert (
        await two.owner.fetchval(titles, two.ada.user_id) == "notifications.partnerAccepted.title"
    )
    assert await two.codes("request", two.ada, e=email(two.bob)) == ["BAD_USER_INPUT"]


async def test_requests_in_both_directions_at_once_make_one_connection(two: Two) -> None:
    answers = await asyncio.gather(
        two("request", two.ada, e=email(two.bob)), two("request", two.bob, e=email(two.ada))
    )
    assert [answer["errors"] for answer in answers] == [[], []]
    one, other = (answer["request"] for answer in answers)
    await two.deliver(one)
    assert {one["status"], other["status"]} == {"PENDING", "ACCEPTED"}
    assert one["id"] == other["id"]
    for actor in (two.ada, two.bob):
        assert len((await two("see", actor))["partners"]["nodes"]) == 1


@pytest.mark.parametrize(("call", "status"), [("decline", "DECLINED"), ("cancel", "CANCELLED")])
async def test_a_request_ends_once(two: Two, call: str, status: str) -> None:
    request = await two.requested(two.ada, two.bob)
    actor = two.ada if call == "cancel" else two.bob
    for _ in range(2):
        answer = await two(call, actor, id=request["id"])
        assert (answer["request"]["status"], answer["errors"]) == (status, [])
    other = {"decline": "cancel", "cancel": "decline"}[call]
    ended = await two.codes(other, two.bob if actor is two.ada else two.ada, id=request["id"])
    assert ended == ["NOT_FOUND"]
    assert await two.codes("accept", two.bob, id=request["id"]) == ["NOT_FOUND"]


async def test_who_declines_may_block_a_stranger(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    declined = await two("declineAndBlock", two.bob, id=request["id"])
    assert declined["request"]["status"] == "DECLINED"
    again = await two.requested(two.ada, two.bob)
    assert again["status"] == "PENDING", "who is blocked is not told"
    received = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert [one["id"] for one in received] == [request["id"]]


async def test_who_asks_again_and_again_wakes_nobody(two: Two) -> None:
    for _ in range(5):
        request = await two.requested(two.ada, two.bob)
        await two("cancel", two.ada, id=request["id"])
    told = await two.owner.fetchval(
        "select count(*) from notifications where user_id = $1", two.bob.user_id
    )
    assert told == 3
    assert len((await two("see", two.bob))["partnerRequests"]["nodes"]) == 5


async def test_a_request_is_open_for_five_minutes_by_the_database(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    key = UUID(request["id"].partition("_")[2])
    lasts = "select extract(epoch from expires_at - created_at) from partner_requests where id = $1"
    assert 300 <= await two.owner.fetchval(lasts, key) < 301
    assert (await two.requested(two.ada, two.bob))["id"] == request["id"]
    await two.owner.execute(
        "update partner_requests set expires_at = clock_timestamp() where id = $1", key
    )
    assert await two.codes("accept", two.bob, id=request["id"]) == ["NOT_FOUND"]
    again = await two.requested(two.ada, two.bob)
    assert again["id"] != request["id"]
    sent = (await two("see", two.ada))["sentPartnerRequests"]["nodes"]
    assert [one["status"] for one in sent] == ["PENDING", "EXPIRED"]


async def test_sharing_and_disconnecting_concern_both(two: Two) -> None:
    of_bob, of_ada = await two.connected()
    changed = await two("share", two.ada, id=of_bob, level="ALL")
    assert changed["partner"] == {"sharing": "ALL", "shared": "OVERLAPPING"}
    (partner,) = (await two("see", two.bob))["partners"]["nodes"]
    assert (partner["sharing"], partner["shared"]) == ("OVERLAPPING", "ALL")
    assert await two.codes("share", two.bob, id=of_bob, level="ALL") == ["NOT_FOUND"]
    assert (await two("disconnect", two.bob, id=of_ada))["partner"] == {"status": "DISCONNECTED"}
    # What is set meanwhile counts when they are connected again, but for more than the default.
    assert await two.codes("share", two.ada, id=of_bob, level="ALL") == []
    again = (await two("reconnect", two.ada, id=of_bob))["request"]
    await two.deliver(again)
    assert await two.codes("accept", two.bob, id=again["id"]) == []
    (partner,) = (await two("see", two.bob))["partners"]["nodes"]
    # Who connects again shares the default again.
    assert (partner["status"], partner["shared"]) == ("CONNECTED", "OVERLAPPING")


async def test_coming_back_shows_no_more_than_before_and_no_address(two: Two) -> None:
    of_bob, of_ada = await two.connected()
    await two("share", two.ada, id=of_bob, level="DEMOGRAPHICS")
    await two("disconnect", two.bob, id=of_ada)
    await two.owner.execute(
        "update users set email = 'moved.' || email, email_key = 'moved.' || email_key where id = $1",
        two.ada.user_id,
    )
    again = (await two("reconnect", two.bob, id=of_ada))["request"]
    sent = (await two("see", two.bob))["sentPartnerRequests"]["nodes"]
    assert [one["email"] for one in sent if one["id"] == again["id"]] == [None]
    await two.deliver(again)
    mailed = await two.owner.fetchval(
        "select count(*) from emails where template = 'partner_request' and user_id = $1"
        " and recipient like 'moved.%'",
        two.ada.user_id,
    )
    assert mailed == 1
    assert await two.codes("accept", two.ada, id=again["id"]) == []
    (partner,) = (await two("see", two.bob))["partners"]["nodes"]
    assert (partner["status"], partner["shared"]) == ("CONNECTED", "DEMOGRAPHICS")


async def test_ten_partners_are_kept_and_who_is_dropped_is_disconnected(two: Two) -> None:
    of_bob, _ = await two.connected()
    await two.owner.execute(
        "update partners set last_used_at = now() - interval '1 day' where user_id = $1",
        two.ada.user_id,
    )
    await two.owner.execute(
        "with made as (insert into users (email, email_key) select k, k from"
        " (select gen_random_uuid() || '@more.test' from generate_series(1, 10)) n(k) returning id)"
        " select app.connect_partners($1, id) from made",
        two.ada.user_id,
    )
    nodes = (await two("see", two.ada))["partners"]["nodes"]
    assert len(nodes) == 10
    assert of_bob not in [node["id"] for node in nodes]
    (left,) = (await two("see", two.bob))["partners"]["nodes"]
    assert left["status"] == "DISCONNECTED"


async def test_whom_one_forgets_is_off_the_list(two: Two) -> None:
    of_bob, _ = await two.connected()
    assert await two.codes("remove", two.ada, id=of_bob) == []
    assert await two.codes("remove", two.ada, id=of_bob) == ["NOT_FOUND"]
    assert (await two("see", two.ada))["partners"]["nodes"] == []


WORK = """
select relname || '.' || of.what as name, of.times from pg_stat_xact_all_tables t,
    lateral (values ('seq_scan', seq_scan), ('idx_scan', idx_scan), ('inserted', n_tup_ins),
        ('updated', n_tup_upd), ('deleted', n_tup_del)) of (what, times)
where schemaname not like 'pg_%' and of.times is not null
"""


async def test_asking_takes_the_same_work_for_every_address(two: Two, make_user: MakeUser) -> None:
    _, of_ada = await two.connected()
    assert await two.codes("block", two.bob, id=of_ada) == []
    addresses = {
        "known": email(await make_user()),
        "blocked": email(two.bob),
        "unknown": f"{uuid4()}@example.test",
    }

    async def counted() -> Counter[str]:
        rows = await two.owner.fetch(WORK)
        return Counter({row["name"]: row["times"] for row in rows})

    async def work(address: str) -> Counter[str]:
        """What asking reads and writes of each table, in a transaction that is undone."""
        transaction = two.owner.transaction()
        await transaction.start()
        await two.owner.execute("select set_config('app.user_id', $1, true)", str(two.ada.user_id))
        before = await counted()
        await two.owner.fetchval("select app.request_partner($1, $1, null)", address)
        found = (await counted()) - before
        await transaction.rollback()
        return found

    found = {name: await work(address) for name, address in addresses.items()}
    assert found["known"] == found["unknown"] == found["blocked"]
    written = {name for name in found["known"] if name.endswith(".inserted")}
    assert written >= {"partner_requests.inserted", "pgqueuer.inserted"}
    assert not {"notifications.inserted", "emails.inserted"} & written
