"""What a document and a request may ask for is known before anything runs."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import httpx
import orjson
import pytest
from graphql import get_introspection_query

from db.core.actor import Actor
from graph.engine.documents.costs import Estimate
from graph.engine.documents.limits import Limits
from graph.engine.documents.store import Documents
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.live.source import LiveOperations
from graph.shared.context import Context
from graph.shared.errors import RequestError
from server.http import GraphQLHttp
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from .conftest import Ask
from .hostile import aliases, directives, nested

FULL_INTROSPECTION = get_introspection_query(
    descriptions=True,
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)
FILTERED = "{ viewer { generations(first: 1, where: $w) { nodes { id } } } }"
PAGE = "query($n: Int) { viewer { generations(first: $n) { nodes { id } } } }"


def estimate(engine: Engine, text: str, variables: dict[str, Any] | None = None) -> Estimate:
    """What a request is expected to take."""
    operation = engine.documents.operation(text, None)
    coerced = coerce_variables(engine.schema, operation, variables or {}).coerced
    return operation.normalized.formula.estimate(coerced)


def refusal(documents: Documents, text: str) -> str | None:
    """Why a document is refused as too complex; nothing when it is not."""
    try:
        documents.operation(text, None)
    except RequestError as error:
        return str(error) if error.code == "QUERY_TOO_COMPLEX" else None
    return None


def fields(count: int) -> str:
    """A document with so many fields once its fragment is opened."""
    below = (count - 1) // 2
    rest = "id " * (count - 1 - 2 * below)
    spread = f"fragment F on User {{ {'id ' * below} }}"
    return f"{{ viewer {{ {rest} ...F ...F }} }} {spread}"


@pytest.mark.parametrize(
    ("limits", "at_the_limit", "above", "said"),
    [
        (Limits(), nested(15), nested(16), "16 levels of fields; 15 are"),
        (Limits(), aliases(100), aliases(101), "101 aliases; 100 are"),
        (Limits(directives=4), directives(4), directives(5), "5 directives; 4 are"),
        (Limits(tokens=7), "{viewer{id}} #", "{viewer{id}} # #\n#", "8 tokens; 7 are"),
        (Limits(characters=12), "{viewer{id}}", "{viewer{id} }", "13 characters"),
        (Limits(fields=21), fields(21), fields(22), "22 fields"),
        (
            Limits(definitions=2),
            "{viewer{...A}} fragment A on User{id}",
            "{viewer{...A ...B}} fragment A on User{id} fragment B on User{id}",
            "3 definitions; 2 are",
        ),
        (
            Limits(cost=7),
            "{viewer{generations(first:2){nodes{id}}}}",
            "{viewer{generations(first:3){nodes{id}}}}",
            "cost of this request is estimated at 8; 7 is",
        ),
        (
            Limits(rows=3),
            "{viewer{generations(first:2){nodes{id}}}}",
            "{viewer{generations(first:3){nodes{id}}}}",
            "number of rows of this request is estimated at 4; 3 is",
        ),
    ],
)
def test_at_a_limit_a_document_passes_and_above_it_is_told(
    engine: Engine, limits: Limits, at_the_limit: str, above: str, said: str
) -> None:
    documents = Documents(engine.schema, introspection=True, limits=limits)
    assert refusal(documents, at_the_limit) is None
    message = refusal(documents, above)
    assert message is not None
    assert said in message


def test_limits_come_from_settings(settings: Settings) -> None:
    assert Limits.of(settings) == Limits()
    changed = settings.model_copy(update={"query_depth_limit": 3, "query_cost_limit": 9})
    assert (Limits.of(changed).depth, Limits.of(changed).cost) == (3, 9)


def test_the_whole_schema_can_be_asked_for(engine: Engine) -> None:
    assert refusal(engine.documents, FULL_INTROSPECTION) is None


@pytest.mark.parametrize(
    ("text", "variables", "cost", "rows"),
    [
        ("{ __typename }", None, 1, 0),
        ("{ viewer { id email } }", None, 3, 1),
        ("{ viewer { credits { balance held } } }", None, 4, 2),
        ("{ viewer { a: id ...F } } fragment F on User { a: id }", None, 2, 1),
        ("{ viewer { generations { nodes { id } } } }", None, 2 + 20 * 2, 1 + 20),
        ("{ viewer { partners { nodes { id } } } }", None, 2 + 10 * 2, 1 + 10),
        ("{ viewer { partners(last: 20) { nodes { id } } } }", None, 2 + 20 * 2, 1 + 20),
        (
            "query($n: Int) { viewer { partners(first: $n) { nodes { id } } } }",
            {"n": None},
            2 + 10 * 2,
            1 + 10,
        ),
        ("{ viewer { generations(last: 5) { edges { cursor } } } }", None, 2 + 5 * 2, 1 + 5),
        (
            "{ viewer { generations(first: 3) { totalCount nodes { tool { id } } } } }",
            None,
            2 + 200 + 3 * 3,
            1 + 3 * 2,
        ),
        ("{ viewer { generations(first: 3) { nodes { imageUrl } } } }", None, 2 + 3 * 6, 4),
        ("{ tools { id } }", None, 1 + 100, 100),
        ('{ node(id: "x") { id ... on User { email } } }', None, 3, 1),
        ('{ nodes(ids: ["a", "b"]) { id } }', None, 1 + 2, 2),
        ("query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["a", "b", "c"]}, 1 + 3, 3),
        (PAGE, {"n": 7}, 2 + 7 * 2, 1 + 7),
        (PAGE, {}, 2 + 20 * 2, 1 + 20),
        (PAGE, {"n": None}, 2 + 20 * 2, 1 + 20),
        (PAGE, {"n": 100_000}, 2 + 100 * 2, 1 + 100),
        (PAGE.replace("$n: Int", "$n: Int = 4"), {}, 2 + 4 * 2, 1 + 4),
        (PAGE.replace("nodes {", "nodes @skip(if: true) {"), {"n": 1}, 4, 2),
        (FILTERED.replace("$w", "{}"), None, 4, 2),
        (FILTERED.replace("$w", "{status: {eq: QUEUED}}"), None, 4 + 10, 2),
        (FILTERED.replace("$w", "{status: {in: [QUEUED, RUNNING]}}"), None, 4 + 10, 2),
        (
            "query($t: ToolCondition)"
            + FILTERED.replace("$w", '{createdAt: {gt: "2026-01-01T00:00:00Z"}, tool: $t}'),
            {"t": {"id": {"in": ["a", "b"], "eq": "a"}}},
            4 + 3 * 10,
            2,
        ),
        (
            "query($w: GenerationWhere)" + FILTERED,
            {"w": {"status": {"eq": "QUEUED"}, "tool": {"id": {"eq": "a"}}}},
            4 + 20,
            2,
        ),
        ("query($w: GenerationWhere)" + FILTERED, {"w": None}, 4, 2),
        ("query($w: GenerationWhere)" + FILTERED, {}, 4, 2),
        ("mutation { signOut { errors { code } } }", None, 102, 1),
        ("subscription { creditsChanged { credits { balance } } }", None, 3, 1),
    ],
)
def test_the_cost_follows_from_the_formula(
    engine: Engine, text: str, variables: dict[str, Any] | None, cost: int, rows: int
) -> None:
    assert estimate(engine, text, variables) == Estimate(cost, rows)


async def test_each_requests_variables_are_weighed(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    many = " ".join(f"a{n}: generations(first: $n) {{ nodes {{ id }} }}" for n in range(60))
    text = f"query($n: Int!) {{ viewer {{ {many} }} }}"
    assert "errors" not in await ask(text, {"n": 1}, actor=actor)
    with pytest.raises(RequestError) as caught:
        await ask(text, {"n": 100}, actor=actor)
    assert caught.value.code == "QUERY_TOO_COMPLEX"
    assert "errors" not in await ask(text, {"n": 2}, actor=actor)


async def test_the_cost_is_shown_when_asked_for(engine: Engine, services: Services) -> None:
    transport = httpx.ASGITransport(GraphQLHttp(engine, services))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        request = {"query": PAGE, "variables": {"n": 7}}
        plain = (await client.post("/graphql", json=request)).json()
        told = await client.post("/graphql", json={**request, "extensions": {"cost": True}})
    assert "extensions" not in plain
    assert told.json()["data"] == plain["data"]
    assert told.json()["extensions"] == {
        "cost": {"requested": 16, "limit": 20_000, "rows": 8, "rowLimit": 5_000}
    }


async def told_over_a_socket(
    engine: Engine, services: Services, actor: Actor, payload: dict[str, Any], items: int
) -> list[Any]:
    """The first answers to an operation over a socket, what they say of the cost."""
    told = []
    answers = LiveOperations(engine, services).execute(payload, lambda: actor)
    async with aclosing(answers):  # type: ignore[type-var]
        async for answer in answers:
            told.append(orjson.loads(answer.body).get("extensions"))
            if len(told) == items:
                break
            await ask_to_spend(engine, services, actor)
    return told


async def ask_to_spend(engine: Engine, services: Services, actor: Actor) -> None:
    """One more change of the wallet to hear of."""
    text = 'mutation { spendCredits(input: {amount: 1, idempotencyKey: "k"}) { errors { code } } }'
    await engine.run(text, {}, None, Context(actor, services, "test"))


@pytest.mark.parametrize("asked", [True, False])
async def test_the_cost_is_shown_over_a_socket_once(
    engine: Engine, services: Services, make_user: MakeUser, asked: bool
) -> None:
    actor = await make_user()
    extensions = {"extensions": {"cost": True}} if asked else {}
    query = {"query": PAGE, "variables": {"n": 7}, **extensions}
    watch = {"query": "subscription { creditsChanged { credits { balance } } }", **extensions}
    shown = {"limit": 20_000, "rowLimit": 5_000}
    of_query, of_watch = ({"cost": {"requested": 16, "rows": 8, **shown}},
                          {"cost": {"requested": 3, "rows": 1, **shown}})  # fmt: skip
    told = await told_over_a_socket(engine, services, actor, query, 1)
    assert told == ([of_query] if asked else [None])
    told = await told_over_a_socket(engine, services, actor, watch, 2)
    assert told == ([of_watch, None] if asked else [None, None])


@pytest.mark.parametrize(
    "text", ["{ __schema { types { name } } }", '{ __type(name: "User") { name } }']
)
def test_introspection_can_be_turned_off(engine: Engine, text: str) -> None:
    documents = Documents(engine.schema, introspection=False)
    with pytest.raises(RequestError, match="introspection has been disabled"):
        documents.operation(text, None)
    documents.operation("{ __typename viewer { __typename } }", None)


@pytest.mark.parametrize(
    "text",
    [
        "{ viewr { id } }",
        "{ viewer { emial } }",
        "{ viewer { generations(frist: 1) { nodes { id } } } }",
        "{ viewer { generations(orderBy: {field: CREATED_ATT, direction: ASC}) { totalCount } } }",
        "{ viewer { generations(where: {stattus: {eq: QUEUED}}) { totalCount } } }",
        "{ viewer { ...F } } fragment F on Usr { id }",
        "query($a: Integr) { viewer { id } }",
        "{ viewer { id @includ(if: true) } }",
        "{ node(id: $b) { id } }",
    ],
)
def test_no_mistake_is_answered_with_names_of_the_schema(engine: Engine, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        engine.documents.operation(text, None)
    assert not any("Did you mean" in error.message for error in caught.value.errors)


@pytest.mark.parametrize(
    "given",
    [{"order": {"field": "CREATED_ATT", "direction": "ASC"}}, {"order": {"feild": "CREATED_AT"}}],
)
def test_no_variable_is_answered_with_names_of_the_schema(
    engine: Engine, given: dict[str, Any]
) -> None:
    text = (
        "query($order: GenerationOrder) { viewer { generations(orderBy: $order) { totalCount } } }"
    )
    operation = engine.documents.operation(text, None)
    with pytest.raises(RequestError) as caught:
        coerce_variables(engine.schema, operation, given)
    assert not any("Did you mean" in error.message for error in caught.value.errors)
