"""A token whose account is gone is UNAUTHENTICATED, whatever is asked with it; never a fault of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_required_input_field,
)

from db.core.actor import Actor
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from graph.engine.specs import Mutate, backing_of, spec_of
from server.services import Services
from settings import Settings
from tests.graph.live.test_streams import running

from ..conftest import MakeUser
from .conftest import Ask

VALUES = {
    "String": "a text",
    "Int": 1,
    "BigInt": 1,
    "Float": 1.0,
    "Boolean": True,
    "JSON": {},
    "Cursor": f"{'0' * 16}-0",
}
TIME = "2026-01-01T00:00:00Z"
QUERIES = [
    "{ viewer { id } }",
    "{ me: viewer { profiles { nodes { id } } } }",
    "{ tools { id } viewer { credits { balance } } }",
    "{ ...F } fragment F on Query { ... on Query { viewer { id } } }",
    'query { viewer { generations { nodes { imageUrl upload { imageUrl } } } } node(id: "x") { id } }',
]
SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "correct horse"}) {
  session { user { email } } errors { code } } }"""


@pytest.fixture
async def gone(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """A user who has a token, and no account any more."""
    actor = await make_user(credits=0)
    session = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')"
        " returning id",
        actor.user_id,
    )
    await owner.execute("delete from users where id = $1", actor.user_id)
    return Actor("authenticated", actor.user_id, session)


def prefixes(engine: Engine) -> Iterator[str]:
    backings = (backing_of(found) for found in engine.schema.type_map.values())
    yield from {backing.prefix for backing in backings if backing and backing.prefix}


def value_of(given: Any, identifier: str) -> Any:
    """A value that a type takes."""
    given = get_nullable_type(given)
    if is_list_type(given):
        return [value_of(given.of_type, identifier)]
    if isinstance(given, GraphQLInputObjectType):
        return {name: value_of(one.type, identifier) for name, one in given.fields.items()}
    if isinstance(given, GraphQLEnumType):
        return next(iter(given.values))
    return {**VALUES, "ID": identifier, "DateTime": TIME, "UUID": str(uuid4())}[given.name]


def names_something(field: Any) -> bool:
    """Whether a mutation's input has a global id; what has none need not be asked for each."""
    if "input" not in field.args:
        return False
    fields = get_named_type(field.args["input"].type).fields.values()
    return any(get_named_type(one.type).name == "ID" for one in fields)


def mutations(engine: Engine) -> Iterator[tuple[str, Any]]:
    root = engine.schema.mutation_type
    assert root is not None
    for name, field in root.fields.items():
        spec = spec_of(field)
        assert isinstance(spec, Mutate)
        if not spec.ignores_dead_token:
            yield name, field


def document(name: str, field: Any) -> str:
    payload = get_named_type(field.type)
    assert isinstance(payload, GraphQLObjectType)
    if "input" not in field.args:
        return f"mutation {{ {name} {{ viewer {{ id }} errors {{ code path }} }} }}"
    given = field.args["input"].type
    return (
        f"mutation($input: {given}) {{ {name}(input: $input) "
        "{ viewer { id } errors { code path message } } }"
    )


def likely_first(identifiers: set[str], mutation: str) -> list[str]:
    """The identifiers, those first whose kind the mutation's name names, the longest of them before."""
    lower = mutation.lower()
    kinds = {one: one.partition("_")[0] for one in identifiers}
    return sorted(
        identifiers, key=lambda one: (kinds[one].lower() not in lower, -len(kinds[one]), one)
    )


async def test_every_mutation_says_so_of_itself(engine: Engine, ask: Ask, gone: Actor) -> None:
    known = {f"{prefix}_{uuid4()}" for prefix in prefixes(engine)} | {"halloween"}
    asked = 0
    for name, field in mutations(engine):
        found = set()
        for identifier in likely_first(known, name) if names_something(field) else [""]:
            if "UNAUTHENTICATED" in found:
                break
            variables = {key: value_of(one.type, identifier) for key, one in field.args.items()}
            # What is left out makes no difference to which type an id is of.
            inputs = [variables] if found else narrowed(field, variables)
            for narrow in inputs:
                answer = await ask(document(name, field), narrow, actor=gone)
                told = answer.get("errors") or answer["data"][name]["errors"]
                found |= {one.get("code") or one["extensions"]["code"] for one in told}
                assert told, f"{name} does something for nobody: {narrow}"
        # What is wrong with a value may be said before anybody looks who asks.
        assert "UNAUTHENTICATED" in found, (name, found)
        assert found <= {"UNAUTHENTICATED", "BAD_USER_INPUT"}, (name, found)
        asked += 1
    assert asked > 8


def narrowed(field: Any, variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An input, the same with a plain tool, and each with one field less that may be left out."""
    yield variables
    given = variables.get("input", {})
    if "toolId" in given:
        given = given | {"toolId": "halloween"}
        yield {"input": given}
    fields = get_named_type(field.args["input"].type).fields if given else {}
    for left_out in [name for name, one in fields.items() if not is_required_input_field(one)]:
        yield {"input": {name: value for name, value in given.items() if name != left_out}}


@pytest.mark.parametrize("text", QUERIES)
async def test_a_query_of_the_viewer_says_so(ask: Ask, gone: Actor, text: str) -> None:
    answer = await ask(text, actor=gone)
    assert answer["data"] is None
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["UNAUTHENTICATED"]


async def test_a_new_account_begins_beside_it(ask: Ask, gone: Actor) -> None:
    email = f"{uuid4()}@a.example"
    answer = await ask(SIGN_UP, {"email": email}, actor=gone)
    assert answer["data"]["signUp"] == {"session": {"user": {"email": email}}, "errors": []}
    again = await ask(SIGN_UP, {"email": email}, actor=gone)
    assert again["data"]["signUp"]["errors"] == [{"code": "EMAIL_IN_USE"}]


async def test_every_node_refuses_its_token_within_seconds(
    database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(credits=0)
    session = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')"
        " returning id",
        user.user_id,
    )
    async with running(database, settings) as here, running(database, settings) as there:
        assert user.user_id
        issued = here.tokens.issue(user.user_id, session, is_anonymous=False, is_admin=False)
        bearer = {"authorization": f"Bearer {issued.token}"}

        async def ask(http: httpx.AsyncClient) -> int:
            answer = await http.post("/graphql", json={"query": "{ tools { id } }"}, headers=bearer)
            return answer.status_code

        assert [await ask(node.http) for node in (here, there)] == [200, 200]
        await owner.execute("delete from users where id = $1", user.user_id)
        for _ in range(100):
            await asyncio.sleep(0.05)
            statuses = [await ask(node.http) for node in (here, there)]
            if statuses == [401, 401]:
                break
        assert statuses == [401, 401]


async def test_sessions_whose_tokens_have_ended_anyway_are_not_remembered(
    services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user(credits=0)
    await owner.execute(
        "insert into sessions (user_id, expires_at) values"
        " ($1, now() - interval '1 s'), ($1, now() + interval '1 day')",
        user.user_id,
    )
    await owner.execute(
        "update sessions set revoked_at = now() where user_id = $1 and expires_at > now()",
        user.user_id,
    )
    count = "select count(*) from deleted_sessions"
    before = await owner.fetchval(count)
    await owner.execute("delete from users where id = $1", user.user_id)
    assert await owner.fetchval(count) == before
