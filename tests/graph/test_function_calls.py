"""A function call's payload is read in the call's own statement, in one of two ways that say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from sqlalchemy import update

from db.core.actor import Actor
from db.core.commands import PythonCommand
from db.core.errors import not_found
from db.core.pool import Database, Transaction
from db.core.predicates import own_rows
from db.files.storage import open_storage
from db.notifications import operations
from db.notifications.tables import Notification
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution import payloads
from graph.engine.execution.engine import Engine
from graph.engine.execution.outcomes import Outcome
from graph.engine.planning.function_calls import FunctionCallStatement
from graph.schema import build_schema
from graph.shared.context import Context
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import ready_upload
from .conftest import Ask

SPEND = """mutation($input: SpendCreditsInput!) { spendCredits(input: $input) {
  credits { held available balance unlimited }
  transaction { __typename id amount heldChange balanceAfter used type reason referenceId createdAt }
  again: transaction { id } errors { code } } }"""
CREATE = """mutation($input: CreateGenerationInput!) { createGeneration(input: $input) {
  generation { id status creditsCharged createdAt finishedAt imageUrl parameters error { code } } errors { code } } }"""
FURTHER = """mutation($input: CreateGenerationInput!) { createGeneration(input: $input) {
  generation { id status tool { id } } viewer { id generations { nodes { id } } } errors { code } } }"""
TOOL = "tool_hair-color"
DOCUMENTS = {"spend": SPEND, "create": CREATE, "further": FURTHER}


def inputs(upload_id: UUID) -> dict[str, dict[str, Any]]:
    """What each document is sent with: the same key gives the same answer again."""
    spend = {"amount": 3, "reason": "r", "referenceId": "x", "idempotencyKey": str(uuid4())}
    create = {
        "toolId": TOOL,
        "uploadId": f"upload_{upload_id}",
        "parameters": {"color": "#123456"},
        "idempotencyKey": str(uuid4()),
    }
    return {"spend": spend, "create": create, "further": create}


@pytest.fixture
async def upload(database: Database, settings: Settings, make_user: MakeUser) -> tuple[Actor, UUID]:
    """A user with ten credits, and their photo."""
    actor = await make_user(credits=10)
    return actor, await ready_upload(database, open_storage(settings), actor)


async def statement_of(
    engine: Engine, services: Services, text: str, given: dict[str, Any], actor: Actor
) -> FunctionCallStatement:
    """The statement that a mutation becomes."""
    operation = engine.documents.operation(text, None)
    variables = coerce_variables(engine.schema, operation, {"input": given})
    (field,) = engine.mutation_fields(operation, variables).values()
    assert field is not None
    outcome = await field.spec.operation(
        Context(actor, services, "test"), **field.arguments(variables)
    )
    assert isinstance(outcome, Outcome)
    statement = field.payload.call_statement(outcome)
    assert statement is not None
    return statement


@pytest.fixture
def answering(
    services: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Engine]:
    """Makes an engine that leaves every payload to `app.answer()`."""

    def make() -> Engine:
        monkeypatch.setattr(payloads, "reads_tables", lambda _: True)
        return Engine(build_schema(), database, introspection=True)

    return make


async def test_only_what_is_beyond_the_functions_rows_is_planned_in_every_call(
    engine: Engine, services: Services, upload: tuple[Actor, UUID]
) -> None:
    actor, upload_id = upload
    statements = {
        name: await statement_of(engine, services, text, inputs(upload_id)[name], actor)
        for name, text in DOCUMENTS.items()
    }
    assert [name for name, one in statements.items() if one.selection] == ["further"]
    assert "app.answer(" in statements["further"].sql
    for name in ("spend", "create"):
        assert "app.answer(" not in statements[name].sql
        assert "materialized" in statements[name].sql.split("app.reread_")[0]


async def test_both_ways_say_the_same(
    ask: Ask,
    engine: Engine,
    answering: Callable[[], Engine],
    services: Services,
    upload: tuple[Actor, UUID],
) -> None:
    actor, upload_id = upload
    given, first = inputs(upload_id), {}
    for name in ("spend", "create"):  # planned before the other engine changes how
        planned = await statement_of(engine, services, DOCUMENTS[name], given[name], actor)
        assert not planned.selection
    answerer = answering()
    for name in ("spend", "create"):
        text, variables = DOCUMENTS[name], {"input": given[name]}
        first[name] = await ask(text, variables, actor=actor)
        assert (await statement_of(answerer, services, text, given[name], actor)).selection
        again = await answerer.run(text, variables, None, Context(actor, services, "test"))
        # As text: the order of the keys is the same too.
        assert orjson.dumps(first[name]) == orjson.dumps(orjson.loads(again))
    spent = first["spend"]["data"]["spendCredits"]
    assert spent["transaction"]["amount"] == -3
    assert spent["credits"]["balance"] == spent["transaction"]["balanceAfter"]
    assert first["create"]["data"]["createGeneration"]["generation"]["status"] == "QUEUED"


async def test_what_a_verb_changed_is_seen_beyond_its_own_row(
    ask: Ask, upload: tuple[Actor, UUID]
) -> None:
    actor, upload_id = upload
    answer = await ask(FURTHER, {"input": inputs(upload_id)["further"]}, actor=actor)
    payload = answer["data"]["createGeneration"]
    generation = payload["generation"]
    assert (generation["status"], generation["tool"]) == ("QUEUED", {"id": TOOL})
    assert {"id": generation["id"]} in payload["viewer"]["generations"]["nodes"]


async def test_a_refused_call_leaves_its_rows_null(ask: Ask, make_user: MakeUser) -> None:
    given = {"amount": 50, "idempotencyKey": "k"}
    payload = (await ask(SPEND, {"input": given}, actor=await make_user(credits=5)))["data"]
    assert payload["spendCredits"] == {
        "credits": None,
        "transaction": None,
        "again": None,
        "errors": [{"code": "INSUFFICIENT_CREDITS"}],
    }


# What a command is given, what its payload shows, and whether `app.answer()` selects that: who is
# an admin is read from a table.
ONE_STATEMENT: dict[str, tuple[dict[str, Any], str, bool]] = {
    "deleteProfile": ({"id": f"profile_{UUID(int=1)}"}, "deletedId viewer { id }", False),
    "deleteGeneration": ({"id": f"generation_{UUID(int=1)}"}, "deletedId", False),
    "markNotificationRead": ({"id": f"notification_{UUID(int=1)}"}, "notification { read }", False),
    "retryJob": ({"id": f"deadJob_{UUID(int=1)}"}, "job { attempts }", True),
    "grantCredits": (
        {"userId": f"user_{UUID(int=1)}", "amount": 1, "reason": "r", "idempotencyKey": "k"},
        "transaction { id amount } user { id }",
        True,
    ),
}


@pytest.mark.parametrize("name", ONE_STATEMENT)
async def test_a_simple_command_and_its_payload_are_one_statement(
    engine: Engine, services: Services, make_user: MakeUser, name: str
) -> None:
    given, shown, is_answered = ONE_STATEMENT[name]
    text = f"""mutation($input: {name[0].upper()}{name[1:]}Input!) {{
      {name}(input: $input) {{ {shown} errors {{ code }} }} }}"""
    statement = await statement_of(engine, services, text, given, await make_user())
    assert bool(statement.selection) == is_answered


GRANT = """mutation($input: GrantCreditsInput!) { grantCredits(input: $input) {
  user { id credits { balance } creditTransactions { nodes { id } } } transaction { id } } }"""
DELETE = """mutation($input: DeleteProfileInput!) { deleteProfile(input: $input) {
  gone: deletedId deletedId __typename viewer { profiles { nodes { id } } } errors { code } } }"""


async def test_keys_and_texts_that_were_given_are_in_an_answer_too(
    ask: Ask, engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    admin, user = await make_user(), await make_user(credits=1)
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    given = {"userId": f"user_{user.user_id}", "amount": 4, "reason": "r", "idempotencyKey": "k"}
    assert (await statement_of(engine, services, GRANT, given, admin)).selection
    granted = (await ask(GRANT, {"input": given}, actor=admin))["data"]["grantCredits"]
    assert granted["user"]["credits"] == {"balance": 5}
    assert granted["user"]["creditTransactions"]["nodes"][0] == granted["transaction"]
    create = "mutation { createProfile(input: {analysis: {}}) { profile { id } } }"
    profile = (await ask(create, actor=user))["data"]["createProfile"]["profile"]["id"]
    assert (await statement_of(engine, services, DELETE, {"id": profile}, user)).selection
    deleted = await ask(DELETE, {"input": {"id": profile}}, actor=user)
    assert deleted["data"]["deleteProfile"] == {
        "gone": profile,
        "deletedId": profile,
        "__typename": "DeleteProfilePayload",
        "viewer": {"profiles": {"nodes": []}},
        "errors": [],
    }


READ = """mutation($input: MarkNotificationReadInput!) { markNotificationRead(input: $input) {
  notification { id read } viewer { id } errors { code } } }"""


@pytest.mark.parametrize("whose", ["own", "foreign"])
async def test_a_command_in_python_and_its_payload_are_one_transaction(
    ask: Ask,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
) -> None:
    def mark_read(notification_id: UUID) -> PythonCommand[UUID]:
        async def run(transaction: Transaction) -> UUID:
            own = own_rows(Notification, actor, "UPDATE")
            statement = update(Notification).where(Notification.id == notification_id, own)
            marked = statement.values(read=True).returning(Notification.id)
            if await transaction.fetch_value(marked) is None:
                raise not_found("notification")
            return notification_id

        return PythonCommand(run)

    monkeypatch.setattr(operations, "mark_read", mark_read)
    actor, other = await make_user(), await make_user()
    wanted = await owner.fetchval(
        "insert into notifications (user_id, type, title_key, message_key)"
        " values ($1, 'GENERAL', 't', 'm') returning id",
        (actor if whose == "own" else other).user_id,
    )
    given = {"input": {"id": f"notification_{wanted}"}}
    payload = (await ask(READ, given, actor=actor))["data"]["markNotificationRead"]
    read = {"id": given["input"]["id"], "read": True}
    assert payload["notification"] == (read if whose == "own" else None)
    assert payload["viewer"] == {"id": f"user_{actor.user_id}"}
    assert payload["errors"] == ([] if whose == "own" else [{"code": "NOT_FOUND"}])
    is_read = await owner.fetchval("select read from notifications where id = $1", wanted)
    assert is_read == (whose == "own")
