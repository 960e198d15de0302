"""Every mutation's payload leads back to who asks, as the mutation has left them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from graphql import GraphQLObjectType, get_named_type

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine import specs
from graph.engine.execution.engine import Engine
from graph.engine.specs import spec_of
from graph.schema import build_schema
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload
from .conftest import Ask
from .test_function_calls import statement_of

SCHEMA = build_schema()._schema
VIEWER = "viewer { id credits { id balance held available } }"
SPEND = f"""mutation($amount: Int!) {{ spendCredits(input: {{amount: $amount, idempotencyKey: "k"}}) {{
  transaction {{ id }} {VIEWER} errors {{ code }} }} }}"""
SIGN_UP = f"""mutation($email: String!) {{
  signUp(input: {{email: $email, password: "correct horse"}}) {{
    session {{ accessToken user {{ id }} }} {VIEWER} errors {{ code }} }} }}"""


def mutations() -> list[str]:
    root = SCHEMA.mutation_type
    assert root is not None
    return list(root.fields)


@pytest.mark.parametrize("name", mutations())
def test_every_payload_has_the_viewer(name: str) -> None:
    payload = get_named_type(SCHEMA.mutation_type.fields[name].type)  # type: ignore[union-attr]
    assert isinstance(payload, GraphQLObjectType)
    assert str(payload.fields["viewer"].type) == "User"


def reachable() -> Iterator[tuple[str, GraphQLObjectType]]:
    """The types whose objects are rows of their own somewhere in the schema."""
    for graph_type in SCHEMA.type_map.values():
        if not isinstance(graph_type, GraphQLObjectType) or graph_type.name.startswith("__"):
            continue
        for name, field in graph_type.fields.items():
            named = get_named_type(field.type)
            match spec_of(field):
                case specs.RelatedRow() | specs.ViewerRow() | specs.Rows():
                    assert isinstance(named, GraphQLObjectType)
                    yield f"{graph_type.name}.{name}", named
                case specs.Page():
                    assert isinstance(named, GraphQLObjectType)
                    item = get_named_type(named.fields["nodes"].type)
                    assert isinstance(item, GraphQLObjectType)
                    yield f"{graph_type.name}.{name}", item


@pytest.mark.parametrize(("place", "found"), list(reachable()))
def test_whatever_a_client_keeps_has_an_id(place: str, found: GraphQLObjectType) -> None:
    assert str(found.fields["id"].type) == "ID!", place
    assert "Node" in {interface.name for interface in found.interfaces}, place


@pytest.fixture
async def documents(
    ask: Ask, database: Database, settings: Settings, make_user: MakeUser, owner: asyncpg.Connection
) -> tuple[Actor, dict[str, dict[str, Any]]]:
    """A user with a hold, and an input for each mutation of a signed-in user."""
    actor = await make_user(credits=10)
    storage = open_storage(settings)
    upload = await ready_upload(database, storage, actor)
    unused = await ready_upload(database, storage, actor)
    running = await create_generation(database, actor, upload)
    profile = await owner.fetchval(
        "insert into profiles (user_id, analysis) values ($1, '{}') returning id", actor.user_id
    )
    notification = await owner.fetchval(
        "insert into notifications (user_id, type, title_key, message_key, data)"
        " values ($1, 'GENERAL', 't', 'm', '{}') returning id",
        actor.user_id,
    )
    return actor, {
        "spendCredits": {"amount": 3, "idempotencyKey": "k"},
        "createGeneration": {
            "toolId": "halloween",
            "uploadId": f"upload_{upload}",
            "idempotencyKey": "k",
        },
        "cancelGeneration": {"id": f"generation_{running}"},
        "createUpload": {"contentType": "image/jpeg", "sizeBytes": 1},
        "deleteUpload": {"id": f"upload_{unused}"},
        "createProfile": {"analysis": {}},
        "updateProfile": {"id": f"profile_{profile}"},
        "deleteProfile": {"id": f"profile_{profile}"},
        "markNotificationRead": {"id": f"notification_{notification}"},
        "markAllNotificationsRead": {},
        "deleteNotification": {"id": f"notification_{notification}"},
    }


async def test_each_shows_the_wallet_as_it_left_it(
    ask: Ask, documents: tuple[Actor, dict[str, dict[str, Any]]]
) -> None:
    actor, inputs = documents
    changes = {"spendCredits": (-3, 0), "createGeneration": (0, 1), "cancelGeneration": (0, -1)}
    balance, held = 10, 1
    for name, given in inputs.items():
        input_name = f"{name[0].upper()}{name[1:]}Input"
        text = f"mutation($input: {input_name}!) {{ {name}(input: $input) {{ {VIEWER} errors {{ code }} }} }}"
        answer = (await ask(text, {"input": given}, actor=actor))["data"][name]
        assert answer["errors"] == [], name
        balance += changes.get(name, (0, 0))[0]
        held += changes.get(name, (0, 0))[1]
        assert answer["viewer"] == {
            "id": f"user_{actor.user_id}",
            "credits": {
                "id": f"credits_{actor.user_id}",
                "balance": balance,
                "held": held,
                "available": balance - held,
            },
        }, name


async def test_a_spend_and_its_viewer_are_one_statement_with_a_kept_plan(
    engine: Engine, services: Services, make_user: MakeUser
) -> None:
    given = {"amount": 1, "idempotencyKey": "k"}
    text = SPEND.replace("$amount: Int!", "$input: SpendCreditsInput!")
    text = text.replace('{amount: $amount, idempotencyKey: "k"}', "$input")
    statement = await statement_of(engine, services, text, given, await make_user())
    assert not statement.selection
    assert "app.reread_users" in statement.sql
    assert "app.reread_wallets" in statement.sql


async def test_a_refusal_shows_the_viewer_too(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user(credits=4)
    payload = (await ask(SPEND, {"amount": 5}, actor=actor))["data"]["spendCredits"]
    assert payload == {
        "transaction": None,
        "viewer": {
            "id": f"user_{actor.user_id}",
            "credits": {
                "id": f"credits_{actor.user_id}",
                "balance": 4,
                "held": 0,
                "available": 4,
            },
        },
        "errors": [{"code": "INSUFFICIENT_CREDITS"}],
    }


async def test_who_signs_up_is_the_viewer_and_who_signs_out_is_none(
    ask: Ask, make_user: MakeUser
) -> None:
    email = f"{uuid4()}@example.test"
    payload = (await ask(SIGN_UP, {"email": email}))["data"]["signUp"]
    assert payload["viewer"]["id"] == payload["session"]["user"]["id"]
    assert payload["viewer"]["credits"]["balance"] == 10
    refused = (await ask(SIGN_UP, {"email": email}))["data"]["signUp"]
    assert (refused["viewer"], len(refused["errors"])) == (None, 1)
    for actor in (NOBODY, Actor("authenticated", (await make_user()).user_id, uuid4())):
        answer = await ask(f"mutation {{ signOut {{ signedOut {VIEWER} }} }}", actor=actor)
        assert answer["data"]["signOut"] == {"signedOut": True, "viewer": None}


async def test_the_wallet_is_found_by_its_id_by_its_owner_alone(
    ask: Ask, make_user: MakeUser
) -> None:
    owner, stranger = await make_user(credits=4), await make_user()
    text = "query($id: ID!) { node(id: $id) { id ... on Credits { balance } } }"
    node = {"id": f"credits_{owner.user_id}"}
    assert (await ask(text, node, actor=owner))["data"]["node"] == {**node, "balance": 4}
    for actor in (stranger, NOBODY):
        assert (await ask(text, node, actor=actor))["data"]["node"] is None
