"""Admins open accounts, set and reset passwords, confirm addresses and end sessions; all is noted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from db.core.actor import Actor
from db.core.pool import Database
from graph.engine.execution.engine import Engine
from server.services import Services

from ..conftest import MakeUser
from .asking import PASSWORD, Client, an_address, confirming, mails_to
from .conftest import Ask

USER = "user { id email displayName locale emailConfirmedAt plan { id } credits { balance } }"
NEW_PASSWORD = "another horse"
KEY = 'mutation { createApiKey(input: {name: "bot", scopes: [READ]}) { secret } }'
UNDO = """insert into one_time_codes
    (purpose, user_id, email, email_key, network_hash, expires_at)
    values ('UNDO_EMAIL_CHANGE', $1, 'old@example.test', 'old@example.test', '', now() + interval '7 days')"""
NOTED = """select action, detail ->> 'by' as by, network, device from audit_log
    where user_id = $1 and detail ? 'by' order by id"""
SESSIONS = """query($id: ID!) { node(id: $id) { ... on User {
  sessions { nodes { id userAgent address isCurrent } } } } }"""


@pytest.fixture
async def admin(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> Client:
    """An admin at a deployment that confirms addresses."""
    actor = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    return Client(
        engine, confirming(services), address="203.0.113.77", actor=actor, user_agent="Firefox"
    )


async def administer(admin: Client, name: str, **given: Any) -> dict[str, Any]:
    """The payload of a mutation on a user."""
    type_name = f"{name[0].upper()}{name[1:]}Input"
    answer = await admin.ask(
        f"mutation($input: {type_name}!) {{ {name}(input: $input)"
        f" {{ {USER} errors {{ code path message }} }} }}",
        input=given,
    )
    assert "errors" not in answer, answer
    payload: dict[str, Any] = answer["data"][name]
    return payload


def key_of(user: dict[str, Any]) -> UUID:
    return UUID(user["id"].removeprefix("user_"))


async def test_an_account_is_opened_with_a_password_that_signs_in(
    admin: Client, owner: asyncpg.Connection
) -> None:
    email = an_address()
    stranger = admin.elsewhere()
    assert await stranger("signUp", email=email, password="the stranger's own") == {
        "session": None, "bonusCredits": None, "passwordRequired": None, "errors": [],
    }  # fmt: skip
    (waiting,) = await mails_to(owner, admin.services, email)
    given = {
        "email": email.upper(),
        "password": PASSWORD,
        "displayName": " Ada ",
        "locale": "de_de",
    }
    made = await administer(admin, "createUser", **given)
    assert made["errors"] == []
    user = made["user"]
    assert (user["email"], user["displayName"], user["locale"]) == (email.upper(), "Ada", "de-DE")
    assert user["emailConfirmedAt"]
    assert (user["plan"]["id"], user["credits"]["balance"]) == ("plan_free", 10)
    assert await owner.fetch(NOTED, key_of(user)) == [
        ("create_user", f"user_{admin.actor.user_id}", "203.0.113.0/24", "Firefox")
    ]
    again = await administer(admin, "createUser", email=email)
    assert [(one["code"], one["path"]) for one in again["errors"]] == [
        ("EMAIL_IN_USE", ["input", "email"])
    ]
    # Who had signed up with the address before waits for nothing any more.
    assert await stranger.code("confirmEmail", email=email, code=waiting.digits) == "CODE_INVALID"
    assert await stranger.code("signIn", email=email, password="the stranger's own")
    signed_in = await admin.elsewhere().signed_in("signIn", email=email, password=PASSWORD)
    assert signed_in.actor.user_id == key_of(user)


async def test_an_unconfirmed_account_waits_for_its_owner(
    admin: Client, owner: asyncpg.Connection
) -> None:
    email = an_address()
    made = await administer(
        admin, "createUser", email=email, password=PASSWORD, emailConfirmed=False
    )
    user = made["user"]
    assert (user["emailConfirmedAt"], user["credits"]["balance"]) == (None, 0)
    someone = admin.elsewhere()
    assert await someone.code("signIn", email=email, password=PASSWORD) == "EMAIL_NOT_CONFIRMED"
    for _ in range(2):  # twice: nothing changes the second time
        confirmed = await administer(admin, "confirmUserEmail", id=user["id"])
        assert confirmed["errors"] == []
        assert confirmed["user"]["credits"]["balance"] == 10
    assert (await someone.signed_in("signIn", email=email, password=PASSWORD)).actor.user_id
    noted = [row["action"] for row in await owner.fetch(NOTED, key_of(user))]
    assert noted == ["create_user", "email_confirmed"]


async def test_all_that_is_wrong_with_a_new_account_is_told_at_once(admin: Client) -> None:
    wrong = {"email": "nobody", "password": "short", "displayName": "", "locale": "x"}
    refused = await administer(admin, "createUser", **wrong)
    assert [one["path"][1] for one in refused["errors"]] == [
        "email", "displayName", "locale", "password",
    ]  # fmt: skip
    assert refused["user"] is None


async def member(admin: Client) -> tuple[str, Client]:
    """Somebody's address, and their client where they are signed in."""
    email = an_address()
    assert (await administer(admin, "createUser", email=email, password=PASSWORD))["errors"] == []
    theirs = replace(admin.elsewhere(), user_agent="Safari")
    return email, await theirs.signed_in("signIn", email=email, password=PASSWORD)


async def test_another_password_ends_what_was_signed_in_with_the_old_one(
    admin: Client, owner: asyncpg.Connection
) -> None:
    email, theirs = await member(admin)
    assert (await theirs.ask(KEY))["data"]["createApiKey"]["secret"]
    user_id = f"user_{theirs.actor.user_id}"
    assert await theirs.code("requestPasswordReset", email=email) is None
    reset = (await mails_to(owner, admin.services, email))[-1]
    await owner.execute(UNDO, theirs.actor.user_id)
    changed = await administer(admin, "setUserPassword", id=user_id, password=NEW_PASSWORD)
    assert changed["errors"] == []
    assert admin.services.revocations.is_revoked(theirs.actor.session_id)
    live = "select count(*) from api_keys where user_id = $1 and revoked_at is null"
    assert await owner.fetchval(live, theirs.actor.user_id) == 0
    left = "select array_agg(purpose) from one_time_codes where user_id = $1"
    assert await owner.fetchval(left, theirs.actor.user_id) == ["UNDO_EMAIL_CHANGE"]
    nobody = admin.elsewhere()
    used = {"email": email, "code": reset.digits, "newPassword": "a third horse"}
    assert await nobody.code("resetPassword", **used) == "CODE_INVALID"
    assert await nobody.code("signIn", email=email, password=PASSWORD) == "INVALID_CREDENTIALS"
    assert (await nobody.signed_in("signIn", email=email, password=NEW_PASSWORD)).actor.user_id
    told = (await mails_to(owner, admin.services, email))[-2:]
    assert "password_changed" in [mail.template for mail in told]
    assert (await owner.fetch(NOTED, theirs.actor.user_id))[-1]["action"] == "password_set"


async def test_a_password_made_of_the_users_name_is_refused(admin: Client) -> None:
    email, theirs = await member(admin)
    refused = await administer(
        admin, "setUserPassword", id=f"user_{theirs.actor.user_id}", password=email
    )
    assert [one["code"] for one in refused["errors"]] == ["PASSWORD_TOO_WEAK"]


async def test_an_admin_changes_their_own_password_as_everybody_does(admin: Client) -> None:
    refused = await administer(
        admin, "setUserPassword", id=f"user_{admin.actor.user_id}", password=NEW_PASSWORD
    )
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [
        ("INVALID_STATE", ["input", "id"])
    ]
    assert "changePassword" in refused["errors"][0]["message"]


async def test_a_code_for_a_new_password_is_mailed(
    admin: Client, owner: asyncpg.Connection
) -> None:
    email, theirs = await member(admin)
    user_id = f"user_{theirs.actor.user_id}"
    assert (await administer(admin, "sendPasswordReset", id=user_id))["errors"] == []
    mail = (await mails_to(owner, admin.services, email))[-1]
    assert (mail.template, mail.recipient) == ("reset_password", email)
    used = {"email": email, "code": mail.digits, "newPassword": NEW_PASSWORD}
    assert (await admin.elsewhere().signed_in("resetPassword", **used)).actor.user_id
    assert (await owner.fetch(NOTED, theirs.actor.user_id))[-1]["action"] == "reset_code_sent"
    await owner.execute("update users set status = 'locked' where id = $1", theirs.actor.user_id)
    refused = await administer(admin, "sendPasswordReset", id=user_id)
    assert [one["code"] for one in refused["errors"]] == ["INVALID_STATE"]


async def test_sessions_are_listed_and_ended_one_or_all(
    admin: Client, owner: asyncpg.Connection
) -> None:
    email, first = await member(admin)
    second = await first.elsewhere().signed_in("signIn", email=email, password=PASSWORD)
    user_id = f"user_{first.actor.user_id}"

    async def listed(client: Client) -> list[str]:
        node = (await client.ask(SESSIONS, id=user_id))["data"]["node"]
        return [one["id"] for one in node["sessions"]["nodes"]]

    ids = [f"session_{one.actor.session_id}" for one in (second, first)]
    assert await listed(admin) == ids
    other = await administer(
        admin, "signOutUser", id=f"user_{admin.actor.user_id}", sessionId=ids[0]
    )
    assert [(one["code"], one["path"]) for one in other["errors"]] == [
        ("NOT_FOUND", ["input", "sessionId"])
    ]
    await administer(admin, "signOutUser", id=user_id, sessionId=ids[0])
    assert admin.services.revocations.is_revoked(second.actor.session_id)
    assert await listed(admin) == ids[1:]
    for _ in range(2):  # twice: there is nothing to note the second time
        assert (await administer(admin, "signOutUser", id=user_id))["errors"] == []
    assert admin.services.revocations.is_revoked(first.actor.session_id)
    assert await listed(admin) == []
    noted = [row["action"] for row in await owner.fetch(NOTED, first.actor.user_id)]
    assert noted == ["create_user", "sessions_ended", "sessions_ended"]


async def test_nobody_else_sees_a_users_sessions(
    ask: Ask, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, stranger = await make_user(), await make_user()
    await owner.execute(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')",
        user.user_id,
    )
    claims = Actor("authenticated", stranger.user_id, is_admin=True)
    for actor in (stranger, claims):
        answer = await ask(SESSIONS, {"id": f"user_{user.user_id}"}, actor=actor)
        assert answer["data"]["node"] is None
        async with database.transaction(actor) as transaction:
            count = "select count(*) from sessions where user_id = $1"
            assert await transaction.connection.fetchval(count, user.user_id) == 0
