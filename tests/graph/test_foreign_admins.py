"""With a token of another service, an admin is nobody's admin, whatever they ask."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from graphql import GraphQLSchema

from db.core.actor import Actor
from graph.engine.specs import Page, Rows, spec_of
from graph.schema import build_schema

from ..conftest import MakeUser
from .conftest import Ask


def lists_for_admins(declared: GraphQLSchema) -> list[str]:
    """The root lists that are refused to others."""
    assert declared.query_type
    found = []
    for name, field in declared.query_type.fields.items():
        spec = spec_of(field)
        if isinstance(spec, Page | Rows) and spec.for_admins:
            inside = "{ nodes { __typename } }" if isinstance(spec, Page) else "{ __typename }"
            found.append(f"{name} {inside}")
    return found


LISTS = lists_for_admins(build_schema()._schema)


@pytest.fixture
async def foreign(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """An admin who came with a token of another issuer."""
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    session_id = await owner.fetchval(
        "insert into sessions (user_id, expires_at, authenticated_at)"
        " values ($1, now() + interval '1 hour', 'epoch') returning id",
        actor.user_id,
    )
    return replace(actor, session_id=session_id, is_foreign=True)


def test_there_are_lists_for_admins() -> None:
    assert len(LISTS) >= 4


@pytest.mark.parametrize("asked", LISTS)
async def test_no_list_is_shown(ask: Ask, foreign: Actor, asked: str) -> None:
    answer = await ask(f"{{ {asked} }}", actor=foreign)
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["FORBIDDEN"]
    assert answer["data"] == {asked.split(maxsplit=1)[0]: None}
    answer = await ask(f"{{ {asked} }}", actor=replace(foreign, is_foreign=False))
    assert "errors" not in answer


async def test_the_viewer_is_told_so(ask: Ask, foreign: Actor) -> None:
    viewer = "{ viewer { isAdmin } }"
    for actor, is_admin in ((foreign, False), (replace(foreign, is_foreign=False), True)):
        answer = await ask(viewer, actor=actor)
        assert answer["data"]["viewer"] == {"isAdmin": is_admin}


@pytest.mark.parametrize("proof", ['password: "correct horse"', 'code: "123456"'])
async def test_proving_it_again_makes_no_more_of_it(ask: Ask, foreign: Actor, proof: str) -> None:
    answer = await ask(
        f"mutation {{ reauthenticate(input: {{{proof}}}) {{ accessToken errors {{ code }} }} }}",
        actor=foreign,
    )
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["FORBIDDEN"]


async def test_an_admins_mutation_is_refused(ask: Ask, foreign: Actor) -> None:
    answer = await ask(
        "mutation($id: ID!) { lockUser(input: {id: $id}) { errors { code } } }",
        {"id": f"user_{uuid4()}"},
        actor=foreign,
    )
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["FORBIDDEN"]
