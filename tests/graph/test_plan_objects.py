"""What is kept of documents has few objects: each full garbage collection looks at all of them."""

from __future__ import annotations

import gc

import pytest
from graphql import OperationType

from graph.engine.documents.store import NORMALIZED_BYTES
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.planning.planning import Planning

# Some 0.7 µs each, and the loop may be kept for 50 ms.
OBJECTS_LIMIT = 60_000
DOCUMENTS = 4
MUTATION = 'markNotificationRead(input: {id: "no"}) { notification { id } errors { code message } }'
# A field many times under aliases, as large as documents may be; `#` is the document's number.
LARGE = {
    "pages": ("{ viewer { %s } }", "profiles(first: 5) { nodes { id } }", 99),
    "cursors": (
        "{ viewer { %s } }",
        'profiles(first: 5, after: "x") { nodes { id } pageInfo { endCursor } }',
        90,
    ),
    "conditions": (
        "{ viewer { %s } }",
        "generations(where: {status: {eq: SUCCEEDED}}, orderBy: {field: CREATED_AT, "
        "direction: DESC}) { nodes { id } }",
        50,
    ),
    "computed fields": ("{ viewer { %s } }", "generations { nodes { imageUrl id status } }", 90),
    "nodes": ("{ %s }", 'node(id: "profile_x") { ... on Profile { id } }', 99),
    "variables": (
        f"query ({' '.join(f'$v{n}x#: Int' for n in range(99))}) {{ viewer {{ %s }} }}",
        "profiles(first: $v0x#) { nodes { id } }",
        99,
    ),
    "mutations": ("mutation { %s }", MUTATION, 60),
}


def large(name: str, number: int) -> str:
    """A document of a kind that is like no other."""
    around, field, times = LARGE[name]
    fields = (f"a{n}x{number}: {field}".replace("$v0", f"$v{n}") for n in range(times))
    return (around % " ".join(fields)).replace("#", str(number))


def plan(engine: Engine, text: str) -> int:
    """Reads and plans a document; what its remembered form weighs."""
    operation = engine.documents.operation(text, None)
    variables = coerce_variables(engine.schema, operation, {})
    if operation.kind is OperationType.MUTATION:
        engine.mutation_fields(operation, variables)
    else:
        engine._query_plan(Planning(engine.schema, operation, variables, signed_in=True))
    return operation.normalized.size_bytes


@pytest.mark.parametrize("name", LARGE)
def test_a_full_cache_of_large_documents_has_few_objects(engine: Engine, name: str) -> None:
    plan(engine, large(name, 0))
    gc.collect()
    before = len(gc.get_objects())
    weight = min([plan(engine, large(name, number)) for number in range(1, DOCUMENTS + 1)])
    gc.collect()
    each = (len(gc.get_objects()) - before) / DOCUMENTS
    assert each * NORMALIZED_BYTES / weight < OBJECTS_LIMIT
