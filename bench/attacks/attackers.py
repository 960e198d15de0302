"""The attacks: what one attacker, from one address, does as fast as it can.

Each goes on until it is cancelled, and notes in `Gains` what it got.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from time import monotonic
from uuid import uuid4

import orjson

from bench.attacks.client import HOST, Client
from bench.data import Person
from bench.load import request_bytes

ADDRESS = "127.0.0.66"
PAUSE_AFTER_REFUSAL_SECONDS = 0.001
PROFILES = 100
ALIASES = 99
STALLED_READERS = 5
GONE_CHECK_SECONDS = 0.25

CREATE_PROFILE = """mutation ($input: CreateProfileInput!) {
  createProfile(input: $input) { profile { id } errors { code } }
}"""
LARGE_FIELDS = "nodes { analysis chatHistory thumbnail }"
# All at once, under aliases, and as many as one answer may hold.
ALIASED = " ".join(f"a{n}: profiles(first: 100) {{ {LARGE_FIELDS} }}" for n in range(4))
HEAVY_READS = (
    f"{{ viewer {{ {ALIASED} }} }}",
    f"{{ viewer {{ profiles(first: 100) {{ {LARGE_FIELDS} }} }} }}",
    f"{{ viewer {{ profiles(first: 7) {{ {LARGE_FIELDS} }} }} }}",
)
MALFORMED_PAGES = " ".join(
    f'a{number}: profiles(first: 5, after: "not-a-cursor-{number}") {{ nodes {{ id }} }}'
    for number in range(ALIASES)
)
MALFORMED = f"{{ viewer {{ {MALFORMED_PAGES} }} }}"
SIGN_IN = """mutation ($email: String!) {
  signIn(input: {email: $email, password: "not the password"}) { errors { code } }
}"""
SIGN_IN_AS_GUEST = """mutation {
  signInAnonymously { session { accessToken user { id } } errors { code } }
}"""
BALANCE = "{ viewer { credits { balance } } }"


@dataclass
class Gains:
    """What the attacker got: its requests, how many were refused, and what it holds at the end."""

    requests: int = 0
    refused: int = 0
    closed: int = 0
    gained: dict[str, float] = field(default_factory=dict)

    def update(self, more: Gains) -> None:
        """Counts what was got in another process as well."""
        self.requests += more.requests
        self.refused += more.refused
        self.closed += more.closed
        for what, much in more.gained.items():
            self.add(what, much)

    def add(self, what: str, much: float) -> None:
        """Counts something it got."""
        self.gained[what] = self.gained.get(what, 0) + much


@dataclass(frozen=True)
class Target:
    """What is attacked: a port, and an account that the attacker has."""

    port: int
    account: Person

    def client(self, *, signed_in: bool = True) -> Client:
        """A connection from the attacker's address."""
        return Client(self.port, ADDRESS, self.account.token if signed_in else None)


Act = Callable[[Target, Gains], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """What the attacker does, and what it prepares before anybody looks."""

    act: Act
    prepare: Act | None = None


def _refused(body: bytes) -> bool:
    return b'"errors":[{' in body or b'"errors" : [{' in body


async def _repeat(
    clients: list[Client], gains: Gains, act: Callable[[Client], Awaitable[bytes]]
) -> None:
    """All clients at once, each again and again; who is refused comes again at once."""

    async def one(client: Client) -> None:
        while True:
            gains.requests += 1
            try:
                refused = _refused(await act(client))
            except OSError:
                gains.closed += 1
                refused = True
            gains.refused += refused
            if refused:
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_SECONDS)

    try:
        await asyncio.gather(*(one(client) for client in clients))
    finally:
        for client in clients:
            client.close()


def _large_profile() -> dict[str, object]:
    """As much text as one profile takes: about half a megabyte."""
    text = base64.b64encode(os.urandom(190_000)).decode()
    return {
        "analysis": {"text": text},
        "chatHistory": [{"text": text}],
    }


async def store_profiles(target: Target, gains: Gains) -> None:
    """Fills the account with large profiles, as far as the server takes them."""
    client = target.client()
    for number in range(PROFILES):
        answer = await client.send(
            CREATE_PROFILE, {"input": {"localId": 1000 + number, **_large_profile()}}
        )
        if _refused(answer.body):
            break
        gains.add("profiles stored", 1)
    client.close()


async def read_heavily(target: Target, gains: Gains) -> None:
    """Large rows, as many as an answer may hold and more, on 16 connections."""
    documents = cycle(HEAVY_READS)

    async def act(client: Client) -> bytes:
        answer = await client.send(next(documents))
        gains.add("megabytes read", len(answer.body) / 1e6)
        return answer.body[:4096]

    await _repeat([target.client() for _ in range(16)], gains, act)


async def never_read(target: Target, gains: Gains) -> None:
    """Sockets that ask for a large answer and read none of it."""
    body = orjson.dumps({"query": HEAVY_READS[-1]})
    request = request_bytes(target.port, target.account.token, body)

    async def stall() -> None:
        loop = asyncio.get_running_loop()
        while True:
            with socket.socket() as stalled:
                stalled.setblocking(False)
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.bind((ADDRESS, 0))
                await loop.sock_connect(stalled, (HOST, target.port))
                await loop.sock_sendall(stalled, request)
                gains.requests += 1
                began = monotonic()
                while not _is_gone(stalled):  # noqa: ASYNC110 -- nobody tells who never reads
                    await asyncio.sleep(GONE_CHECK_SECONDS)
                gains.closed += 1
                longest = max(gains.gained.get("longest stall s", 0), monotonic() - began)
                gains.gained["longest stall s"] = longest

    await asyncio.gather(*(stall() for _ in range(STALLED_READERS)))


def _is_gone(stalled: socket.socket) -> bool:
    """Whether the server reset the connection; what it sent stays unread."""
    return stalled.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


async def send_malformed_cursors(target: Target, gains: Gains) -> None:
    """99 aliases, each with a cursor that is none, on eight connections."""

    async def act(client: Client) -> bytes:
        return (await client.send(MALFORMED)).body

    await _repeat([target.client() for _ in range(8)], gains, act)


async def send_new_documents(target: Target, gains: Gains) -> None:
    """Large valid documents, each never seen before, on eight connections."""
    numbers = count()

    async def act(client: Client) -> bytes:
        number = next(numbers)
        pages = " ".join(
            f"a{n}x{number}: profiles(first: 5) {{ nodes {{ id }} }}" for n in range(ALIASES)
        )
        return (await client.send(f"{{ viewer {{ {pages} }} }}")).body

    await _repeat([target.client() for _ in range(8)], gains, act)


def guess_passwords(connections: int) -> Act:
    """Wrong passwords on so many connections without a token."""

    async def attack(target: Target, gains: Gains) -> None:
        async def act(client: Client) -> bytes:
            email = f"{uuid4()}@example.test"
            return (await client.send(SIGN_IN, {"email": email})).body

        clients = [target.client(signed_in=False) for _ in range(connections)]
        await _repeat(clients, gains, act)

    return attack


async def store_rows(target: Target, gains: Gains) -> None:
    """A guest's profiles, as large as they may be, on eight connections."""
    guest = target.client(signed_in=False)
    answer = (await guest.send(SIGN_IN_AS_GUEST)).json()
    guest.close()
    session = answer["data"]["signInAnonymously"]["session"]
    profile = _large_profile()

    async def act(client: Client) -> bytes:
        answer = await client.send(CREATE_PROFILE, {"input": profile})
        if not _refused(answer.body):
            gains.add("megabytes stored", len(orjson.dumps(profile)) / 1e6)
        return answer.body

    clients = [Client(target.port, ADDRESS, session["accessToken"]) for _ in range(8)]
    await _repeat(clients, gains, act)


async def farm_bonuses(target: Target, gains: Gains) -> None:
    """New guests for the credits that each is given, on eight connections."""

    async def act(client: Client) -> bytes:
        answer = await client.send(SIGN_IN_AS_GUEST)
        session = ((answer.json().get("data") or {}).get("signInAnonymously") or {}).get("session")
        if session:
            gains.add("guests", 1)
            with suppress(OSError, KeyError, TypeError):
                wallet = Client(target.port, ADDRESS, session["accessToken"])
                credits = (await wallet.send(BALANCE)).json()["data"]["viewer"]["credits"]
                wallet.close()
                gains.add("bonuses", credits["balance"] > 0)
        return answer.body

    await _repeat([target.client(signed_in=False) for _ in range(8)], gains, act)


# By the name under which each is shown.
ATTACKS: dict[str, Attack] = {
    "Reads large rows, on 16 connections": Attack(read_heavily, store_profiles),
    "Never reads large answers": Attack(never_read, store_profiles),
    "Sends 99 malformed cursors": Attack(send_malformed_cursors),
    "Sends large documents, all of them new": Attack(send_new_documents),
    "Guesses passwords, 100 connections": Attack(guess_passwords(100)),
    "Guesses passwords, 1,000 connections": Attack(guess_passwords(1000)),
    "Stores large rows as a guest": Attack(store_rows),
    "Makes guests for their bonus": Attack(farm_bonuses),
}
