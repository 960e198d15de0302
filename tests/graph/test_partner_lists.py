"""The lists of partners: ten of them, under which name, and whom one has blocked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.exporting import condition_of, export_of
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.leaving.archives import exported_tables
from db.partners.tables import PartnerRequest

from ..attuned import SURVEY, onboard
from ..conftest import MakeUser
from ..jobs.helpers import eventually
from ..sharing import submit
from .asking import an_address
from .conftest import Ask
from .test_partners import Two, email

BLOCKED = "{ answer: viewer { blockedPartners { nodes { id displayName } } } }"
UNBLOCK = """mutation($id: ID!) { answer: unblockPartner(input: {blockId: $id}) { errors { code }
  viewer { blockedPartners { nodes { id } } } } }"""
CONNECT_MORE = """
with made as (insert into users (email, email_key) select k, k from
    (select gen_random_uuid() || '@more.test' from generate_series(1, $2)) n(k) returning id)
select app.connect_partners($1, id) from made
"""
NAMED = "update users set display_name = $2 where id = $1"
CALLED = "update demographics set name = $2 where user_id = $1"
TOLD = """
select data ->> 'name' from notifications where user_id = $1 and title_key = 'notifications.' || $2 || '.title'
order by id desc
"""


@pytest.fixture
async def two(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> Two:
    return Two(ask, owner, await make_user(), await make_user())


async def told(two: Two, actor: Actor, what: str) -> list[str]:
    """The names in the notifications of a kind that somebody had."""
    return [row[0] for row in await two.owner.fetch(TOLD, actor.user_id, what)]


async def test_ten_are_kept_however_many_are_accepted_at_once(
    two: Two, make_user: MakeUser
) -> None:
    requests = [await two.requested(await make_user(), two.ada) for _ in range(13)]
    answers = await asyncio.gather(
        *(two("accept", two.ada, id=request["id"]) for request in requests)
    )
    assert [answer["errors"] for answer in answers] == [[]] * 13
    nodes = (await two("see", two.ada))["partners"]["nodes"]
    assert [node["status"] for node in nodes] == ["CONNECTED"] * 10
    left = await two.owner.fetchval(
        "select count(*) from partners where partner_id = $1 and status = 'CONNECTED'",
        two.ada.user_id,
    )
    assert left == 10
    assert len(await told(two, two.ada, "partnerDropped")) == 3


async def test_who_is_not_connected_goes_first_and_who_is_is_told(two: Two) -> None:
    of_bob, _ = await two.connected()
    await two.owner.execute(NAMED, two.ada.user_id, "Ada")
    await two.owner.execute(CONNECT_MORE, two.ada.user_id, 9)
    await two.owner.execute(
        "update partners set status = 'DISCONNECTED' where user_id = $1 and id::text <> $2",
        two.ada.user_id,
        of_bob.partition("_")[2],
    )

    async def has_bob() -> bool:
        nodes = (await two("see", two.ada))["partners"]["nodes"]
        assert len(nodes) == 10
        return of_bob in [node["id"] for node in nodes]

    await two.owner.execute(CONNECT_MORE, two.ada.user_id, 9)
    assert await has_bob()
    assert await told(two, two.ada, "partnerDropped") == []
    await two.owner.execute(CONNECT_MORE, two.ada.user_id, 1)
    assert not await has_bob()
    assert await told(two, two.bob, "partnerDropped") == ["Ada"]
    assert len(await told(two, two.ada, "partnerDropped")) == 1


@pytest.mark.parametrize("how", ["disconnect", "remove", "block", "connected"])
async def test_names_are_followed_while_two_are_connected(two: Two, how: str) -> None:
    await two.owner.execute(NAMED, two.ada.user_id, "Ada")
    await onboard(two.owner, two.ada.user_id)
    of_bob, _ = await two.connected()
    if how != "connected":
        assert await two.codes(how, two.ada, id=of_bob) == []
    await two.owner.execute(NAMED, two.ada.user_id, "Adele")
    (partner,) = (await two("see", two.bob))["partners"]["nodes"]
    assert partner["displayName"] == ("Adele" if how == "connected" else "Ada")


async def test_a_name_of_the_demographics_is_one_too(two: Two) -> None:
    await onboard(two.owner, two.ada.user_id)
    await two.owner.execute(CALLED, two.ada.user_id, "Ada")
    await two.requested(two.ada, two.bob)
    assert await told(two, two.bob, "partnerRequest") == ["Ada"]
    (received,) = await two.owner.fetch(
        "select requester_name from partner_requests where requester_id = $1", two.ada.user_id
    )
    assert received["requester_name"] == "Ada"


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("Ada", True),
        ("Ада Лавлейс", True),
        ("Dr. Ada", True),
        ("阿达", True),
        ("Tallygraph: your account is locked", False),
        ("evil.example", False),
        ("evil。example", False),
        ("go to evil/path", False),
        ("ada@evil", False),
        ("x" * 41, False),
        ("", False),
    ],
)
async def test_who_is_asked_by_a_stranger_reads_no_link(two: Two, name: str, is_told: bool) -> None:
    await two.owner.execute(NAMED, two.ada.user_id, name)
    await two.requested(two.ada, two.bob)
    assert await told(two, two.bob, "partnerRequest") == [name if is_told else email(two.ada)]


async def test_whoever_asked_is_told_of_a_decline_once(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    for _ in range(2):
        await two("declineAndBlock", two.bob, id=request["id"])
    assert await told(two, two.ada, "partnerDeclined") == [email(two.bob)]


async def test_accepting_again_answers_the_same_while_they_are_connected(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    first, again = [await two("accept", two.bob, id=request["id"]) for _ in range(2)]
    assert first == again
    assert first["request"]["status"] == "ACCEPTED"
    assert len(await told(two, two.ada, "partnerAccepted")) == 1
    await two("disconnect", two.bob, id=await two.partner(two.bob))
    assert await two.codes("accept", two.bob, id=request["id"]) == ["NOT_FOUND"]


async def test_a_request_that_expired_stays_expired(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    see = "{ answer: viewer { sentPartnerRequests { nodes { status isExpired } } } }"
    for change in ("expires_at = clock_timestamp()", "status = 'EXPIRED', ended_at = expires_at"):
        await two.owner.execute(
            f"update partner_requests set {change} where requester_id = $1", two.ada.user_id
        )
        answer = await two.ask(see, actor=two.ada)
        (found,) = answer["data"]["answer"]["sentPartnerRequests"]["nodes"]
        assert found["isExpired"], (request, change)


async def test_whom_one_has_blocked_is_listed_and_can_be_unblocked(two: Two) -> None:
    await two.owner.execute(NAMED, two.ada.user_id, "Ada")
    _, of_ada = await two.connected()
    assert await two.codes("block", two.bob, id=of_ada) == []

    async def blocked(actor: Actor) -> Any:
        answer = await two.ask(BLOCKED, actor=actor)
        return answer["data"]["answer"]["blockedPartners"]["nodes"]

    (block,) = await blocked(two.bob)
    assert block["displayName"] == "Ada"
    assert await blocked(two.ada) == []
    foreign = await two.ask(UNBLOCK, {"id": block["id"]}, actor=two.ada)
    assert foreign["data"]["answer"]["errors"] == [{"code": "NOT_FOUND"}]
    done = await two.ask(UNBLOCK, {"id": block["id"]}, actor=two.bob)
    assert done["data"]["answer"] == {
        "errors": [],
        "viewer": {"blockedPartners": {"nodes": []}},
    }
    request = await two.requested(two.ada, two.bob)
    received = (await two("see", two.bob))["partnerRequests"]["nodes"]
    assert request["id"] in [one["id"] for one in received]


CHANGES = """
select change from events where topic = 'partner_request.changed' and user_id = $1 order by id
"""


async def test_a_request_is_new_to_whom_it_is_brought(two: Two) -> None:
    request = await two.requested(two.ada, two.bob)
    await two("decline", two.bob, id=request["id"])

    async def seen(actor: Actor) -> list[str]:
        return [row[0] for row in await two.owner.fetch(CHANGES, actor.user_id)]

    assert await seen(two.bob) == ["INSERT", "UPDATE"]
    assert await seen(two.ada) == ["INSERT", "UPDATE", "UPDATE"]


EDITS = {
    "demographics": 'select app.update_demographics(\'{"gender": "MAN"}\')',
    "boundary": "select app.set_boundary('B3a', 'HARD')",
    "survey": "select app.make_survey_profile($1, $2)",
}
SCORES = """{"power_orientation": "TOP", "power_confidence": 0.5, "power_level": "LOW", "top_percent": 50,
  "archetypes": ["EXPLORER"], "is_balanced": false, "tags": [], "domains": [], "measures": [], "boundaries": {}}"""


EVENTS = "select count(*) from events where topic = 'partners.changed' and user_id = $1"


@pytest.mark.parametrize("edit", sorted(EDITS))
async def test_edits_of_what_is_shown_are_live(two: Two, edit: str) -> None:
    await onboard(two.owner, two.ada.user_id)
    of_bob, _ = await two.connected()
    run = await two.owner.fetchval(
        "insert into survey_runs (user_id, survey_id, form) values ($1, $2, 'FULL') returning id",
        two.ada.user_id,
        SURVEY,
    )
    told = {}
    for level in ("DEMOGRAPHICS", "OVERLAPPING", "ALL"):
        await two("share", two.ada, id=of_bob, level=level)
        transaction = two.owner.transaction()
        await transaction.start()
        await two.owner.execute("select set_config('app.user_id', $1, true)", str(two.ada.user_id))
        await two.owner.execute(EDITS[edit], *((run, SCORES) if edit == "survey" else ()))
        told[level] = await two.owner.fetchval(
            "select count(*) > 0 from events where topic = 'partners.changed' and user_id = $1"
            " and snapshot ->> 'shared_changed_at' is not null",
            two.bob.user_id,
        )
        await transaction.rollback()
    assert [level for level in told if told[level]] == {
        "demographics": ["DEMOGRAPHICS", "OVERLAPPING", "ALL"],
        "boundary": ["ALL"],
        "survey": ["OVERLAPPING", "ALL"],
    }[edit]


COMPARED = """select app.store_comparison($1, $2, (select jsonb_object_agg(u, jsonb_build_object('own_profile_id', p.id,
    'partner_profile_id', p.id, 'score', $3::integer, 'word', 'HIGH', 'parts', '[]'::jsonb, 'items', '[]'::jsonb,
    'conflicts', '[]'::jsonb)) from unnest(array[$1::uuid, $2::uuid]) u, survey_profiles p where p.current_of = $1::uuid))"""


AGED = "update compatibilities set created_at = created_at - make_interval(days => $1) where user_id = $2"
SCORE = "select score from compatibilities where user_id = $1"
WAITED_FOR = "select exists (select from pg_locks where $1 = any (pg_blocking_pids(pid)))"
QUEUED = "select count(*) from queue.pgqueuer where entrypoint = 'compare_partners'"


async def test_who_is_shown_the_score_alone_is_told_when_that_changes(two: Two) -> None:
    await onboard(two.owner, two.ada.user_id)
    of_bob, _ = await two.connected()
    await submit(two.owner, two.ada.user_id, {}, 1)
    told = []
    for level, score, days in [
        ("DEMOGRAPHICS", 70, 0),
        ("DEMOGRAPHICS", 70, 0),
        ("DEMOGRAPHICS", 71, 0),
        ("DEMOGRAPHICS", 71, 1),
        ("OVERLAPPING", 72, 0),
        ("OVERLAPPING", 73, 0),
        ("DEMOGRAPHICS", 74, 0),
    ]:
        await two("share", two.ada, id=of_bob, level=level)
        before = await two.owner.fetchval(EVENTS, two.bob.user_id)
        await two.owner.execute(AGED, days, two.bob.user_id)
        await two.owner.execute(COMPARED, two.ada.user_id, two.bob.user_id, score)
        events = await two.owner.fetchval(EVENTS, two.bob.user_id) - before
        shown = await two.owner.fetchval(SCORE, two.bob.user_id)
        told.append((events, shown))
    # A score that is shown alone is kept for a day: one answer after the other would be read off it.
    assert told == [(1, 70), (0, 70), (0, 70), (1, 71), (1, 72), (1, 73), (0, 73)]


async def test_a_new_profile_leaves_a_score_that_is_shown_alone(two: Two) -> None:
    await onboard(two.owner, two.ada.user_id)
    of_bob, _ = await two.connected()
    await two("share", two.ada, id=of_bob, level="DEMOGRAPHICS")
    for person in (two.ada, two.bob):
        await submit(two.owner, person.user_id, {}, 1)
    await two.owner.execute(COMPARED, two.ada.user_id, two.bob.user_id, 70)
    await submit(two.owner, two.bob.user_id, {}, 2)
    await submit(two.owner, two.ada.user_id, {}, 2)
    await two.owner.execute("select app.compare_with_partners($1)", two.bob.user_id)
    assert await two.owner.fetchval(SCORE, two.bob.user_id) == 70
    assert await two.owner.fetchval(SCORE, two.ada.user_id) is None, "she is shown what it is of"


async def test_a_comparison_waits_for_a_new_profile_and_not_the_other_way_round(
    two: Two, cluster: EmbeddedDatabase
) -> None:
    await onboard(two.owner, two.ada.user_id)
    await two.connected()
    for person in (two.ada, two.bob):
        await submit(two.owner, person.user_id, {}, 1)
    await two.owner.execute(COMPARED, two.ada.user_id, two.bob.user_id, 70)
    submitting = await asyncpg.connect(cluster.owner_url)
    async with submitting.transaction():
        await submitting.execute("set local lock_timeout = '5s'")
        await submit(submitting, two.ada.user_id, {}, 2)
        comparing = asyncio.create_task(
            two.owner.execute(COMPARED, two.ada.user_id, two.bob.user_id, 71)
        )
        mine = submitting.get_server_pid()
        await eventually(lambda: submitting.fetchval(WAITED_FOR, mine), 10)
        await submitting.execute("select app.tell_partners($1, 'OVERLAPPING')", two.ada.user_id)
        await submitting.execute("select app.compare_with_partners($1)", two.ada.user_id)
    await comparing
    await submitting.close()
    assert await two.owner.fetchval(SCORE, two.bob.user_id) == 71


async def test_what_a_score_is_made_of_is_shown_with_the_score_of_now(two: Two) -> None:
    await onboard(two.owner, two.ada.user_id)
    of_bob, _ = await two.connected()
    queued = []
    for level in ("DEMOGRAPHICS", "OVERLAPPING", "ALL"):
        before = await two.owner.fetchval(QUEUED)
        await two("share", two.ada, id=of_bob, level=level)
        queued.append(await two.owner.fetchval(QUEUED) - before)
    assert queued == [0, 1, 0]


async def test_the_archive_has_requests_of_both_sides(two: Two) -> None:
    await two.requested(two.ada, two.bob)
    export = export_of(PartnerRequest.access, PartnerRequest.export)
    assert export is not None
    met = condition_of(PartnerRequest.access, export)
    for actor in (two.ada, two.bob):
        found = await two.owner.fetchval(
            f"select count(*) from partner_requests t where {met}", actor.user_id
        )
        assert found == 1


async def test_the_archive_does_not_say_which_addresses_have_an_account(
    two: Two, database: Database, make_user: MakeUser
) -> None:
    other = await make_user()
    _, of_ada = await two.connected()
    assert await two.codes("block", two.bob, id=of_ada) == []
    for address in (email(two.bob), email(other), an_address()):
        await two.deliver((await two("request", two.ada, e=address))["request"])
    table = next(one for one in exported_tables() if one.table.name == "partner_requests")
    async with database.transaction(two.ada) as transaction:
        rows = await transaction.connection.fetch(table.page(is_first=True), two.ada.user_id)
    found = [json.loads(row["row_text"]) for row in rows]
    theirs = {"id", "email", "created_at", "expires_at"}
    pending = [
        {name: value for name, value in row.items() if name not in theirs}
        for row in found
        if row["status"] == "PENDING"
    ]
    assert (
        pending
        == [
            {
                "requester_id": str(two.ada.user_id),
                "requester_name": None,
                "status": "PENDING",
                "ended_at": None,
            }
        ]
        * 3
    )
