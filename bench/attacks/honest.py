"""Twenty honest users beside an attack: each reads its balance, and some sign in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter

from bench.attacks.client import HOST, Client
from bench.data import PASSWORD, Person

READ = "{ viewer { id credits { balance } } }"
SIGN_IN = """mutation ($email: String!, $password: String!) {
  signIn(input: {email: $email, password: $password}) { session { accessToken } errors { code } }
}"""
USERS = 20
# Every user reads this often, and every fourth of them signs in this often.
READ_SECONDS = 0.1
SIGN_IN_SECONDS = 4.0
SIGNS_IN_EVERY = 4
TIMEOUT_SECONDS = 30.0


@dataclass
class Seen:
    """What honest users saw of the server, in seconds; a failure is an answer without data."""

    reads: list[float] = field(default_factory=list)
    failed_reads: int = 0
    signed_in: int = 0
    refused_sign_ins: int = 0

    def forget(self) -> None:
        """Begins anew: what was seen so far was warming up."""
        self.reads.clear()
        self.failed_reads = self.signed_in = self.refused_sign_ins = 0

    def p99_milliseconds(self) -> float:
        """The wait of the slowest read in a hundred."""
        ordered = sorted(self.reads)
        return ordered[int(len(ordered) * 0.99)] * 1000 if ordered else float("nan")

    def sign_in_share(self) -> float:
        """How many of the sign-ins passed; 1 when there was none."""
        tried = self.signed_in + self.refused_sign_ins
        return self.signed_in / tried if tried else 1.0


async def _read(client: Client, seen: Seen) -> None:
    while True:
        began = perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await client.send(READ)
            failed = b'"viewer" : {' not in answer.body and b'"viewer":{' not in answer.body
        except (OSError, TimeoutError):
            failed = True
        seen.failed_reads += failed
        seen.reads.append(perf_counter() - began)
        await asyncio.sleep(max(0.0, READ_SECONDS - (perf_counter() - began)))


async def _sign_in(client: Client, person: Person, seen: Seen, first_after: float) -> None:
    await asyncio.sleep(first_after)
    while True:
        began = perf_counter()
        passed = False
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await client.send(SIGN_IN, {"email": person.email, "password": PASSWORD})
                passed = b"accessToken" in answer.body
        seen.signed_in += passed
        seen.refused_sign_ins += not passed
        await asyncio.sleep(max(0.0, SIGN_IN_SECONDS - (perf_counter() - began)))


def address_of(position: int) -> str:
    """The address of an honest user: each has its own."""
    return f"{HOST.rsplit('.', 1)[0]}.{100 + position}"


@asynccontextmanager
async def honest_users(port: int, people: list[Person]) -> AsyncIterator[Seen]:
    """Twenty of them for a block."""
    seen = Seen()
    clients: list[Client] = []
    tasks = []
    for position, person in enumerate(people[:USERS]):
        reader = Client(port, address_of(position), person.token)
        clients.append(reader)
        tasks.append(asyncio.create_task(_read(reader, seen)))
        if position % SIGNS_IN_EVERY == 0:
            signer = Client(port, address_of(position))
            clients.append(signer)
            first_after = SIGN_IN_SECONDS * position / USERS
            tasks.append(asyncio.create_task(_sign_in(signer, person, seen, first_after)))
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.close()
