"""What is measured: three operations, and the one statement that each of them becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from db.actor import Actor
from db.pool import Database
from graph.context import Context
from graph.engine.documents import Operation
from graph.engine.engine import Engine
from graph.engine.outcomes import SqlVerb
from graph.engine.parameters import Request
from graph.engine.variables import coerce_variables
from graph.schema import build_schema
from settings import Settings

NESTED_READ = """query Home {
  viewer {
    id
    profiles(first: 20) { nodes { id name createdAt } }
    generations(first: 20) {
      nodes { id status creditsCharged createdAt tool { id nameKey } }
    }
  }
}"""
POINT_READ = "query Balance { viewer { id credits { balance } } }"
SPEND = """mutation Spend($input: SpendCreditsInput!) {
  spendCredits(input: $input) {
    transaction { id amount balanceAfter type }
    credits { balance }
    errors { code }
  }
}"""
# Where the peer puts a request's own values; everything else in a statement is the same each time.
USER_ID, USER_CLAIM, USER_OBJECT = "user id", "user claim", "user object"


@dataclass(frozen=True)
class Workload:
    """One operation, as a client sends it over and over."""

    name: str
    title: str
    document: str
    is_mutation: bool = False

    def body(self) -> Callable[[], bytes]:
        """Makes the body of each next request; a mutation's carries a new idempotency key."""
        if not self.is_mutation:
            fixed = orjson.dumps({"query": self.document})
            return lambda: fixed
        start = orjson.dumps({"query": self.document, "variables": {}}).removesuffix(b"{}}")
        return lambda: (
            start + b'{"input":{"amount":1,"idempotencyKey":"%s"}}}' % uuid4().hex.encode()
        )


WORKLOADS = (
    Workload("Q1", "nested read: viewer, 20 profiles, 20 generations with their tool", NESTED_READ),
    Workload("Q2", "point read: viewer and balance", POINT_READ),
    Workload("M1", "spendCredits: one credit, a new key each", SPEND, is_mutation=True),
)


async def export_statements(owner_url: str, settings: Settings) -> dict[str, Any]:
    """For each document, the engine's own SQL and the arguments it binds.

    An argument is `["user id"]` and the like, `["input", name]`, or `["constant", value]`.
    """
    engine = Engine(build_schema(), Database(owner_url, settings), introspection=True)
    exported = {}
    for workload in WORKLOADS:
        operation = engine.documents.operation(workload.document, None)
        export = _mutation if workload.is_mutation else _query
        exported[workload.document] = await export(engine, operation)
    return exported


async def _query(engine: Engine, operation: Operation) -> dict[str, Any]:
    actor = Actor("authenticated", uuid4())
    variables = coerce_variables(engine.schema, operation, {})
    statement = engine.query_statement(operation, variables, actor)
    assert statement is not None, "these queries compile"
    assert not statement.finishers, "the peer finishes nothing in Python"
    values = statement.arguments(Request(variables, actor.user_id))
    arguments = [[USER_ID] if value == actor.user_id else ["constant", value] for value in values]
    return {"sql": statement.with_claims, "arguments": [*arguments, [USER_CLAIM]]}


async def _mutation(engine: Engine, operation: Operation) -> dict[str, Any]:
    actor = Actor("authenticated", uuid4())
    given = {"amount": 1, "idempotencyKey": "key"}
    variables = coerce_variables(engine.schema, operation, {"input": given})
    (field,) = engine.mutation_fields(operation, variables).values()
    assert field is not None
    verb = await field.operation(Context(actor, None, "export"), **field.arguments(variables))  # type: ignore[arg-type]
    assert isinstance(verb, SqlVerb)
    statement = field.payload.verb_statement(verb)
    assert statement is not None, "a hot mutation is one statement"
    names = {1: "amount", "key": "idempotencyKey"}
    arguments: list[list[Any]] = [
        ["input", names[value]] if value in names else ["constant", value]
        for _, value in verb.arguments
    ]
    parameters = statement.parameters(Request(variables, actor.user_id))
    assert list(parameters.values()) == [actor.user_id], "the payload is chosen by the actor alone"
    return {
        "sql": statement.sql,
        "arguments": [
            *arguments,
            ["constant", statement.selection],
            [USER_OBJECT, next(iter(parameters))],
            [USER_CLAIM],
        ],
    }
