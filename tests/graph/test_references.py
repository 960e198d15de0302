"""What names an object is its global id, wherever it stands, and leads to the object."""

from __future__ import annotations

from typing import Any

import asyncpg

from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage
from db.generations.operations import fail_generation, start_generation
from settings import Settings

from ..conftest import MakeUser
from ..db.ledger import Ledger
from ..jobs.helpers import create_generation, finish, ready_upload
from .conftest import Ask

HISTORY = """{ viewer {
  creditTransactions(first: 100) { nodes { id type reason referenceId } }
  notifications { nodes { data } } } }"""
NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
SPEND = """mutation($amount: Int!, $reference: String) { spendCredits(
  input: {amount: $amount, referenceId: $reference, idempotencyKey: "k"}) {
  transaction { id referenceId }
  errors { code message ... on InsufficientCredits { available balance required } } } }"""


async def test_movements_and_notifications_name_their_objects_by_global_ids(
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
) -> None:
    actor, other = await make_user(), await make_user()
    upload_id = await ready_upload(database, open_storage(settings), actor)
    made = await create_generation(database, actor, upload_id)
    await finish(database, made)
    failed = await create_generation(database, actor, upload_id, parameters={"color": "#000001"})
    await start_generation(database, failed, "fake", 3)
    await fail_generation(database, failed, ErrorCode.PROVIDER_REFUSED, "no")
    ledger = Ledger(database, owner)
    spend = await ledger.spend(actor, 1)
    await ledger.refund(spend, 1)
    await ledger.transfer(actor, other, 1)
    await owner.execute(
        "update wallets set plan_credits_due_at = now() where user_id = $1", actor.user_id
    )
    await owner.execute("update users set plan_id = 'pro' where id = $1", actor.user_id)
    await owner.execute("select app.grant_plan_credits($1)", actor.user_id)
    viewer = (await ask(HISTORY, actor=actor))["data"]["viewer"]
    references = {
        (line["type"], line["referenceId"]) for line in viewer["creditTransactions"]["nodes"]
    }
    assert references == {
        ("ADMIN", None),
        ("HOLD", f"generation_{made}"),
        ("CAPTURE", f"generation_{made}"),
        ("HOLD", f"generation_{failed}"),
        ("RELEASE", f"generation_{failed}"),
        ("SPEND", None),
        ("REFUND", f"transaction_{spend}"),
        ("TRANSFER", f"user_{other.user_id}"),
        ("PLAN", "plan_pro"),
    }
    data = [one["data"] for one in viewer["notifications"]["nodes"]]
    assert {one["generationId"] for one in data} == {f"generation_{made}", f"generation_{failed}"}
    named = {id_ for _, id_ in references if id_} | {one["generationId"] for one in data}
    named |= {one["toolId"] for one in data}
    for id_ in named - {f"user_{other.user_id}"}:
        assert (await ask(NODE, {"id": id_}, actor=actor))["data"]["node"]["id"] == id_


async def test_a_spends_reference_is_the_clients_own(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    own = "018f0000-0000-7000-8000-0000000000ad"
    answer = (await ask(SPEND, {"amount": 1, "reference": own}, actor=actor))["data"]
    assert answer["spendCredits"]["transaction"]["referenceId"] == own


async def test_too_few_credits_are_told_as_what_is_available(
    ask: Ask, make_user: MakeUser, database: Database, owner: asyncpg.Connection
) -> None:
    actor = await make_user(credits=10)
    await Ledger(database, owner).hold(actor, 4)
    answer: Any = (await ask(SPEND, {"amount": 7}, actor=actor))["data"]["spendCredits"]
    assert answer["errors"] == [
        {
            "code": "INSUFFICIENT_CREDITS",
            "message": "Not enough credits: 7 needed, 6 available. Add credits, then try again "
            "with the same idempotency key.",
            "available": 6,
            "balance": 6,
            "required": 7,
        }
    ]
