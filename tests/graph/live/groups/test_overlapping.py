"""Transactions that overlap: the order of commits decides who is shown what, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from graph.live.hub import EventHub
from tests.graph.live.deployment import Deployment
from tests.graph.live.groups.watching import (
    NOTES,
    MakeTeam,
    Stream,
    Team,
    settle,
    watching,
)


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
