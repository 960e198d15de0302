"""Events of groups: each member is given each change once, and nothing after having left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from graph.live import event_log
from graph.live.access import AccessWatch
from graph.live.audiences import Topics
from graph.live.bus import WakeBus
from graph.live.hub import EventHub
from tests.graph.live.deployment import Deployment, running
from tests.graph.live.groups.tables import Tables
from tests.graph.live.groups.watching import (
    LETTERS,
    NOTES,
    POSTERS,
    REMARKS,
    SECRETS,
    MakeTeam,
    Stream,
    settle,
    watching,
)


async def test_who_joins_leaves_and_comes_back_is_shown_what_happens_meanwhile(
    stream: Callable[..., Stream], make_team: MakeTeam, make_user: Any, hub: EventHub
) -> None:
    stays, comes = await make_user(), await make_user()
    team, other = await make_team(stays), await make_team(comes)
    of_stays, of_comes = stream(stays, NOTES, past=True), stream(comes, NOTES)
    async with watching(of_stays, of_comes):
        await team.note("before")
        hub.wake()
        await of_stays.until("before")
        await team.join(comes)
        await team.note("joined")
        hub.wake()
        await of_comes.until("joined")
        await team.change(comes, status="INVITED")
        await team.note("not active")
        hub.wake()
        await of_stays.until("before", "joined", "not active")
        await team.change(comes, status="ACTIVE")
        await team.note("active")
        hub.wake()
        await of_comes.until("joined", "active")
        await team.leave(comes)
        await team.note("left")
        await other.note("elsewhere")
        hub.wake()
        await of_comes.until("joined", "active", "elsewhere")
        await of_stays.until("before", "joined", "not active", "active", "left")


async def test_only_roles_that_may_read_a_row_are_told_of_it(
    stream: Callable[..., Stream], make_team: MakeTeam, make_user: Any, hub: EventHub
) -> None:
    owner, viewer = await make_user(), await make_user()
    team = await make_team(owner, role="owner")
    await team.join(viewer, "viewer")
    of_owner, of_viewer = stream(owner, SECRETS, past=True), stream(viewer, SECRETS)
    async with watching(of_owner, of_viewer):
        made = await team.secret("for owners")
        hub.wake()
        await of_owner.until("for owners")
        await team.change(viewer, role="admin")
        await team.secret("for admins")
        hub.wake()
        await of_viewer.until("for admins")
        await team.change(viewer, role="viewer")
        await team.writer.execute("delete from secrets where id = $1", made)
        await team.secret("for owners again")
        hub.wake()
        expected = ("for owners", "for admins", f"gone secret_{made}", "for owners again")
        await of_owner.until(*expected)
        await team.change(viewer, role="owner")
        await team.secret("for both")
        hub.wake()
        await of_viewer.until("for admins", "for both")
        await of_owner.until(*expected, "for both")
        # What was missed comes as to whom one is now.
        again = stream(viewer, SECRETS, after=of_viewer.cursors[0])
        async with watching(again):
            await again.until(f"gone secret_{made}", "for owners again", "for both")


@pytest.mark.parametrize("change", ["DELETE", "INSERT"])
async def test_what_waits_for_a_slow_client_is_not_shown_to_who_has_left_meanwhile(
    engine: Engine, make_team: MakeTeam, make_user: Any, hub: EventHub, change: str
) -> None:
    leaves, stays = await make_user(), await make_user()
    team = await make_team(leaves, stays)
    made = await team.note("before")
    items = {
        user_id: Subscriber(engine, hub.subscribe, lambda one=user_id: Actor("authenticated", one))
        .stream(NOTES, {}, None)
        for user_id in (leaves, stays)
    }  # fmt: skip
    for stream in items.values():
        await anext(stream)
    if change == "DELETE":
        await team.writer.execute("delete from notes where id = $1", made)
    else:
        await team.note("waiting")
    await settle(hub, team.writer)
    await team.leave(leaves)
    await team.note("mine", leaves)
    await settle(hub, team.writer)
    shown = {}
    for user_id, stream in items.items():
        async with asyncio.timeout(10):
            shown[user_id] = orjson.loads((await anext(stream)).body)["data"]["notesChanged"]
        await stream.aclose()
    assert shown[leaves]["row"] == {"body": "mine"}
    first = shown[stays]
    assert (first["row"], first["deletedId"]) == (
        (None, f"note_{made}") if change == "DELETE" else ({"body": "waiting"}, None)
    )


async def test_who_is_in_two_audiences_is_shown_each_change_once(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    writer: asyncpg.Connection,
) -> None:
    both, member, owner, stranger = [await make_user() for _ in range(4)]
    team, other = await make_team(both, member), await make_team(stranger)
    people = (both, member, owner, stranger)
    streams = [stream(one, NOTES, past=past) for one in people for past in (False, True)]
    made: list[UUID] = []
    async with watching(*streams):
        async with writer.transaction():
            made += [await team.note(f"of both {number}", both) for number in range(3)]
            await team.note("of the owner", owner)
        await writer.execute("insert into notes (user_id, body) values ($1, 'alone')", both)
        await writer.execute("delete from notes where id = $1", made[0])
        await other.note("elsewhere")
        hub.wake()
        ours = [*(f"of both {number}" for number in range(3)), "of the owner"]
        gone = f"gone note_{made[0]}"
        expected = {
            both: [*ours, "alone", gone],
            member: [*ours, gone],
            owner: ["of the owner"],
            stranger: ["elsewhere"],
        }
        for one, user_id in zip(streams, [u for u in people for _ in range(2)], strict=True):
            await one.until(*expected[user_id])
    for one, user_id in zip(streams[::2], people, strict=True):
        for seen, cursor in enumerate(one.cursors, start=1):
            rest = expected[user_id][seen:]
            again = stream(user_id, NOTES, after=cursor)
            async with watching(again):
                await again.until(*rest)


async def test_what_was_missed_is_that_of_the_groups_one_is_in_now(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graph.live.hub.BACKLOG_ROWS", 2)
    user = await make_user()
    left, joined, kept = [await make_team(*members) for members in ((user,), (), (user,))]
    first = stream(user, NOTES)
    async with watching(first):
        await left.note("seen")
        hub.wake()
        await first.until("seen")
    for team in (left, joined, kept):
        for number in range(2):
            await team.note(f"{number}")
    await kept.note("mine and ours", user)
    await left.leave(user)
    await joined.join(user)
    await left.note("later", user)
    again = stream(user, NOTES, after=first.cursors[0])
    async with watching(again):
        await again.until("0", "1", "0", "1", "mine and ours", "later")
        await kept.note("live")
        hub.wake()
        await again.until("0", "1", "0", "1", "mine and ours", "later", "live")


async def test_the_two_of_a_pair_are_shown_what_they_share_until_they_part(
    stream: Callable[..., Stream], make_user: Any, hub: EventHub, writer: asyncpg.Connection
) -> None:
    one, other, stranger = [await make_user() for _ in range(3)]
    pair = await writer.fetchval(
        "insert into pairs (one_id, other_id, status) values ($1, $2, 'ACCEPTED') returning id",
        one,
        other,
    )
    streams = [stream(user_id, LETTERS) for user_id in (one, other, stranger)]

    async def write(body: str) -> None:
        await writer.execute("insert into letters (pair_id, body) values ($1, $2)", pair, body)
        hub.wake()

    async with watching(*streams):
        await write("hello")
        for shown in streams[:2]:
            await shown.until("hello")
        await writer.execute("update pairs set status = 'BLOCKED' where id = $1", pair)
        await write("alone")
        await settle(hub, writer)
        await writer.execute("update pairs set status = 'ACCEPTED' where id = $1", pair)
        await write("again")
        for shown in streams[:2]:
            await shown.until("hello", "again")
        await streams[2].until()


async def test_rows_that_belong_to_another_row_are_told_to_its_audiences(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    writer: asyncpg.Connection,
) -> None:
    owner, member, stranger = [await make_user() for _ in range(3)]
    team = await make_team(member)
    streams = [stream(user_id, REMARKS) for user_id in (owner, member, stranger)]
    async with watching(*streams):
        note = await team.note("note", owner)
        await writer.execute("insert into remarks (note_id, body) values ($1, 'remark')", note)
        hub.wake()
        for shown in streams[:2]:
            await shown.until("remark")
        await streams[2].until()


async def test_everybody_is_told_of_what_is_hidden_and_nobody_of_what_was_hidden_before(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    writer: asyncpg.Connection,
) -> None:
    member, stranger = await make_user(), await make_user()
    team = await make_team(member)
    streams = [
        stream(one, POSTERS, past=past) for one in (member, stranger, None) for past in (0, 1)
    ]
    async with watching(*streams):
        made = await writer.fetchval(
            "insert into posters (team_id, is_shown, body) values ($1, false, '1') returning id",
            team.id,
        )
        changes = ("body = '2'", "is_shown = true", "is_shown = false", "body = '3'")
        for change in (*changes, "is_shown = true"):
            await writer.execute(f"update posters set {change} where id = $1", made)
        hub.wake()
        for one in streams[:2]:
            await one.until("1", "2", "2", "2", "3", "3")
        for one in streams[2:]:
            await one.until("2", f"gone poster_{made}", "3")


async def test_a_stream_of_one_row_ends_with_the_membership_and_others_go_on(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    pool: Database,
) -> None:
    leaves, demoted, stays = [await make_user() for _ in range(3)]
    team = await make_team(leaves, stays, role="owner")
    await team.join(demoted, "admin")
    secret, note = await team.secret("secret"), await team.note("note", leaves)
    remark, of_all = [
        await team.writer.fetchval(
            "insert into remarks (note_id, body) values ($1, 'remark') returning id", about
        )
        for about in (note, await team.note("for all"))
    ]
    of_team = 'subscription { teamChanged(id: "team_%s") { row { body: name } deletedId } }'
    of_secret = 'subscription { secretChanged(id: "secret_%s") { row { body } deletedId } }'
    of_note = 'subscription { noteChanged(id: "note_%s") { cursor row { body } deletedId } }'
    of_remark = 'subscription { remarkChanged(id: "remark_%s") { cursor row { body } } }'
    ends = [
        stream(leaves, of_remark % of_all),
        stream(leaves, of_team % team.id),
        stream(leaves, of_secret % secret),
        stream(demoted, of_secret % secret),
    ]
    goes_on = [
        stream(leaves, of_remark % remark),
        stream(leaves, of_note % note),  # it is still theirs
        stream(demoted, of_team % team.id),
        stream(stays, of_secret % secret),
    ]
    access = AccessWatch(pool, hub, Tables.metadata)
    async with watching(*ends, *goes_on):
        await access.look()
        assert hub.subscription_count() == len(ends) + len(goes_on)
        await access.start()
        await team.leave(leaves)
        await team.change(demoted, role="viewer")
        for one in ends:
            async with asyncio.timeout(30):
                with pytest.raises(DomainError) as ended:
                    await one.task
            assert ended.value.code is ErrorCode.NOT_FOUND
        assert hub.subscription_count() == len(goes_on)
        await access.stop()


async def test_an_account_that_is_deleted_takes_its_snapshots_with_it(
    make_team: MakeTeam, make_user: Any, writer: asyncpg.Connection
) -> None:
    gone, stays = await make_user(), await make_user()
    team = await make_team(gone, stays)
    note = await team.note("private", gone)
    await writer.execute("delete from users where id = $1", gone)
    left = await writer.fetch(
        "select change, audience_kind, snapshot::text from events where entity_id = $1", str(note)
    )
    # The team is told that it is gone, and no more.
    assert [tuple(row) for row in left] == [("DELETE", "team", f'{{"id": "{note}"}}')]


async def test_reading_for_groups_walks_the_indexes(
    deployment: Deployment, writer: asyncpg.Connection, tables: None
) -> None:
    await writer.execute(
        "insert into events (topic, snapshot, audience_kind, audience_id)"
        " select 'plan.tested', '{}', 'team', gen_random_uuid() from generate_series(1, 20000)"
    )
    service = await asyncpg.connect(deployment.service_url, server_settings=event_log.PLANNING)
    backlog = event_log.read_watched(Topics(Tables.metadata), "notes.changed")
    plans = []
    for sql, arguments in (
        (event_log.READ_WITH_GROUPS, ("3", 0, 500, ["notes.changed"], ["members.team"])),
        (backlog, ("3", 0, 200, str(2**63), 0, "notes.changed", None, uuid4())),
    ):
        rows = await service.fetch(f"explain {sql}", *arguments)
        plans.append("\n".join(row[0] for row in rows))
    await service.close()
    await writer.execute("delete from events where topic = 'plan.tested'")
    for plan in plans:
        assert "Seq Scan on on_" not in plan, plan
    assert plans[0].count("user_id_topic_xid_id_idx on on_") > 1, plans[0]
    assert plans[1].count("audience_id_topic_xid_id_idx on on_") > 1, plans[1]


async def test_two_processes_and_a_restart_of_one_lose_nothing_of_a_team(
    engine: Engine, pool: Database, make_team: MakeTeam, make_user: Any, tables: None
) -> None:
    user = await make_user()
    team = await make_team(user)
    shown: list[str] = []
    cursor = None
    for round_number in range(3):
        async with running(pool, WakeBus.memory(), metadata=Tables.metadata) as hub:
            one = Stream(engine, hub, user, NOTES, after=cursor) if cursor else None
            one = one or Stream(engine, hub, user, NOTES)
            async with watching(one):
                await team.note(f"{round_number}", user if round_number % 2 else None)
                hub.wake()
                await one.until_last(f"{round_number}")
            shown += one.shown
            cursor = one.cursors[-1]
        await team.note(f"between {round_number}", user)
    assert shown == ["0", "between 0", "1", "between 1", "2"]
