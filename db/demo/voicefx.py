"""Makes the people who show VoiceFX: an owner with workflows and a call, and who looks on.

They act by the commands that clients have. Who is there already stays as they are.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from db.accounts.emails import email_key
from db.accounts.operating import as_owner
from db.administration.new_users import NewUser
from db.administration.operations import ADD_USER
from db.core.codecs import set_codecs
from db.core.commands import call, call_on
from db.core.errors import Problems
from db.core.pool import PooledConnection, Transaction
from db.organizations.operations import accept_invitation, create, invite
from db.runs.operations import start_run
from db.workflows.operations import create_workflow, move_workflow, update_workflow

OWNER, VIEWER = "vera@test.com", "oskar@test.com"
CALLED = "+4930901820"
_FIND = "select id from users where email_key = $1"
_SELECTED = "select selected_organization_id from users where id = $1"
_GIVE = "update organizations set name = 'Praxis Vera', plan_id = 'pro' where id = $1"


def definition(greeting: str) -> dict[str, Any]:
    """A conversation of three steps."""
    nodes = (
        ("start", "startCall", "Greet", greeting),
        ("ask", "agentNode", "Ask", "Ask {{first_name}} whether Tuesday suits them."),
        ("end", "endCall", "End", "Thank them and say goodbye."),
    )
    edges = (
        ("start", "ask", "listening", "They listen."),
        ("ask", "end", "done", "They answered."),
    )
    return {
        "nodes": [
            {"id": id, "type": kind, "data": {"name": name, "prompt": prompt}}
            for id, kind, name, prompt in nodes
        ],
        "edges": [
            {
                "id": f"{source}-{target}",
                "source": source,
                "target": target,
                "label": label,
                "condition": condition,
            }
            for source, target, label, condition in edges
        ],
    }


async def load_voicefx(owner_url: str, password_hash: str, operator: str) -> dict[str, int]:
    """Makes what there is not yet; gives how many were made of what."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        if await connection.fetchval(_FIND, email_key(OWNER)) is not None:
            return {"people": 0, "workflows": 0, "calls": 0}
        # Whole or not at all.
        async with connection.transaction():
            owner, viewer = [
                await _add(connection, email, name, password_hash, operator)
                for email, name in ((OWNER, "Vera"), (VIEWER, "Oskar"))
            ]
            await _work(connection, owner, viewer)
    return {"people": 2, "workflows": 2, "calls": 1}


async def _add(
    connection: asyncpg.Connection, email: str, name: str, password_hash: str, operator: str
) -> UUID:
    new = NewUser(email, is_confirmed=True, display_name=name).with_hash(password_hash)
    added = ADD_USER(given=new, given_by=operator, from_network=None, from_device=None)
    return await call_on(connection, added)


async def _work(connection: asyncpg.Connection, owner: UUID, viewer: UUID) -> None:
    """Vera makes an organization with workflows, which Oskar joins."""
    transaction = Transaction(PooledConnection(connection))

    async def acts_as(user_id: UUID) -> None:
        await connection.execute("select set_config('app.user_id', $1, true)", str(user_id))

    await acts_as(owner)
    # The first one, where signing up has made it.
    organization = await connection.fetchval(_SELECTED, owner) or await call(
        transaction, create(name="Praxis Vera", idempotency_key="demo")
    )
    await connection.execute(_GIVE, organization)
    made = [
        await call(
            transaction,
            create_workflow(
                Problems(),
                organization,
                name=name,
                definition=definition("Say good morning."),
                variables={"company": "Praxis Vera"},
                idempotency_key=name,
            ),
        )
        for name in ("Appointments", "How was it?")
    ]
    better = definition("Say good morning and who is calling.")
    await call(
        transaction,
        update_workflow(Problems(), made[0], name=None, definition=better, variables=None),
    )
    await call(transaction, move_workflow(made[0], "PUBLISH"))
    await call(transaction, start_run(Problems(), made[0], to=CALLED, idempotency_key="demo"))
    invited = await call(transaction, invite(organization, email=VIEWER, role="VIEWER"))
    await acts_as(viewer)
    await call(transaction, accept_invitation(invited))
