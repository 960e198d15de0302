"""A change of address ends other sessions, and who reads the old one takes it back for a week."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from graph.engine.execution.engine import Engine
from server.services import Services

from .asking import PASSWORD, Client, Mail, Stage, an_address, confirming

UNDO = """mutation($code: String!) { undoEmailChange(input: {code: $code}) {
  email passwordRequired errors { code path } } }"""
NEW_PASSWORD = "another horse"


@pytest.fixture
def stage(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    return Stage(engine, confirming(services), owner)


async def undo(client: Client, code: str) -> dict[str, Any]:
    answer = await client.ask(UNDO, code=code)
    return dict(answer["data"]["undoEmailChange"])


async def moved(stage: Stage, thief: Client, new: str) -> None:
    """Somebody with a session gives its account another address."""
    await thief("requestEmailChange", newEmail=new)
    code = (await stage.last(new)).digits
    changed = await thief("confirmEmailChange", code=code)
    assert changed["user"]["email"] == new


async def of_the_old(stage: Stage, old: str) -> Mail:
    mail = await stage.last(old)
    assert mail.template == "email_changed_undo"
    return mail


async def email_of(stage: Stage, client: Client) -> str:
    found: str = await stage.owner.fetchval(
        "select email from users where id = $1", client.actor.user_id
    )
    return found


async def test_other_sessions_end_with_a_change(stage: Stage) -> None:
    old = an_address()
    ana = await stage.member(old)
    thief = await ana.elsewhere().signed_in("signIn", email=old, password=PASSWORD)
    await moved(stage, thief, an_address())
    assert ana.actor.session_id in stage.services.tokens.revoked
    assert thief.actor.session_id not in stage.services.tokens.revoked
    open_ones = "select id from sessions where user_id = $1 and revoked_at is null"
    (row,) = await stage.owner.fetch(open_ones, ana.actor.user_id)
    assert row["id"] == thief.actor.session_id


async def test_who_reads_the_old_address_throws_the_thief_out(stage: Stage) -> None:
    """Though the thief has set another password meanwhile, and an authenticator app."""
    old, new = an_address(), an_address()
    ana = await stage.member(old)
    thief = await ana.elsewhere().signed_in("signIn", email=old, password=PASSWORD)
    await thief.ask(
        'mutation { createApiKey(input: {name: "x", scopes: [READ]}) { errors { code } } }'
    )
    await moved(stage, thief, new)
    mail = await of_the_old(stage, old)
    code = await stage.asked("requestPasswordReset", new, thief)
    thief = await thief.signed_in("resetPassword", email=new, code=code, newPassword=NEW_PASSWORD)
    await stage.owner.execute(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at) values ($1, 'x', now())",
        ana.actor.user_id,
    )

    owner = ana.elsewhere()
    assert await undo(owner, mail.token) == {"email": old, "passwordRequired": True, "errors": []}
    assert await email_of(stage, ana) == old
    assert thief.actor.session_id in stage.services.tokens.revoked
    live = """select (select count(*) from sessions where user_id = $1 and revoked_at is null)
        + (select count(*) from api_keys where user_id = $1 and revoked_at is null)
        + (select count(*) from credentials where user_id = $1)
        + (select count(*) from totp_factors where user_id = $1)"""
    assert await stage.owner.fetchval(live, ana.actor.user_id) == 0
    for email, password in ((new, NEW_PASSWORD), (old, NEW_PASSWORD), (old, PASSWORD)):
        assert await thief.code("signIn", email=email, password=password) == "INVALID_CREDENTIALS"
    assert [one.template for one in await stage.mails(new)][-1] == "email_changed"
    last = "select action from audit_log where user_id = $1 order by id desc limit 1"
    assert await stage.owner.fetchval(last, ana.actor.user_id) == "email_change_undone"

    code = await stage.asked("requestPasswordReset", old, owner)
    back = await owner("resetPassword", email=old, code=code, newPassword="a third horse")
    assert back["session"]["user"]["id"] == f"user_{ana.actor.user_id}"


async def test_it_works_once_and_by_nothing_but_its_token(stage: Stage) -> None:
    old, new = an_address(), an_address()
    ana = await stage.member(old)
    await moved(stage, ana, new)
    mail = await of_the_old(stage, old)
    stranger = ana.elsewhere()
    refused = {"code": "CODE_INVALID", "path": ["input", "code"]}
    # The digits that other codes have are not mailed, and open nothing.
    for code in (mail.digits, "x" * 43, (await stage.mails(new))[0].token):
        assert (await undo(stranger, code))["errors"] == [refused]
    for other in ("signInWithCode", "confirmEmail"):
        assert await stranger.code(other, email=old, code=mail.token) == "CODE_INVALID"
    given = {"email": old, "code": mail.token, "newPassword": NEW_PASSWORD}
    assert await stranger.code("resetPassword", **given) == "CODE_INVALID"
    assert await email_of(stage, ana) == new
    assert (await undo(stranger, mail.token))["errors"] == []
    assert (await undo(stranger, mail.token))["errors"] == [refused]


async def test_it_lasts_seven_days(stage: Stage) -> None:
    old = an_address()
    ana = await stage.member(old)
    await moved(stage, ana, an_address())
    mail = await of_the_old(stage, old)
    lasts = "select expires_at - created_at from one_time_codes where email_key = $1 and purpose = 'UNDO_EMAIL_CHANGE'"
    assert (await stage.owner.fetchval(lasts, old)).days == 7
    assert mail.parameters["valid_minutes"] == 7 * 24 * 60
    await stage.owner.execute(
        "update one_time_codes set expires_at = clock_timestamp() where email_key = $1", old
    )
    assert (await undo(ana.elsewhere(), mail.token))["errors"][0]["code"] == "CODE_INVALID"


async def test_the_oldest_address_wins_over_all_later_ones(stage: Stage) -> None:
    first, second, third = an_address(), an_address(), an_address()
    ana = await stage.member(first)
    await moved(stage, ana, second)
    await moved(stage, ana, third)
    of_first, of_second = await of_the_old(stage, first), await of_the_old(stage, second)
    assert (await undo(ana.elsewhere(), of_second.token))["email"] == second
    assert (await undo(ana.elsewhere(), of_first.token))["email"] == first
    assert (await undo(ana.elsewhere(), of_second.token))["errors"][0]["code"] == "CODE_INVALID"


async def test_later_codes_end_with_the_change_that_they_followed(stage: Stage) -> None:
    first, second, third = an_address(), an_address(), an_address()
    ana = await stage.member(first)
    await moved(stage, ana, second)
    await moved(stage, ana, third)
    of_first, of_second = await of_the_old(stage, first), await of_the_old(stage, second)
    assert (await undo(ana.elsewhere(), of_first.token))["email"] == first
    assert (await undo(ana.elsewhere(), of_second.token))["errors"][0]["code"] == "CODE_INVALID"


async def test_what_was_there_long_before_is_still_asked_for(stage: Stage) -> None:
    """Whoever reads the old address alone does not pass a second factor."""
    old = an_address()
    ana = await stage.member(old)
    await stage.owner.execute(
        "insert into totp_factors (user_id, sealed_secret, created_at, confirmed_at)"
        " values ($1, 'x', now() - interval '2 days', now() - interval '2 days')",
        ana.actor.user_id,
    )
    await stage.owner.execute(
        "update sessions set methods = '{password,totp}' where id = $1", ana.actor.session_id
    )
    await moved(stage, ana, an_address())
    await undo(ana.elsewhere(), (await of_the_old(stage, old)).token)
    kept = "select count(*) from totp_factors where user_id = $1"
    assert await stage.owner.fetchval(kept, ana.actor.user_id) == 1


async def test_an_address_that_nobody_had_confirmed_gets_no_way_in(
    stage: Stage, services: Services
) -> None:
    """It may be a stranger's, whom a typing error has named."""
    old, new = an_address(), an_address()
    ana = await Client(stage.engine, services).signed_in("signUp", email=old, password=PASSWORD)
    await moved(stage, ana, new)
    (mail,) = await stage.mails(old)
    assert (mail.template, mail.token) == ("email_changed", "")


async def test_nobody_takes_the_old_address_meanwhile_without_proving_it(
    stage: Stage, services: Services
) -> None:
    old = an_address()
    ana = await stage.member(old)
    await moved(stage, ana, an_address())
    squatter = Client(stage.engine, services)
    given = {"email": old.upper(), "password": PASSWORD}
    assert await squatter.code("signUp", **given) == "EMAIL_IN_USE"
    assert (await undo(ana.elsewhere(), (await of_the_old(stage, old)).token))["email"] == old


async def test_an_address_that_its_owner_has_given_to_another_account_stays_there(
    stage: Stage,
) -> None:
    old = an_address()
    ana = await stage.member(old)
    await moved(stage, ana, an_address())
    mail = await of_the_old(stage, old)
    other = await stage.member(old)
    assert other.actor.user_id != ana.actor.user_id
    errors = (await undo(ana.elsewhere(), mail.token))["errors"]
    assert errors == [{"code": "EMAIL_IN_USE", "path": ["input", "code"]}]


async def test_a_locked_account_is_not_given_back(stage: Stage) -> None:
    old = an_address()
    ana = await stage.member(old)
    await moved(stage, ana, an_address())
    mail = await of_the_old(stage, old)
    lock = "update users set status = 'locked' where id = $1"
    await stage.owner.execute(lock, ana.actor.user_id)
    assert (await undo(ana.elsewhere(), mail.token))["errors"][0]["code"] == "CODE_INVALID"
