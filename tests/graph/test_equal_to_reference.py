"""The compiled path answers what graphql-core answers over the same rows, key order included."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import batched
from random import SystemRandom
from typing import Any

import asyncpg
import orjson
import pytest
from graphql import get_named_type, is_leaf_type
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as profile

from db.core.access import Admin
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from graph.engine.execution.engine import Engine
from graph.engine.specs import Report, backing_of, spec_of
from graph.shared.errors import RequestError
from server.services import Services

from .operations import FEATURES, Operation, operations
from .reference.both import Both
from .reference.people import ACTORS, ADA, GUEST, TEXTS, known
from .reference.world import World, fill

NOW = 1_800_000_000.0
EXAMPLES = 100
MOST_ROUNDS = 9
ENOUGH_OPERATIONS = 280
NIGHTLY_EXAMPLES = 5_200
FIELDS_AT_ONCE = 10


@pytest.fixture(scope="session")
async def world(cluster: EmbeddedDatabase, database: Database) -> World:
    """The rows, made once."""
    owner = await asyncpg.connect(cluster.owner_url)
    made = await fill(owner, database)
    await owner.close()
    return made


@pytest.fixture
def both(engine: Engine, services: Services, world: World, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Both ways of answering, at one time, so that signed links are the same."""
    for module in ("graph.uploads", "graph.leaving"):
        monkeypatch.setattr(f"{module}.time", lambda: NOW)
    return Both(engine, services)


def backed_fields(engine: Engine) -> set[tuple[str, str]]:
    """Every field of every type that has a table; what is for admins has a test of its own.

    So has what a SQL function reports.
    """
    query = engine.schema.query_type
    assert query is not None
    reported = {
        get_named_type(field.type).name
        for field in query.fields.values()
        if isinstance(spec_of(field), Report)
    }
    return {
        (graph_type.name, name)
        for graph_type in engine.schema.type_map.values()
        if (backing := backing_of(graph_type)) is not None
        and backing.model.access.read != Admin()
        and graph_type.name not in reported
        for name in graph_type.fields  # type: ignore[attr-defined]
    }


async def compare(both: Both, world: World, number: int, seeded: Any) -> Counter[str]:
    """Compares `number` operations and returns how often each feature was seen."""
    seen: Counter[str] = Counter()
    loop = asyncio.get_running_loop()

    @seeded  # type: ignore[untyped-decorator]
    @profile(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a failure shows its operation whole; smaller takes minutes
    )
    @given(operations(both.engine.schema, world))
    def check(operation: Operation) -> None:
        asked = both.same(operation.text, operation.variables, ACTORS[operation.actor])
        try:
            asyncio.run_coroutine_threadsafe(asked, loop).result()
        except RequestError as refusal:
            if refusal.code is not ErrorCode.QUERY_TOO_COMPLEX:
                raise
            seen["refused"] += 1
            return
        seen["operations"] += 1
        seen.update(operation.features)

    await asyncio.to_thread(check)
    return seen


def uncovered(both: Both, seen: Counter[str]) -> set[object]:
    """The features and fields that no operation had yet."""
    return {*(FEATURES - set(seen)), *(backed_fields(both.engine) - both.answered)}


def everything_of(graph_type: Any, depth: int) -> str:
    """A selection of every field, and of all that lies in the objects of so many levels below."""
    return " ".join(["__typename", *fields_of(graph_type, depth)])


def fields_of(graph_type: Any, depth: int) -> list[str]:
    """Each field, with all that lies in the objects of so many levels below."""
    parts = []
    for name, field in graph_type.fields.items():
        named = get_named_type(field.type)
        if is_leaf_type(named):
            parts.append(name)
        elif depth and "first" in field.args:
            item = everything_of(get_named_type(named.fields["nodes"].type), depth - 1)
            parts.append(f"{name}(first: 2) {{ totalCount nodes {{ {item} }} }}")
        elif depth:
            parts.append(f"{name} {{ {everything_of(named, depth - 1)} }}")
    return parts


async def ask_for_every_field(both: Both, world: World) -> None:
    """Asks for all that each kind of object there is in this world shows.

    Chance would reach what few objects have, deep inside others, only after thousands of operations.
    """
    for name, ids in world.ids.items():
        # All that a user or a product has would cost more than one request may.
        for fields in batched(fields_of(both.engine.schema.type_map[name], 1), FIELDS_AT_ONCE):
            fragment = f"... on {name} {{ __typename {' '.join(fields)} }}"
            await both.same(
                f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ {fragment} }} }}", {"ids": ids}
            )
    for name, field in both.engine.schema.query_type.fields.items():  # type: ignore[union-attr]
        named = get_named_type(field.type)
        if not (field.args or is_leaf_type(named) or isinstance(spec_of(field), Report)):
            for fields in batched(fields_of(named, 1), FIELDS_AT_ONCE):
                # A page in each item of a list without pages would cost too much.
                shown = " ".join(f for f in fields if named.name != "Product" or "(" not in f)
                await both.same(f"{{ {name} {{ __typename {shown} }} }}", {})


async def ask_behind_rows_that_are_gone(both: Both, world: World) -> int:
    """Asks for what comes after and before each such row; how often.

    Two of the many lists have cursors like that, and chance hardly reaches them.
    """
    asked = 0
    for page, cursors in world.cursors.items():
        name, _, order = page.partition(" ")
        by, _, way = order.partition(" ")
        sorting = f", orderBy: {{field: {by}, direction: {way}}}" if by else ""
        for cursor in world.stale.intersection(cursors):
            for side in ("after", "before"):
                listed = f'{name}({side}: "{cursor}"{sorting}) {{ nodes {{ id }} }}'
                await both.same(f"{{ viewer {{ {listed} }} }}")
                asked += 1
    return asked


@pytest.mark.timeout(600)
async def test_generated_operations_have_one_answer(
    both: Both, world: World, owner: asyncpg.Connection
) -> None:
    # What other tests measured may be a whole number, which only Python writes with a fraction.
    await owner.execute("delete from alerts")
    await ask_for_every_field(both, world)
    seen = Counter({"stale cursor": await ask_behind_rows_that_are_gone(both, world)})
    for number in range(MOST_ROUNDS):
        seen += await compare(both, world, EXAMPLES, seed(number))
        if seen["operations"] >= ENOUGH_OPERATIONS and not uncovered(both, seen):
            break
    assert uncovered(both, seen) == set()
    assert seen["operations"] >= ENOUGH_OPERATIONS
    assert seen["refused"] <= seen["operations"] // 10, seen


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_very_many_generated_operations_have_one_answer(both: Both, world: World) -> None:
    number = SystemRandom().randrange(2**32)
    seen = await compare(both, world, NIGHTLY_EXAMPLES, seed(number))
    assert uncovered(both, seen) == set(), f"seed {number}"
    assert seen["operations"] >= 5_000, f"seed {number}"


def every_field(both: Both, type_name: str) -> str:
    """A selection of every field that needs no selection of its own."""
    fields: dict[str, Any] = both.engine.schema.type_map[type_name].fields  # type: ignore[attr-defined]
    return " ".join(n for n, f in fields.items() if is_leaf_type(get_named_type(f.type)))


PAGES = {
    "profiles": "Profile",
    "generations": "Generation",
    "notifications": "Notification",
    "creditTransactions": "CreditTransaction",
    "creditGrants": "CreditGrant",
}
# What accounts have, four of each.
ACCOUNT_PAGES = {
    "sessions": "Session",
    "apiKeys": "ApiKey",
    "exports": "DataExport",
    "passkeys": "Passkey",
    "identities": "UserIdentity",
    "auditLog": "AuditEntry",
}


@pytest.mark.parametrize("actor", ["ada", "guest", "nobody"])
async def test_what_is_for_admins_is_written_the_same(both: Both, actor: str) -> None:
    parts = [
        f"{page} {{ totalCount nodes {{ {every_field(both, item)} }} edges {{ cursor }} }}"
        for page, item in (("generationLogs", "GenerationLog"), ("deadJobs", "DeadJob"))
    ]
    circuits = f"providerCircuits {{ {every_field(both, 'ProviderCircuit')} }}"
    answer = await both.same(f"{{ {' '.join(parts)} {circuits} }}", actor=ACTORS[actor])
    assert all(answer["data"].values()) == (actor == "ada")


@pytest.mark.parametrize("page", PAGES | ACCOUNT_PAGES)
@pytest.mark.parametrize("actor", ACTORS)
async def test_every_value_is_written_the_same(both: Both, page: str, actor: str) -> None:
    fields = every_field(both, (PAGES | ACCOUNT_PAGES)[page])
    text = f"{{ viewer {{ {page} {{ totalCount nodes {{ {fields} }} edges {{ cursor }} }} }} }}"
    answer = await both.same(text, actor=ACTORS[actor])
    if actor == "ada":
        assert len(answer["data"]["viewer"][page]["nodes"]) >= (3 if page in ACCOUNT_PAGES else 5)


WIDE = " ".join(f"field{n}: {('email', 'id', 'createdAt')[n % 3]}" for n in range(90))
LONG = "a" * 63
DEEP = "... { " * 12 + "id credits { balance }" + " }" * 12
CASES = {
    "more than 50 fields": f"{{ viewer {{ {WIDE} }} }}",
    "more than 50 fields in a list": f"{{ plans {{ {WIDE.replace('email', 'name').replace('createdAt', 'sortOrder')} }} }}",
    "names longer than 63 bytes": f"{{ {LONG}1: viewer {{ {LONG}2: id {LONG}3: email "
    f"{LONG}{LONG}: generations(first: 1) {{ {LONG}4: nodes {{ {LONG}5: imageUrl {LONG}6: id }} }} }} }}",
    "deep nesting": f"{{ viewer {{ {DEEP} }} }}",
    "deep inside a list": "{ viewer { generations { edges { node { tool { ... { ... { parametersSchema } } } } } } } }",
    "a switched-off tool is null": "{ viewer { generations { nodes { toolId: tool { id } status } } } }",
    "no picture, no link": "{ viewer { generations { nodes { status imageUrl } edges { node { imageUrl } } } } }",
    "only a count": "{ viewer { generations { totalCount } profiles(last: 1) { __typename totalCount } } }",
    "only names of types": "{ __typename viewer { __typename generations { __typename pageInfo { __typename } } } }",
    "a page's ends alone": "{ viewer { profiles(first: 2) { pageInfo { hasPreviousPage } } } }",
    "an empty object": "{ viewer { id @skip(if: true) generations { nodes { id @include(if: false) } } } }",
    "an empty answer": "{ viewer @skip(if: true) { id } }",
    "the same connection twice": "{ viewer { a: profiles(first: 2) { nodes { id } pageInfo { endCursor } } "
    "b: profiles(last: 2, orderBy: {field: UPDATED_AT, direction: ASC}) { nodes { id } totalCount } } }",
    "an alias that is another field": "{ viewer { id: email email: id credits: displayName } }",
    "key order follows the first mention": "{ viewer { ...B id ...A } } fragment A on User { email displayName } "
    "fragment B on User { createdAt ...A }",
    "selections merge": "{ viewer { credits { held } credits { balance held } id credits { available } } }",
    "faults stay where they are": "{ a: viewer { generations(first: 0) { totalCount } } tools { id } "
    'b: viewer { profiles(after: "x") { totalCount } generations(last: 0) { totalCount } } c: viewer { id } }',
    "no fault where there is no parent": f'{{ node(id: "user_{known(ADA, "none", 0)}") '
    "{ ... on User { generations(first: 0) { totalCount } } } }",
    "a fault in one of several nodes": f'{{ nodes(ids: ["plan_free", "user_{ADA.user_id}", "user_x"]) '
    "{ id ... on User { profiles(first: 101) { totalCount } } } }",
    "Unicode in an argument": '{ node(id: "tool_日本語 🧑🏽‍🎤") { id } }',
}


@pytest.mark.parametrize("case", CASES)
async def test_cases_have_one_answer(both: Both, case: str) -> None:
    await both.same(CASES[case])
    await both.same(CASES[case], actor=GUEST)


async def test_what_the_cases_are_about_is_there(both: Both) -> None:
    switched_off = await both.same(CASES["a switched-off tool is null"])
    tools = [node["toolId"] for node in switched_off["data"]["viewer"]["generations"]["nodes"]]
    assert None in tools
    assert {"id": "tool_halloween"} in tools
    timestamps = await both.same("{ viewer { notifications { nodes { createdAt titleKey } } } }")
    shown = [node["createdAt"] for node in timestamps["data"]["viewer"]["notifications"]["nodes"]]
    for ending in (".000000Z", ".500000Z", ".000001Z", ".999999Z", "1969-12-31T23:59:59.120000Z"):
        assert any(timestamp.endswith(ending) for timestamp in shown) or ending.startswith("1969")
    numbers = await both.same("{ viewer { profiles { nodes { localId name } } } }")
    nodes = numbers["data"]["viewer"]["profiles"]["nodes"]
    assert {2**31 - 1, -(2**31), None} <= {node["localId"] for node in nodes}
    assert TEXTS[3] in {node["name"] for node in nodes}


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("query($b: Boolean = true) { viewer { id @include(if: $b) } tools { id } }", {"b": None}),
        ('query($i: ID = "plan_pro") { node(id: $i) { id } plans { id } }', {"i": None}),
        (
            "query($o: ProfileOrder, $w: ProfileWhere) { viewer { profiles(orderBy: $o, where: $w) "
            '{ nodes { id } } } __type(name: "User") { name } }',
            {
                "o": {"field": "UPDATED_AT", "direction": "DESC"},
                "w": {"createdAt": {"gt": "2026-01-01T01:00:00+01:00"}},
            },
        ),
        ("query($n: Int) { viewer { profiles(first: $n) { totalCount } } }", {"n": 0}),
        (
            "query($c: Boolean!) { viewer { a: id @skip(if: $c) b: id @include(if: $c) } }",
            {"c": True},
        ),
    ],
)
async def test_variables_have_one_answer(both: Both, text: str, variables: dict[str, Any]) -> None:
    await both.same(text, variables)
    if variables.get("c"):
        await both.same(text, {"c": False})


MUTATIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("createProfile", "profile", "Profile", {"name": TEXTS[3], "localId": -(2**31) + 1, "analysis": {"a": [None, 0.1, 2**53]}, "chatHistory": [], "createdAt": "2026-05-01T02:00:00.5+02:00"}),
    ("updateProfile", "profile", "Profile", {"id": f"profile_{known(ADA, 'profile', 1)}", "name": None, "analysis": {TEXTS[2]: TEXTS[3]}}),
    ("markNotificationRead", "notification", "Notification", {"id": f"notification_{known(ADA, 'notification', 1)}"}),
    ("createUpload", "upload", "Upload", {"contentType": "image/png", "sizeBytes": 7}),
    ("spendCredits", "transaction", "CreditTransaction", {"amount": 1, "reason": TEXTS[2], "idempotencyKey": "equal"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "type_name", "given_input"), MUTATIONS)
async def test_a_payload_is_what_a_query_reads_afterwards(
    both: Both, name: str, row: str, type_name: str, given_input: dict[str, Any]
) -> None:
    extra = " headers { value __typename name }" if type_name == "Upload" else ""
    fields = f"z: __typename {every_field(both, type_name)}{extra} again: id"
    input_type = f"{name[0].upper()}{name[1:]}Input"
    text = (
        f"mutation($input: {input_type}!) {{ __typename done: {name}(input: $input) "
        f"{{ errors {{ code }} {row} {{ {fields} }} __typename }} }}"
    )
    answer = await both.compiled(text, {"input": given_input})
    assert list(answer["data"]) == ["__typename", "done"]
    done = answer["data"]["done"]
    assert list(done) == ["errors", row, "__typename"]
    assert done["errors"] == []
    query = f"query($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {fields} }} }} }}"
    read = await both.same(query, {"id": done[row]["id"]})
    assert orjson.dumps(read["data"]["node"]) == orjson.dumps(done[row])


async def test_a_mutations_payload_shows_the_wallet_as_it_is_afterwards(both: Both) -> None:
    text = """mutation { spendCredits(input: {amount: 2, idempotencyKey: "wallet"}) {
      credits { available balance held __typename } transaction { id balanceAfter } } }"""
    spent = (await both.compiled(text, {}))["data"]["spendCredits"]
    read = await both.same("{ viewer { credits { available balance held __typename } } }")
    assert orjson.dumps(read["data"]["viewer"]["credits"]) == orjson.dumps(spent["credits"])


async def test_of_two_faults_in_one_null_the_first_in_the_document_is_told(both: Both) -> None:
    wrong_cursor = 'creditTransactions(after: "of another list") { totalCount }'
    wrong_condition = "other: creditTransactions(where: {id: null}) { totalCount }"
    for first, second in ((wrong_cursor, wrong_condition), (wrong_condition, wrong_cursor)):
        response = await both.same(f"{{ viewer {{ {first} {second} }} }}")
        (error,) = response["errors"]
        assert error["path"] == ["viewer", first.partition(":")[0].partition("(")[0]]
