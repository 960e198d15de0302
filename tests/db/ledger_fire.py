"""A whole deployment under load whose processes are killed, and the clients that keep count."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from sqlalchemy import TextClause, text

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError
from db.core.outages import cannot_serve
from db.core.pool import Database
from db.core.retries import RETRIED
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from settings import Settings

from ..jobs.helpers import ready_upload
from ..running import Process, start_command
from .ledger import CAPTURE, REFUND, RELEASE, refusal

GRANTED = 1_000_000
PAUSE_SECONDS = 0.1
HOLD = text("select app.hold_credits(:user_id, :amount, 'test', interval '1 second', :key)")
FIND_CAPTURE = text("select id from credit_transactions where hold_id = :hold and type = 'CAPTURE'")
SPEND = """mutation($amount: Int!, $key: String!) {
  spendCredits(input: {amount: $amount, idempotencyKey: $key}) {
    transaction { id } errors { code message } } }"""
GENERATE = """mutation($upload: ID!, $parameters: JSON!, $key: String!) {
  createGeneration(input: {toolId: "hair-color", uploadId: $upload, parameters: $parameters,
    idempotencyKey: $key}) { generation { id } errors { code message } } }"""
# What a client may be told while something is being killed; it tries again.
PASSING = {"SERVICE_UNAVAILABLE", "RATE_LIMITED"}


@dataclass
class Acknowledged:
    """What was promised to clients: every movement's id by its type, and what it was to use."""

    movements: dict[str, dict[UUID, int]] = field(default_factory=lambda: defaultdict(dict))
    used: Counter[UUID] = field(default_factory=Counter)
    generations: set[str] = field(default_factory=set)
    operations: int = 0

    def note(self, kind: str, movement: UUID, user_id: UUID, used: int) -> None:
        """A movement was acknowledged; no other operation was given the same one."""
        assert movement not in self.movements[kind], f"{kind} {movement} twice"
        self.movements[kind][movement] = used
        self.used[user_id] += used
        self.operations += 1


class Deployment:
    """The API and a worker as processes over a database of their own."""

    def __init__(self, settings: Settings, cluster: EmbeddedDatabase, port: int) -> None:
        self._cluster = cluster
        self._folder = settings.data_directory
        self._variables = {
            "DATA_DIRECTORY": str(settings.data_directory),
            "DATABASE_URL": cluster.owner_url,
            "PORT": str(port),
            "LOG_LEVEL": "warning",
        }
        self.url = f"http://127.0.0.1:{port}"
        self._running: dict[str, Process] = {}

    def start(self, command: str) -> None:
        """`tallygraph serve` or `tallygraph worker`."""
        with (Path(self._folder) / f"{command}.log").open("ab") as log:
            self._running[command] = start_command([command], os.environ | self._variables, log)

    def stop(self) -> None:
        """Ends both."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(30)

    async def kill(self, victim: str) -> None:
        """Kills a process and starts it again, or what the database has for its clients."""
        if victim in self._running:
            self._running[victim].kill()
            self._running[victim].wait(10)
            self.start(victim)
            return
        owner = await asyncpg.connect(self._cluster.superuser_url, timeout=10)
        try:
            pids = await owner.fetch(
                "select pid from pg_stat_activity where backend_type = 'client backend'"
                " and pid <> pg_backend_pid()"
            )
            if victim == "connections":
                for row in pids:
                    await owner.execute("select pg_terminate_backend($1)", row["pid"])
            elif pids:  # Postgres ends all its processes and recovers from its log
                os.kill(random.choice(pids)["pid"], signal.SIGKILL)
        finally:
            owner.terminate()


@contextmanager
def deployed(settings: Settings, cluster: EmbeddedDatabase, port: int) -> Iterator[Deployment]:
    """Both processes for a block."""
    deployment = Deployment(settings, cluster, port)
    try:
        deployment.start("serve")
        deployment.start("worker")
        yield deployment
    finally:
        deployment.stop()


async def until_definite[T](attempt: Callable[[], Awaitable[T]]) -> T:
    """What the attempt returns once the database answers it."""
    while True:
        try:
            return await attempt()
        except Exception as error:
            passing = isinstance(error, DomainError) and error.code.value in PASSING
            if not (passing or cannot_serve(error) or isinstance(error, (TimeoutError, *RETRIED))):
                raise
        await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)


@dataclass
class Client:
    """One user's device: it repeats each operation under its key until it knows the outcome."""

    http: httpx.AsyncClient
    service: Database
    actor: Actor
    token: str
    upload: UUID | None
    promised: Acknowledged
    spends: list[tuple[UUID, int]] = field(default_factory=list)

    @property
    def user_id(self) -> UUID:
        """Whose credits it uses."""
        assert self.actor.user_id is not None
        return self.actor.user_id

    async def run(self, go_on: Callable[[], bool]) -> None:
        """One operation after the other."""
        moves = [self.spend] * 5 + [self.hold_and_capture] * 2 + [self.hold_and_release]
        moves += [self.hold_and_forget, self.refund]
        moves += [self.generate] * 2 if self.upload else []
        while go_on():
            await random.choice(moves)()

    async def _ask(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The payload of a mutation, asked for until there is one."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                response = await self.http.post(
                    "/graphql",
                    json={"query": document, "variables": variables},
                    headers={"Authorization": f"Bearer {self.token}"},
                )
                answer = response.json()
                codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
                assert codes <= PASSING, answer
                if not codes:
                    (payload,) = answer["data"].values()
                    return dict(payload)
            await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)

    async def _function(self, function: TextClause, **parameters: Any) -> Any:
        async def attempt() -> Any:
            async with self.service.transaction(SERVICE) as transaction:
                return await transaction.fetch_value(function, **parameters)

        return await until_definite(attempt)

    async def spend(self) -> None:
        """Spends through the API."""
        amount = random.randint(1, 3)
        payload = await self._ask(SPEND, {"amount": amount, "key": str(uuid4())})
        assert payload["errors"] == [], payload
        movement = UUID(payload["transaction"]["id"].removeprefix("transaction_"))
        self.promised.note("SPEND", movement, self.user_id, amount)
        self.spends.append((movement, amount))

    async def _hold(self, amount: int) -> UUID:
        hold: UUID = await self._function(
            HOLD, user_id=self.user_id, amount=amount, key=str(uuid4())
        )
        self.promised.operations += 1
        return hold

    async def hold_and_capture(self) -> None:
        """Holds, then captures some of it, unless a sweep came first."""
        amount = random.randint(1, 3)
        hold = await self._hold(3)
        try:
            movement = await self._function(CAPTURE, hold=hold, amount=amount)
        except asyncpg.PostgresError as error:
            if refusal(error) != "BAD_USER_INPUT":
                raise
            # It was captured by an attempt that got no answer, or its time was over.
            movement = await self._function(FIND_CAPTURE, hold=hold)
            if movement is None:
                return
        self.promised.note("CAPTURE", movement, self.user_id, amount)
        self.spends.append((movement, amount))

    async def hold_and_release(self) -> None:
        """Holds, then thinks better of it."""
        hold = await self._hold(2)
        with contextlib.suppress(asyncpg.PostgresError):
            await self._function(RELEASE, hold=hold)
            self.promised.operations += 1

    async def hold_and_forget(self) -> None:
        """Holds and dies: the scheduler must end it."""
        await self._hold(1)

    async def refund(self) -> None:
        """Asks for one credit of a spend back."""
        if self.spends:
            spend, _ = self.spends.pop(random.randrange(len(self.spends)))
            movement = await self._function(REFUND, spend=spend, amount=1, key=str(uuid4()))
            self.promised.note("REFUND", movement, self.user_id, -1)

    async def generate(self) -> None:
        """Has the worker make a picture."""
        parameters = {"color": f"#{random.randrange(16**6):06x}"}
        payload = await self._ask(
            GENERATE,
            {"upload": f"upload_{self.upload}", "parameters": parameters, "key": str(uuid4())},
        )
        assert payload["errors"] == [], payload
        self.promised.generations.add(payload["generation"]["id"])
        self.promised.operations += 1
        await asyncio.sleep(0.5)


@asynccontextmanager
async def clients(
    deployment: Deployment,
    settings: Settings,
    service: Database,
    storage: Storage,
    users: list[Actor],
    promised: Acknowledged,
    count: int,
) -> AsyncIterator[list[Client]]:
    """So many clients; a fifth of them share the first user's wallet, two make pictures."""
    issuer = AccessTokens(SigningKeys.load(settings), settings)
    async with httpx.AsyncClient(base_url=deployment.url, timeout=10) as http:
        made = []
        for n in range(count):
            actor = users[0] if n % 5 == 0 else users[n % len(users)]
            assert actor.user_id is not None
            token = issuer.issue(actor.user_id, uuid4(), is_anonymous=False, is_admin=False).token
            upload = await ready_upload(service, storage, actor) if n in (1, 2) else None
            made.append(Client(http, service, actor, token, upload, promised))
        yield made
