"""The engine answers what the GraphQL specification says, from one statement."""

from __future__ import annotations

import gc
from typing import Any

import asyncpg
import pytest

from db.embedded.database import EmbeddedDatabase
from graph.engine.execution.engine import Engine
from graph.shared.errors import RequestError

from ..conftest import MakeUser
from .conftest import Ask

SPEND = """mutation Spend($key: String!, $amount: Int = 1) {
  spendCredits(input: {amount: $amount, idempotencyKey: $key}) {
    transaction { id amount balanceAfter type } credits { balance held available }
    errors { code }
  }
}"""


async def test_fields_come_in_the_documents_order_under_their_aliases(
    ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user(credits=4)
    answer = await ask(
        "{ me: viewer { b: email a: id __typename credits { n: balance } } }", actor=actor
    )
    me = answer["data"]["me"]
    assert list(me) == ["b", "a", "__typename", "credits"]
    assert me["a"] == f"user_{actor.user_id}"
    assert me["__typename"] == "User"
    assert me["credits"] == {"n": 4}


async def test_fragments_merge_and_conditions_choose(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    text = """query($yes: Boolean!, $no: Boolean!) {
      viewer { ...Name ... on User { credits { balance } } credits @include(if: $yes) { held }
               email @skip(if: $yes) gone: id @include(if: $no) ... @include(if: $no) { createdAt } }
    }
    fragment Name on Node { id ...More } fragment More on User { isAnonymous }"""
    answer = await ask(text, {"yes": True, "no": False}, actor=actor)
    viewer = answer["data"]["viewer"]
    assert list(viewer) == ["id", "isAnonymous", "credits"]
    assert viewer["credits"] == {"balance": 10, "held": 0}
    other = await ask(text, {"yes": False, "no": True}, actor=actor)
    assert list(other["data"]["viewer"]) == [
        "id", "isAnonymous", "credits", "email", "gone", "createdAt",
    ]  # fmt: skip


async def test_pages_walk_the_whole_list_once_in_order(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user(credits=20)
    for number in range(7):
        await ask(SPEND, {"key": str(number)}, actor=actor)
    text = """query($first: Int!, $after: Cursor) { viewer { creditTransactions(first: $first, after: $after) {
      nodes { id balanceAfter } edges { cursor node { id } } pageInfo { hasNextPage endCursor } } } }"""
    seen: list[str] = []
    after: str | None = None
    pages = 0
    while True:
        answer = await ask(text, {"first": 3, "after": after}, actor=actor)
        page = answer["data"]["viewer"]["creditTransactions"]
        assert [edge["node"]["id"] for edge in page["edges"]] == [n["id"] for n in page["nodes"]]
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        seen += [node["balanceAfter"] for node in page["nodes"]]
        pages += 1
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == 3
    assert seen == [13, 14, 15, 16, 17, 18, 19, 20]
    last = await ask(text, {"first": 3, "after": after}, actor=actor)
    page = last["data"]["viewer"]["creditTransactions"]
    assert page == {
        "nodes": [],
        "edges": [],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
    }


@pytest.mark.parametrize("first", [0, -1, 101, 100_000])
async def test_a_page_has_1_to_100_items(ask: Ask, make_user: MakeUser, first: int) -> None:
    actor = await make_user()
    answer = await ask(
        "query($n: Int!) { viewer { generations(first: $n) { nodes { id } } } }",
        {"n": first},
        actor=actor,
    )
    assert answer["data"] == {"viewer": None}
    assert answer["errors"][0]["path"] == ["viewer", "generations"]
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "bm90IGpzb24=", "WyIxIiwgIm90aGVyOmlkIiwgMV0=", "WyIxIiwgImdlbmVyYXRpb25zOi1jcmVhdGVkX2F0LC1pZCIsIDEsIDJd"],
)  # fmt: skip
async def test_a_cursor_of_nothing_is_bad_input(ask: Ask, make_user: MakeUser, cursor: str) -> None:
    actor = await make_user()
    answer = await ask(
        "query($c: Cursor) { viewer { generations(after: $c) { nodes { id } } } }",
        {"c": cursor},
        actor=actor,
    )
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_node_finds_what_the_caller_may_see_and_nothing_else(
    ask: Ask, make_user: MakeUser
) -> None:
    owner, stranger = await make_user(), await make_user()
    made = await ask(
        'mutation { createProfile(input: {name: "Ada", analysis: {}}) { profile { id } } }',
        actor=owner,
    )
    wanted = made["data"]["createProfile"]["profile"]["id"]
    text = "query($id: ID!) { node(id: $id) { id __typename ... on Profile { name } } }"
    assert (await ask(text, {"id": wanted}, actor=owner))["data"]["node"] == {
        "id": wanted,
        "__typename": "Profile",
        "name": "Ada",
    }
    assert (await ask(text, {"id": wanted}, actor=stranger))["data"]["node"] is None
    assert (await ask(text, {"id": wanted}))["data"]["node"] is None
    assert (await ask(text, {"id": "tool_hair-color"}))["data"]["node"]["__typename"] == "Tool"
    for nothing in ("tool_none", "profile_x", "nothing", "user_' or 1=1"):
        assert (await ask(text, {"id": nothing}, actor=owner))["data"]["node"] is None


async def test_an_object_may_have_more_fields_than_postgres_takes_arguments(
    ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    fields = " ".join(f"f{n}: email" for n in range(95))
    answer = await ask(f"{{ viewer {{ {fields} }} }}", actor=actor)
    assert list(answer["data"]["viewer"]) == [f"f{n}" for n in range(95)]


async def test_nobody_is_no_viewer(ask: Ask) -> None:
    answer = await ask("{ viewer { id credits { balance } } tools { id } }")
    assert answer["data"]["viewer"] is None
    assert [tool["id"] for tool in answer["data"]["tools"]] == [
        "tool_hairstyle",
        "tool_hair-color",
        "tool_age",
        "tool_smile",
        "tool_analysis",
        "tool_fat",
        "tool_bald",
        "tool_beard",
        "tool_skin-color",
        "tool_halloween",
        "tool_eye-color",
    ]


async def test_a_mutations_fields_run_in_order_and_fail_alone(
    ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user(credits=3)
    answer = await ask(
        """mutation {
          first: spendCredits(input: {amount: 2, idempotencyKey: "a"}) { credits { balance } errors { code } }
          second: spendCredits(input: {amount: 2, idempotencyKey: "b"}) {
            __typename credits { balance } errors { __typename code message path ... on InsufficientCredits { balance required } } }
          third: spendCredits(input: {amount: 1, idempotencyKey: "c"}) { credits { balance } errors { code } }
        }""",
        actor=actor,
    )
    data = answer["data"]
    assert data["first"] == {"credits": {"balance": 1}, "errors": []}
    assert data["third"] == {"credits": {"balance": 0}, "errors": []}
    refusal = data["second"]["errors"][0]
    assert data["second"]["credits"] is None
    assert refusal["__typename"] == "InsufficientCredits"
    assert (refusal["balance"], refusal["required"]) == (1, 2)


async def test_the_same_key_gives_the_same_transaction(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user(credits=5)
    first = await ask(SPEND, {"key": "k"}, actor=actor)
    again = await ask(SPEND, {"key": "k"}, actor=actor)
    assert first == again
    other = await ask(SPEND, {"key": "k", "amount": 2}, actor=actor)
    assert other["data"]["spendCredits"]["errors"] == [{"code": "IDEMPOTENCY_CONFLICT"}]


@pytest.mark.parametrize("amount", [0, -1, 1_000_001])
async def test_an_amount_out_of_bounds_is_bad_input(
    ask: Ask, make_user: MakeUser, amount: int
) -> None:
    actor = await make_user(credits=5)
    answer = await ask(SPEND, {"key": "k", "amount": amount}, actor=actor)
    assert answer["data"]["spendCredits"]["errors"] == [{"code": "BAD_USER_INPUT"}]
    balance = await ask("{ viewer { credits { balance } } }", actor=actor)
    assert balance["data"]["viewer"]["credits"]["balance"] == 5


async def test_introspection_mixes_with_data(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    answer = await ask(
        "query($n: String!) { viewer { id } __type(name: $n) { name kind } again: __typename }",
        {"n": "User"},
        actor=actor,
    )
    assert answer["data"] == {
        "viewer": {"id": f"user_{actor.user_id}"},
        "__type": {"name": "User", "kind": "OBJECT"},
        "again": "Query",
    }


async def test_only_introspection_falls_back(engine: Engine) -> None:
    from graph.engine.specs import spec_of

    for root in ("Query", "Mutation", "Subscription"):
        fields: dict[str, Any] = engine.schema.type_map[root].fields  # type: ignore[attr-defined]
        assert [name for name, field in fields.items() if spec_of(field) is None] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "BAD_USER_INPUT"),
        ("{ nothing }", "BAD_USER_INPUT"),
        (
            "query($n: Int!) { viewer { generations(first: $n) { nodes { id } } } }",
            "BAD_USER_INPUT",
        ),
        ("{ viewer { id } } { tools { id } }", "BAD_USER_INPUT"),
        ("{ viewer { " + "id " * 20_000 + "} }", "QUERY_TOO_COMPLEX"),
        ("{ node(id: " + "[" * 200_000, "QUERY_TOO_COMPLEX"),
    ],
)
async def test_a_bad_document_is_refused_with_a_code(ask: Ask, text: str, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        await ask(text)
    assert refused.value.formatted()[0]["extensions"]["code"] == code


@pytest.mark.parametrize("value", ["a\x00b", "\ud800"])
async def test_text_that_postgres_cannot_hold_is_bad_input(
    ask: Ask, make_user: MakeUser, value: str
) -> None:
    actor = await make_user()
    with pytest.raises(RequestError) as refused:
        await ask(SPEND, {"key": value}, actor=actor)
    assert refused.value.code.value == "BAD_USER_INPUT"


async def test_a_plan_is_made_once_for_a_shape(
    engine: Engine, ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    text = "query($a: Cursor, $n: Int!) { viewer { generations(first: $n, after: $a) { nodes { id } } } }"
    for first in (1, 2, 3):
        await ask(text, {"n": first}, actor=actor)
    assert len(engine.documents.operation(text, None).plans) == 1


async def test_a_broken_connection_is_replaced(
    cluster: EmbeddedDatabase, ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    superuser = await asyncpg.connect(cluster.superuser_url)
    await superuser.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticated'"
    )
    await superuser.close()
    answer = await ask("{ viewer { id } }", actor=actor)
    assert answer["data"]["viewer"]["id"] == f"user_{actor.user_id}"


async def test_nodes_come_in_the_order_of_their_ids(ask: Ask, make_user: MakeUser) -> None:
    owner, stranger = await make_user(), await make_user()
    text = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    ids = [
        f"user_{stranger.user_id}",
        "tool_hair-color",
        "nothing",
        f"user_{owner.user_id}",
        "user_x",
    ]
    found = (await ask(text, {"ids": ids}, actor=owner))["data"]["nodes"]
    assert found == [
        None,
        {"__typename": "Tool", "id": "tool_hair-color"},
        None,
        {"__typename": "User", "id": f"user_{owner.user_id}"},
        None,
    ]
    reversed_ids = (await ask(text, {"ids": ids[::-1]}, actor=owner))["data"]["nodes"]
    assert reversed_ids == found[::-1]
    too_many = await ask(text, {"ids": ["user_x"] * 101}, actor=owner)
    assert too_many["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    inline = await ask('{ nodes(ids: ["tool_analysis", "x"]) { id } }')
    assert inline["data"]["nodes"] == [{"id": "tool_analysis"}, None]


async def test_all_faults_are_found_in_two_passes_whatever_their_number(
    ask: Ask, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, plan_fields = 0, Engine._plan_fields

    def counted(engine: Engine, *arguments: Any) -> Any:
        nonlocal passes
        passes += 1
        return plan_fields(engine, *arguments)

    monkeypatch.setattr(Engine, "_plan_fields", counted)
    actor = await make_user()
    lists = " ".join(
        f'a{n}: tools {{ id }} b{n}: node(id: "tool_hair-color") {{ ... on Tool {{ id }} }}'
        for n in range(2)
    )
    pages = " ".join(
        f'p{n}: generations(first: {n % 2}, after: "wrong {n}") {{ nodes {{ id }} }}'
        for n in range(90)
    )
    answer = await ask(f"{{ viewer {{ {pages} }} {lists} }}", actor=actor)
    assert answer["data"]["viewer"] is None
    assert answer["data"]["a1"]
    assert [error["path"] for error in answer["errors"]] == [["viewer", "p0"]]
    # The plan that is kept finds what is wrong; then there is the one without it.
    assert passes == 2


async def test_faults_of_planning_and_of_arguments_are_all_told(
    ask: Ask, make_user: MakeUser
) -> None:
    text = """{
      a: viewer { id profiles(first: 0) { nodes { id } } }
      b: viewer { id profiles(after: "wrong") { nodes { id } } }
      c: viewer { id profiles(first: 1, last: 1) { nodes { id } } }
      d: viewer { id }
    }"""
    answer = await ask(text, actor=await make_user())
    told = [(error["path"], error["extensions"]["code"]) for error in answer["errors"]]
    assert told == [
        (["a", "profiles"], "LIMIT_EXCEEDED"),
        (["b", "profiles"], "BAD_USER_INPUT"),
        (["c", "profiles"], "BAD_USER_INPUT"),
    ]
    assert {key for key, value in answer["data"].items() if value} == {"d"}


async def test_faults_leave_little_that_only_the_garbage_collector_finds(
    ask: Ask, make_user: MakeUser
) -> None:
    actor = await make_user()
    pages = " ".join(
        f'p{n}: generations(first: 5, after: "wrong {n}") {{ nodes {{ id }} }}' for n in range(50)
    )
    text = f"{{ viewer {{ {pages} }} }}"
    for _ in range(2):  # the second time, all plans are known
        await ask(text, actor=actor)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await ask(text, actor=actor)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = len(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left < 100, "ten requests with fifty faults each"
