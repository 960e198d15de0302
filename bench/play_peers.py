"""Drawing end to end: our server beside a bare application that runs the same statement.

Both skip activities in the same sessions, in turn: each answer has the version that the next
request names. The bare application parses no GraphQL and checks no signature.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from statistics import median
from uuid import UUID

import asyncpg
import orjson

from bench.data import Person
from bench.deployment import Environment, Server, on_core, start_bare
from bench.load import request_bytes
from bench.statements import export_statement
from bench.webhooks import Connections

SHARE_GOAL = 0.8
SKIP = (
    "mutation($input: SkipActivityInput!) { skipActivity(input: $input) {"
    " playSession { version current { id text } } errors { code } } }"
)
DRAW = SKIP.replace("SkipActivityInput", "DrawActivityInput").replace(
    "skipActivity", "drawActivity"
)
PAID = """
update users set plan_id = (select id from plans where price_cents > 0 order by id limit 1)
where id = any ($1)
"""


@dataclass
class Shares:
    """Draws a second of each round, of our server and of the bare application."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """How much of the bare application's pace is ours."""
        return median(self.ours) / median(self.bare) if self.bare else 0.0


class Drawer:
    """A player who has one activity after the other drawn."""

    def __init__(self, session: UUID, token: str) -> None:
        self._id = f"playSession_{session}"
        self._token = token
        self._version = 1

    async def draw(self, connections: Connections, port: int) -> None:
        """Draws the first one, or skips what is drawn."""
        given = {"sessionId": self._id, "version": self._version}
        text = DRAW if self._version == 1 else SKIP
        body = orjson.dumps({"query": text, "variables": {"input": given}})
        answer = orjson.loads(await connections.send(request_bytes(port, self._token, body)))
        (payload,) = answer["data"].values()
        if payload["errors"]:
            raise RuntimeError(str(payload["errors"]))
        self._version = payload["playSession"]["version"]


async def _pace(drawers: list[Drawer], server: Server, seconds: float) -> float:
    """Draws a second."""
    drawn = 0

    async def one(drawer: Drawer, connections: Connections) -> None:
        nonlocal drawn
        while time.perf_counter() < ends_at:
            await drawer.draw(connections, server.port)
            drawn += 1

    async with Connections(server.port).open() as connections:
        began = time.perf_counter()
        ends_at = began + seconds
        await asyncio.gather(*(one(drawer, connections) for drawer in drawers))
    return drawn / (time.perf_counter() - began)


async def compare_draws(
    environment: Environment,
    owner: asyncpg.Connection,
    ours: Server,
    players: list[tuple[UUID, UUID, str]],
    *,
    rounds: int,
    seconds: float,
) -> Shares:
    """Has the players (session, user, token) draw at each of the two servers in turn."""
    people = [Person(user, "", session, token) for session, user, token in players]
    await owner.execute(PAID, [person.user_id for person in people])
    statement = await export_statement(
        environment.owner_url,
        environment.settings,
        SKIP,
        {"sessionId": f"playSession_{players[0][0]}", "version": 987_654_321},
    )
    drawers = [Drawer(session, token) for session, _, token in players]
    shares = Shares()
    peer = start_bare(replace(environment, people=people), {SKIP: statement}, "")
    with peer as bare, on_core(-1):
        # Each warms up; what is drawn first is drawn at ours.
        await _pace(drawers, ours, seconds / 2)
        await _pace(drawers, bare, seconds / 2)
        for _ in range(rounds):
            shares.ours.append(await _pace(drawers, ours, seconds))
            shares.bare.append(await _pace(drawers, bare, seconds))
    return shares
