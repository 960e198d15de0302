"""What is measured: the operations, who can answer them, and what we aim for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from uuid import uuid4

import orjson

from bench import documents
from bench.data import PASSWORD, Person
from bench.documents import OURS, worded

TALLYGRAPH, BARE, STRAWBERRY, POSTGRAPHILE = "tallygraph", "bare", "strawberry", "postgraphile"
PEERS = (BARE, STRAWBERRY, POSTGRAPHILE)
DIFFERENT_DOCUMENTS = 2_000
# Planning takes milliseconds: 32 at once would measure the queue.
COLD_CONNECTIONS = 8

Words = dict[str, str]
# Makes the body of a person's next request.
Source = Callable[[Person], bytes]


@dataclass(frozen=True)
class Workload:
    """One kind of request, sent over and over.

    `source` makes requests in the words of a server. `peers` are those that can answer; `goals`
    says how many times a peer's requests per second we mean to answer. `own` are keys whose values
    differ from one answer to the next; with `spends`, balances go down by one each time.
    `rotation` is how many requests a server must see before their documents come again, and
    `most_connections` bounds how many send requests, where each keeps a server busy for long.
    """

    name: str
    title: str
    document: str
    source: Callable[[Words], Source]
    peers: tuple[str, ...] = PEERS
    goals: Mapping[str, float] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    rotation: int = 0
    spends: bool = False
    needs_token: bool = True
    most_connections: int = 1_000


def words_of(server: str) -> Words:
    """In which words a server is asked."""
    return documents.POSTGRAPHILE if server == POSTGRAPHILE else OURS


def same(document: str) -> Callable[[Words], Source]:
    """The same document each time, without variables."""

    def source(words: Words) -> Source:
        body = orjson.dumps({"query": worded(document, words)})
        return lambda _: body

    return source


def with_input(
    document: str, make_input: Callable[[Person, Words], dict[str, Any]]
) -> Callable[[Words], Source]:
    """The same document each time, with an input of its own."""

    def source(words: Words) -> Source:
        start = orjson.dumps({"query": worded(document, words)}).removesuffix(b"}")

        def body(person: Person) -> bytes:
            given = orjson.dumps(make_input(person, words))
            return start + b',"variables":{"input":' + given + b"}}"

        return body

    return source


def each_its_own(texts: Callable[[], Iterator[str]]) -> Callable[[Words], Source]:
    """Another document each time."""

    def source(words: Words) -> Source:
        bodies = (orjson.dumps({"query": worded(text, words)}) for text in texts())
        return lambda _: next(bodies)

    return source


def in_rotation(number: int) -> Callable[[Words], Source]:
    """Different documents, again and again in the same order."""
    texts = random.Random(number).sample(list(documents.different_documents()), number)

    def source(words: Words) -> Source:
        bodies = cycle([orjson.dumps({"query": worded(text, words)}) for text in texts])
        return lambda _: next(bodies)

    return source


def _spend(_: Person, __: Words) -> dict[str, Any]:
    key = uuid4().hex
    return {"amount": 1, "reason": "filter", "referenceId": key, "idempotencyKey": key}


def _rename(person: Person, words: Words) -> dict[str, Any]:
    if words is OURS:
        return {"id": f"profile_{person.profile_id}", "name": "Ada"}
    return {"rowId": str(person.profile_id), "profilePatch": {"name": "Ada"}}


def _sign_in(person: Person, _: Words) -> dict[str, Any]:
    return {"email": person.email, "password": PASSWORD}


WORKLOADS = (
    Workload(
        "Q1",
        "nested read: viewer, 20 profiles, 20 generations with their tool",
        documents.NESTED_READ,
        same(documents.NESTED_READ),
        goals={BARE: 0.9, POSTGRAPHILE: 3.5},
    ),
    Workload(
        "Q2",
        "point read: viewer and balance",
        documents.POINT_READ,
        same(documents.POINT_READ),
        goals={BARE: 0.9, POSTGRAPHILE: 3.5},
    ),
    Workload(
        "Q3",
        "three levels: 20 of 50 generations, filtered and ordered, with their tool",
        documents.PAGE,
        same(documents.PAGE),
        goals={POSTGRAPHILE: 3},
        own=frozenset({"endCursor"}),
    ),
    Workload(
        "M1",
        "`spendCredits`: one credit, a new key each time",
        documents.SPEND,
        with_input(documents.SPEND, _spend),
        goals={BARE: 0.9, POSTGRAPHILE: 2},
        own=frozenset({"id"}),
        spends=True,
    ),
    Workload(
        "M2",
        "`spendCredits` with a payload of 8 fields",
        documents.SPEND_WITH_DETAILS,
        with_input(documents.SPEND_WITH_DETAILS, _spend),
        goals={POSTGRAPHILE: 3},
        own=frozenset({"id", "referenceId", "createdAt"}),
        spends=True,
    ),
    Workload(
        "M3",
        "`updateProfile` with a payload of 8 fields",
        documents.UPDATE_PROFILE,
        with_input(documents.UPDATE_PROFILE, _rename),
        peers=(STRAWBERRY, POSTGRAPHILE),
        own=frozenset({"updatedAt", "syncedAt"}),
    ),
    Workload(
        "D1",
        "a cold document: Q1 in a text never seen before",
        next(documents.never_seen_documents()),
        each_its_own(documents.never_seen_documents),
        peers=(STRAWBERRY, POSTGRAPHILE),
        goals={STRAWBERRY: 1},
        most_connections=COLD_CONNECTIONS,
    ),
)
SIGN_IN = Workload(
    "L1",
    "`signIn` with a password",
    documents.SIGN_IN,
    with_input(documents.SIGN_IN, _sign_in),
    peers=(BARE,),
    goals={BARE: 0.9},
    own=frozenset({"signIn"}),  # argon2 alone opens no session
    needs_token=False,
)
GENERATION = Workload(
    "G1",
    "`createGeneration` until it has succeeded, the photo recoloured by the offline provider",
    documents.CREATE_GENERATION,
    same(documents.CREATE_GENERATION),
    peers=(),
)
ROTATION = "D2"
NAMES = (*(workload.name for workload in WORKLOADS), ROTATION, SIGN_IN.name, GENERATION.name)


def all_workloads(different_documents: int) -> tuple[Workload, ...]:
    """Those that are one request each, with a rotation of so many documents."""
    rotation = Workload(
        ROTATION,
        f"{different_documents:,} different documents in rotation: Q1, each with other fields",
        next(documents.different_documents()),
        in_rotation(different_documents),
        peers=(STRAWBERRY, POSTGRAPHILE),
        goals={POSTGRAPHILE: 3},
        rotation=different_documents,
        most_connections=COLD_CONNECTIONS,
    )
    return (*WORKLOADS, rotation, SIGN_IN)
