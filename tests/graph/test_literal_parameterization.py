"""Texts that differ in literals share a normalized document, and each still means what it says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import FieldNode, GraphQLObjectType, GraphQLSchema, get_named_type
from hypothesis import given
from hypothesis import strategies as st

from graph.engine.documents.limits import Limits, check_text
from graph.engine.documents.literal_parameterization import normalize
from graph.engine.documents.operation import Operation, Variables
from graph.engine.documents.parsing import Strings
from graph.engine.documents.store import Documents
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.planning.arguments import argument_values
from graph.engine.planning.selection import Selections, sub_selections
from graph.schema import build_schema
from graph.shared.errors import RequestError

from ..conftest import MakeUser
from .conftest import Ask

SCHEMA = build_schema()._schema
GENERATION = "generation_0190a3c4-0000-7000-8000-00000000000"
# Each is one request; some are wrong. Close relatives stand beside one another.
TEXTS = [
    "{ viewer { generations(first: 1) { nodes { id } } } }",
    "{ viewer { generations(first: 2) { nodes { id } } } }",
    "{viewer{generations(first:3){nodes{id}}}}",
    "{ viewer { generations(first: -0) { nodes { id } } } }",
    "{ viewer { generations(first: 99999999999) { nodes { id } } } }",
    "{ viewer { generations(first: 1.0) { nodes { id } } } }",
    "{ viewer { generations(first: 1e2) { nodes { id } } } }",
    '{ viewer { generations(first: "1") { nodes { id } } } }',
    "{ viewer { generations(first: 01) { nodes { id } } } }",
    "{ viewer { generations(first: 1a) { nodes { id } } } }",
    "{ viewer { generations(first: null) { nodes { id } } } }",
    "{ viewer { generations(first: $n) { nodes { id } } } }",
    "query($n: Int = 1) { viewer { generations(first: $n) { nodes { id } } } }",
    "query($n: Int = 2) { viewer { generations(first: $n) { nodes { id } } } }",
    "query($n: Int = 2.5) { viewer { generations(first: $n) { nodes { id } } } }",
    'query($n: Int = 2, $c: Cursor = "x") { viewer { generations(first: $n, after: $c) { nodes { id } } } }',
    'query($n: Int = 2, $c: Cursor = "y") { viewer { generations(first: $n, after: $c) { nodes { id } } } }',
    "{ viewer { generations(first: 1) { nodes { id } } generations(first: 1) { nodes { status } } } }",
    "{ viewer { generations(first: 1) { nodes { id } } generations(first: 2) { nodes { status } } } }",
    "{ viewer { generations(first: 2) { nodes { id } } generations(first: 2) { nodes { status } } } }",
    f'{{ node(id: "{GENERATION}1") {{ id }} }}',
    f'{{ node(id: "{GENERATION}2") {{ id }} }}',
    '{ node(id: "tool_hair-color") { id } }',
    r'{ node(id: "tool\u005fhair-color") { id } }',
    '{ node(id: """tool_hair-color""") { id } }',
    "{ node(id: 12) { id } }",
    '{ node(id: "unclosed) { id } }',
    '{ node(id: "\\ud800") { id } }',
    '{ node(id: "\x00") { id } }',
    f'{{ nodes(ids: ["{GENERATION}1", "tool_hair-color"]) {{ id }} }}',
    f'{{ nodes(ids: ["{GENERATION}2", "tool_hair-color"]) {{ id }} }}',
    f'{{ nodes(ids: "{GENERATION}2") {{ id }} }}',
    '{ nodes(ids: ["a", "a"]) { id } a: nodes(ids: ["b", "a"]) { id } }',
    '{ viewer { generations(where: {createdAt: {gte: "2026-01-01T00:00:00Z"}}) { nodes { id } } } }',
    '{ viewer { generations(where: {createdAt: {gte: "2027-01-01T00:00:00Z"}}) { nodes { id } } } }',
    '{ viewer { generations(where: {createdAt: {gte: "yesterday"}}) { nodes { id } } } }',
    '{ viewer { generations(where: {createdAt: {gt: "2027-01-01T00:00:00Z"}}) { nodes { id } } } }',
    '{ viewer { generations(where: {status: {in: [QUEUED, RUNNING]}}) { nodes { id } } } }',
    '{ viewer { generations(where: {status: {in: ["QUEUED"]}}) { nodes { id } } } }',
    "{ viewer @skip(if: true) { id } viewer { email } }",
    "{ viewer @skip(if: false) { id } viewer { email } }",
    "{ viewer @skip(if: 1) { id } }",
    '{ viewer @skip(if: "true") { generations(first: 1) { nodes { id } } } }',
    "{ viewer @include(if: true) { generations(first: 1) { nodes { id } } } }",
    "{ viewer @include(if: true) { generations(first: 5) { nodes { id } } } }",
    '# a comment "1"\n{ viewer { id } }',
    '# a comment "2"\n{ viewer { id } }',
    '"a description" query { viewer { id } }',
    '"another" query { viewer { id } }',
    '{ __type(name: "User") { name } }',
    '{ __type(name: "Tool") { name } }',
    "{ viewer\xa0{ id } }",
    'mutation { spendCredits(input: {amount: 1, idempotencyKey: "a"}) { errors { code } } }',
    'mutation { spendCredits(input: {amount: 2, idempotencyKey: "b"}) { errors { code } } }',
    'mutation { spendCredits(input: {amount: "2", idempotencyKey: "b"}) { errors { code } } }',
    'mutation { spendCredits(input: {idempotencyKey: "b", amount: 2}) { errors { code } } }',
    'mutation { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: {color: "#ff0000", n: [1, 2.5, true, null]}}) { errors { code } } }',
    'mutation { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: {color: "#00ff00", n: [7, 1e3, true, null]}}) { errors { code } } }',
    'mutation($c: JSON) { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: {color: $c, n: 1}}) { errors { code } } }',
    'mutation($c: JSON) { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: {color: $c, n: 2}}) { errors { code } } }',
    'mutation { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: "x"}) { errors { code } } }',
    'mutation { createGeneration(input: {toolId: "t", uploadId: "u", idempotencyKey: "k", parameters: [1, "x"]}) { errors { code } } }',
]  # fmt: skip


def fresh(schema: GraphQLSchema = SCHEMA) -> Documents:
    """Documents that have read nothing yet."""
    return Documents(schema, introspection=True)


def meaning(documents: Documents, text: str) -> Any:
    """What a text asks for, every argument with its value; or how it is refused."""
    try:
        operation = documents.operation(text, None)
        variables = coerce_variables(SCHEMA, operation, {})
    except RequestError as error:
        return error.formatted()
    return list(_asked(operation, variables)) if "__type" not in text else "introspection"


def _asked(operation: Operation, variables: Variables) -> Iterator[Any]:
    selections = Selections(SCHEMA, operation.normalized.syntax().fragments, variables.coerced)
    root = SCHEMA.get_root_type(operation.kind)
    assert root is not None

    def below(parent: GraphQLObjectType, found: dict[str, list[FieldNode]]) -> Iterator[Any]:
        for key, nodes in found.items():
            definition = parent.fields[nodes[0].name.value]
            yield key, repr(argument_values(definition, nodes[0], variables))
            named = get_named_type(definition.type)
            if isinstance(named, GraphQLObjectType):
                yield from below(named, selections.collect(named, sub_selections(nodes)))

    yield from below(
        root, selections.collect(root, [operation.normalized.syntax().node.selection_set])
    )


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What each text means to a process that has read no other."""
    return {text: meaning(fresh(), text) for text in TEXTS}


@pytest.mark.parametrize("seed", range(6))
def test_a_text_means_the_same_whatever_was_read_before(seed: int, alone: dict[str, Any]) -> None:
    documents = fresh()
    order = random.Random(seed).sample(TEXTS, len(TEXTS))
    for text in [*order, *reversed(order)]:
        assert meaning(documents, text) == alone[text], text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TEXTS[0], TEXTS[1]),
        (TEXTS[0], TEXTS[2]),
        (TEXTS[17], TEXTS[19]),
        (f'{{ node(id: "{GENERATION}1") {{ id }} }}', '{ node(id: """tool\n_x""") { id } }'),
        (TEXTS[-6], TEXTS[-5]),
    ],
)
def test_texts_that_differ_in_literals_share_one_normalized_document(
    first: str, second: str
) -> None:
    documents = fresh()
    one, other = documents.operation(first, None), documents.operation(second, None)
    assert one.normalized is other.normalized


def test_texts_without_literals_share_one_whatever_their_spaces() -> None:
    documents = fresh()
    one = documents.operation("{ viewer { id } }", None)
    other = documents.operation("{viewer{id}} # the same", None)
    assert one.normalized is other.normalized


def test_a_normalized_document_keeps_which_literals_are_equal() -> None:
    equal = "{ viewer { a: generations(first: 1) { totalCount } b: generations(first: %s) { totalCount } } }"
    documents = fresh()
    assert (
        documents.operation(equal % 1, None).normalized
        is not documents.operation(equal % 2, None).normalized
    )
    assert (
        documents.operation(equal % 2, None).normalized
        is documents.operation(equal % 3, None).normalized
    )


def test_a_cost_is_checked_for_each_texts_own_sizes() -> None:
    documents = Documents(SCHEMA, introspection=True, limits=Limits(rows=50))
    text = "{ viewer { generations(first: %s) { nodes { id } } } }"
    documents.operation(text % 20, None)
    with pytest.raises(RequestError, match="number of rows"):
        documents.operation(text % 99, None)
    documents.operation(text % 21, None)


def test_an_unknown_text_with_a_known_normalized_document_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = fresh()
    documents.operation(TEXTS[0], None)
    monkeypatch.setattr("graph.engine.documents.store.valid_document", None)
    assert "'first': 2" in meaning(documents, TEXTS[1])[1][1]


def test_a_normalized_document_that_was_forgotten_is_read_again() -> None:
    documents = fresh()
    before = documents.operation(TEXTS[0], None).normalized
    documents._normalized_documents._entries.clear()
    after = documents.operation(TEXTS[0], None).normalized
    assert after is not before
    assert documents.operation(TEXTS[1], None).normalized is after


@given(
    st.integers(-(10**12), 10**12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.booleans(),
)
def test_any_literal_means_what_it_says(number: int, string: str, escaped: bool) -> None:
    quoted = "".join(f"\\u{{{ord(c):x}}}" for c in string) if escaped else _quoted(string)
    text = f'{{ viewer {{ generations(first: {number}, after: "{quoted}") {{ totalCount }} }} }}'
    documents = fresh()
    documents.operation(TEXTS[0].replace("first: 1", 'first: 1, after: "x"'), None)
    assert meaning(documents, text) == meaning(fresh(), text)


def _quoted(string: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
    return "".join(escapes.get(character, character) for character in string)


def test_normalized_text_keeps_defaults_and_directives() -> None:
    text = 'query($a: Int = 5, $b: ID = "x") { f(n: 1) @d(s: "y") { g(n: 2) } }'
    normalized = normalize(check_text(text, Limits()), Strings())
    assert normalized is not None
    assert [node.value for node in normalized.literals] == ["1", "2"]
    assert '"x"' in normalized.text
    assert '"y"' in normalized.text


async def test_each_text_is_answered_with_its_own_literals(
    engine: Engine, ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user(credits=20)
    spend = 'mutation {{ spendCredits(input: {{amount: {0}, idempotencyKey: "{1}"}}) {{ transaction {{ amount }} }} }}'
    for amount, key in ((1, "a"), (3, "b"), (1, "a"), (2, 'c\\"d')):
        answer = await ask(spend.format(amount, key), actor=actor)
        assert answer["data"]["spendCredits"]["transaction"] == {"amount": -amount}
    page = "{{ viewer {{ creditTransactions(first: {0}) {{ nodes {{ amount }} }} }} }}"
    for size in (1, 2, 3, 2, 1):
        answer = await ask(page.format(size), actor=actor)
        assert len(answer["data"]["viewer"]["creditTransactions"]["nodes"]) == size
    assert len(engine.documents.operation(page.format(1), None).plans) == 1
    for size in (0, 101):
        answer = await ask(page.format(size), actor=actor)
        assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_ids_of_several_types_have_a_plan_each(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    text = '{{ node(id: "{0}") {{ __typename }} }}'
    user = f"user_{actor.user_id}"
    for global_id, name in ((user, "User"), ("tool_hair-color", "Tool"), (user, "User")):
        answer = await ask(text.format(global_id), actor=actor)
        assert answer["data"]["node"] == {"__typename": name}
