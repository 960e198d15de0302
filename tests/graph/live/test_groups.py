"""Events of groups: each member is given each change once, and nothing after having left."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
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
from tests.graph.live.teams import Tables, build_schema, make_tables

NOTES = "subscription ($after: Cursor) { notesChanged(after: $after) { cursor row { body } deletedId } }"
SECRETS = NOTES.replace("notesChanged", "secretsChanged")
LETTERS = NOTES.replace("notesChanged", "lettersChanged").replace("deletedId", "")
REMARKS = LETTERS.replace("lettersChanged", "remarksChanged")


@pytest.fixture(scope="session")
async def tables(deployment: Deployment, pool: Database) -> None:
    owner = await deployment.connect()
    await make_tables(owner)
    await owner.close()


@pytest.fixture
async def hub(pool: Database, tables: None) -> AsyncIterator[EventHub]:
    async with running(pool, metadata=Tables.metadata) as hub:
        yield hub


@pytest.fixture(scope="session")
def engine(pool: Database) -> Engine:
    return Engine(build_schema(), pool, introspection=False)


@pytest.fixture
def stream(engine: Engine, hub: EventHub) -> Callable[..., Stream]:
    return partial(Stream, engine, hub)


class Stream:
    """What one client is shown, by its own task or past it."""

    def __init__(
        self,
        engine: Engine,
        hub: EventHub,
        user_id: UUID,
        text: str,
        *,
        past: bool = False,
        **variables: Any,
    ) -> None:
        self.shown: list[str] = []
        self.cursors: list[str] = []
        self.began = asyncio.Event()
        actor = Actor("authenticated", user_id)
        subscriber = Subscriber(engine, hub.subscribe, lambda: actor)
        self._items = subscriber.stream(text, variables, None, None, self.take if past else None)
        if "after" in variables:
            self.began.set()
        self.task = asyncio.create_task(self._run())

    def take(self, body: bytes) -> bool:
        ((_, payload),) = orjson.loads(body)["data"].items()
        if not self.began.is_set():
            self.began.set()
            return True
        row = payload.get("row")
        self.shown.append(f"gone {payload['deletedId']}" if row is None else row["body"])
        self.cursors.append(payload["cursor"])
        return True

    async def _run(self) -> None:
        async for item in self._items:
            self.take(item.body)

    async def until(self, *shown: str) -> None:
        """Wait until exactly this was shown, and nothing else."""
        await self._wait(lambda: len(self.shown) >= len(shown))
        assert self.shown == list(shown)

    async def until_last(self, shown: str) -> None:
        """Wait until this was shown last."""
        await self._wait(lambda: self.shown[-1:] == [shown])

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Team:
    """A team and what happens in it."""

    writer: asyncpg.Connection
    id: UUID = field(default_factory=uuid4)

    async def make(self) -> Team:
        await self.writer.execute("insert into teams (id, name) values ($1, 'One')", self.id)
        return self

    async def join(self, user_id: UUID, role: str = "member") -> None:
        await self.writer.execute(
            "insert into team_members (team_id, user_id, role, status) values ($1, $2, $3, 'ACTIVE')",
            self.id,
            user_id,
            role,
        )

    async def change(self, user_id: UUID, **columns: str) -> None:
        for name, value in columns.items():
            await self.writer.execute(
                f"update team_members set {name} = $3 where team_id = $1 and user_id = $2",
                self.id,
                user_id,
                value,
            )

    async def leave(self, user_id: UUID) -> None:
        await self.writer.execute(
            "delete from team_members where team_id = $1 and user_id = $2", self.id, user_id
        )

    async def note(self, body: str, user_id: UUID | None = None) -> UUID:
        sql = "insert into notes (team_id, user_id, body) values ($1, $2, $3) returning id"
        found: UUID = await self.writer.fetchval(sql, self.id, user_id, body)
        return found

    async def secret(self, body: str) -> UUID:
        sql = "insert into secrets (team_id, body) values ($1, $2) returning id"
        found: UUID = await self.writer.fetchval(sql, self.id, body)
        return found


MakeTeam = Callable[..., Awaitable[Team]]


@pytest.fixture
def make_team(writer: asyncpg.Connection, tables: None) -> MakeTeam:
    async def make(*members: UUID, role: str = "member") -> Team:
        team = await Team(writer).make()
        for user_id in members:
            await team.join(user_id, role)
        return team

    return make


@pytest.fixture
def make_user(writer: asyncpg.Connection) -> Callable[[], Awaitable[UUID]]:
    async def make() -> UUID:
        identifier = uuid4()
        await writer.execute(
            "insert into users (id, email) values ($1, $2)", identifier, f"{identifier}@one.test"
        )
        return identifier

    return make


@asynccontextmanager
async def watching(*streams: Stream) -> AsyncIterator[None]:
    for one in streams:
        async with asyncio.timeout(10):
            await one.began.wait()
    try:
        yield
    finally:
        for one in streams:
            await one.close()


async def settle(hub: EventHub, writer: asyncpg.Connection) -> None:
    """Wait until the hub has read all that was committed."""
    async with writer.transaction():
        xid = int(await writer.fetchval("select pg_current_xact_id()::text"))
        await writer.execute("insert into events (topic, snapshot) values ('no.one', '{}')")
    async with asyncio.timeout(10):
        while hub.position[0] < xid:
            hub.wake()
            await asyncio.sleep(0.002)


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


@pytest.mark.parametrize("leaves", [True, False])
async def test_the_order_of_commits_decides_and_not_that_of_beginnings(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    deployment: Deployment,
    *,
    leaves: bool,
) -> None:
    """The log puts the note before the membership's change, which was committed before the note."""
    user, member = await make_user(), await make_user()
    team, other = await make_team(member), await make_team()
    if leaves:
        await team.join(user)
    connections = [await deployment.connect() for _ in range(2)]
    older, open_still = (connection.transaction() for connection in connections)
    streams = stream(user, NOTES), stream(member, NOTES)
    async with watching(*streams):
        await team.note("first", member)
        hub.wake()
        await streams[1].until("first")
        await older.start()
        await Team(connections[0], team.id).note("older")
        await open_still.start()
        await Team(connections[1], other.id).note("elsewhere")
        await (team.leave if leaves else team.join)(user)
        await older.commit()
        hub.wake()
        await streams[1].until("first", "older")
        await open_still.commit()
        await settle(hub, team.writer)
        await streams[0].until(*(["first"] if leaves else ["older"]))
    for connection in connections:
        await connection.close()


# What happens at a step of an interleaving; those that begin leave a transaction open.
STEPS = (
    *("note", "begin note", "commit") * 2,
    *("rollback", "join", "leave", "begin leave", "settle"),
)
MARK = "mark"


@dataclass
class Truth:
    """What was committed, in the order of the commits."""

    is_member: bool = True
    # For each note, whether the user was a member at its commit and at every change since then.
    notes: dict[str, list[bool]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def commit(self, *, body: str | None = None, is_member: bool | None = None) -> None:
        if is_member is not None:
            self.is_member = is_member
            for name in self.notes.keys() - self.settled:
                self.notes[name].append(is_member)
        if body is not None:
            self.notes[body] = [self.is_member]

    def settle(self) -> None:
        self.settled |= self.notes.keys()

    def faults(self, shown: list[str]) -> dict[str, list[str]]:
        """What must have been shown and was not, and what was and must not have been."""
        found = defaultdict(list)
        for name, memberships in self.notes.items():
            if all(memberships) and name not in shown:
                found["missed"].append(name)
            if not any(memberships) and name in shown:
                found["shown to who had left"].append(name)
        if len(set(shown)) < len(shown):
            found["doubled"] = shown
        return dict(found)


class Interleaving:
    """Transactions of three connections that overlap as chance wants it, and one who watches."""

    def __init__(
        self, seed: int, team: Team, user_id: UUID, hub: EventHub, streams: list[Stream]
    ) -> None:
        self.truth = Truth()
        self._streams = streams
        self._random = random.Random(seed)
        self._team, self._user_id, self._hub = team, user_id, hub
        self._open: list[tuple[asyncpg.Connection, Any, dict[str, Any]]] = []
        self._number = 0

    async def run(self, connections: list[asyncpg.Connection], steps: int) -> None:
        for _ in range(steps):
            await self._step(self._random.choice(STEPS), connections)
            self._hub.wake()
            if self._random.random() < 0.3:
                await asyncio.sleep(self._random.random() * 0.01)
        while self._open:
            await self._end("commit", connections)
        await self._settle()

    async def _step(self, step: str, connections: list[asyncpg.Connection]) -> None:
        match step:
            case "note":
                self.truth.commit(body=await self._note(self._team.writer))
            case "begin note" if connections:
                await self._begin(connections, self._note)
            case "begin leave" if connections and not self._is_leaving:
                await self._begin(connections, self._leave)
            case "commit" | "rollback" if self._open:
                await self._end(step, connections)
            case "join" if not self._is_leaving and not self.truth.is_member:
                await self._team.join(self._user_id)
                self.truth.commit(is_member=True)
            case "leave" if not self._is_leaving and self.truth.is_member:
                await self._team.leave(self._user_id)
                self.truth.commit(is_member=False)
            case "settle" if not self._open:
                await self._settle()

    @property
    def _is_leaving(self) -> bool:
        return any("is_member" in told for _, _, told in self._open)

    async def _begin(
        self,
        connections: list[asyncpg.Connection],
        write: Callable[[asyncpg.Connection], Awaitable[str | bool]],
    ) -> None:
        connection = connections.pop()
        transaction = connection.transaction()
        await transaction.start()
        written = await write(connection)
        told = {"body": written} if isinstance(written, str) else {"is_member": written}
        self._open.append((connection, transaction, told))

    async def _end(self, how: str, connections: list[asyncpg.Connection]) -> None:
        place = self._random.randrange(len(self._open))
        connection, transaction, told = self._open.pop(place)
        connections.append(connection)
        await getattr(transaction, how)()
        if how == "commit":
            self.truth.commit(**told)

    async def _note(self, connection: asyncpg.Connection) -> str:
        self._number += 1
        await Team(connection, self._team.id).note(f"{self._number}")
        return f"{self._number}"

    async def _leave(self, connection: asyncpg.Connection) -> bool:
        await Team(connection, self._team.id).leave(self._user_id)
        return False

    async def _settle(self) -> None:
        """Wait until everything was shown that is to be shown, by a row of the user's own behind it."""
        sql = "insert into notes (user_id, body) values ($1, $2)"
        self._number += 1
        await self._team.writer.execute(sql, self._user_id, f"{MARK} {self._number}")
        self._hub.wake()
        for one in self._streams:
            await one.until_last(f"{MARK} {self._number}")
        self.truth.settle()


@pytest.mark.parametrize("seed", range(10))
async def test_who_was_removed_is_shown_nothing_committed_later_however_transactions_overlap(
    stream: Callable[..., Stream],
    make_team: MakeTeam,
    make_user: Any,
    hub: EventHub,
    deployment: Deployment,
    seed: int,
) -> None:
    user = await make_user()
    team = await make_team(user, await make_user())
    connections = [await deployment.connect() for _ in range(3)]
    streams = [stream(user, NOTES, past=past) for past in (False, True)]
    interleaving = Interleaving(seed, team, user, hub, streams)
    async with watching(*streams):
        await interleaving.run(list(connections), steps=60)
    for connection in connections:
        await connection.close()
    assert len(interleaving.truth.notes) > 5
    for one in streams:
        shown = [body for body in one.shown if not body.startswith(MARK)]
        assert interleaving.truth.faults(shown) == {}


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
