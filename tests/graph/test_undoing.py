"""Who adds a factor to an account that is not theirs: its owner takes that back, or resets the password."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pyotp import TOTP

from graph.engine.execution.engine import Engine
from server.services import Services

from ..authenticator import Authenticator
from .asking import PASSWORD, Client, Mail, Stage, an_address, confirming

UNDO = """mutation($code: String!) { undoAddedFactor(input: {code: $code}) {
  passwordRequired errors { code path message } } }"""
BEGIN_TOTP = "mutation { beginTotp { secret errors { code } } }"
CONFIRM_TOTP = """mutation($code: String!) { confirmTotp(input: {code: $code}) {
  recoveryCodes errors { code } } }"""
BEGIN_PASSKEY = """mutation($second: Boolean) { beginPasskeyRegistration(input: {secondFactor: $second}) {
  options errors { code } } }"""
FINISH_PASSKEY = """mutation($credential: JSON!, $name: String!) {
  finishPasskeyRegistration(input: {credential: $credential, name: $name}) { passkey { id } errors { code } } }"""
RESET = """mutation($input: ResetPasswordInput!) { resetPassword(input: $input) {
  session { accessToken } secondFactor { methods } errors { code } } }"""
NEW_PASSWORD = "another horse"
LEFT = """select (select count(*) from totp_factors where user_id = $1) as totp,
    (select count(*) from passkeys where user_id = $1) as passkeys,
    (select count(*) from recovery_codes where user_id = $1) as recovery_codes,
    (select count(*) from credentials where user_id = $1) as passwords,
    (select count(*) from sessions where user_id = $1 and revoked_at is null) as sessions,
    (select count(*) from api_keys where user_id = $1 and revoked_at is null) as api_keys"""


@pytest.fixture
def stage(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    return Stage(engine, confirming(services), owner)


async def add_totp(client: Client) -> None:
    secret = (await client.ask(BEGIN_TOTP))["data"]["beginTotp"]["secret"]
    answer = await client.ask(CONFIRM_TOTP, code=TOTP(secret).now())
    assert answer["data"]["confirmTotp"]["errors"] == []


async def add_passkey(client: Client, name: str = "Telephone", *, second: bool = False) -> None:
    begun = await client.ask(BEGIN_PASSKEY, second=second)
    made = Authenticator().register(begun["data"]["beginPasskeyRegistration"]["options"])
    answer = await client.ask(FINISH_PASSKEY, credential=made, name=name)
    assert answer["data"]["finishPasskeyRegistration"]["errors"] == []


async def undo(client: Client, code: str) -> dict[str, Any]:
    answer = await client.ask(UNDO, code=code)
    return dict(answer["data"]["undoAddedFactor"])


async def left(stage: Stage, client: Client) -> dict[str, int]:
    return dict(await stage.owner.fetchrow(LEFT, client.actor.user_id))


async def told(stage: Stage, email: str, change: str) -> Mail:
    mail = await stage.last(email)
    assert (mail.template, mail.parameters["change"]) == ("factor_added_undo", change)
    return mail


async def older(stage: Stage, client: Client, **ago: float) -> None:
    """As if what signs in to an account had been added some time ago."""
    for table, column in (
        ("totp_factors", "confirmed_at"),
        ("passkeys", "created_at"),
        ("recovery_codes", "created_at"),
    ):
        await stage.owner.execute(
            f"update {table} set {column} = {column} - $2::interval where user_id = $1",
            client.actor.user_id,
            timedelta(**ago),
        )


async def reset(stage: Stage, email: str, **more: Any) -> Any:
    """What resetting the password by mail answers, somewhere else."""
    client = stage.client.elsewhere()
    code = await stage.asked("requestPasswordReset", email, client)
    given = {"email": email, "code": code, "newPassword": NEW_PASSWORD, **more}
    answer = (await client.ask(RESET, input=given))["data"]["resetPassword"]
    assert answer["errors"] == []
    return answer


@pytest.mark.parametrize("added", ["totp_added", "passkey_added", "second_factor"])
async def test_who_is_told_of_what_was_added_takes_it_back(stage: Stage, added: str) -> None:
    """A thief with a session adds what locks the owner out."""
    email = an_address()
    ana = await stage.member(email)
    thief = await ana.elsewhere().signed_in("signIn", email=email, password=PASSWORD)
    await thief.ask(
        'mutation { createApiKey(input: {name: "x", scopes: [READ]}) { errors { code } } }'
    )
    if added == "totp_added":
        await add_totp(thief)
    else:
        await add_passkey(thief, second=added == "second_factor")
    mail = await told(stage, email, added.replace("second_factor", "passkey_added"))
    assert mail.parameters["valid_minutes"] == 7 * 24 * 60

    owner = ana.elsewhere()
    assert await undo(owner, mail.token) == {"passwordRequired": True, "errors": []}
    assert set((await left(stage, ana)).values()) == {0}
    assert thief.actor.session_id in stage.services.tokens.revoked
    last = "select action from audit_log where user_id = $1 order by id desc limit 1"
    assert await stage.owner.fetchval(last, ana.actor.user_id) == "added_factor_undone"
    assert (await undo(owner, mail.token))["errors"][0]["code"] == "CODE_INVALID"
    assert (await reset(stage, email))["session"] is not None


async def test_the_thief_cannot_end_the_owners_way_back(stage: Stage) -> None:
    """Neither by another password nor by another address, which is taken back first."""
    email, new = an_address(), an_address()
    ana = await stage.member(email)
    await add_totp(ana)
    mail = await told(stage, email, "totp_added")
    given = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert await ana.code("changePassword", **given) is None
    await ana("requestEmailChange", newEmail=new)
    await ana("confirmEmailChange", code=(await stage.last(new)).digits)
    refused = (await undo(ana.elsewhere(), mail.token))["errors"][0]
    assert (refused["code"], "Take that back first" in refused["message"]) == ("CODE_INVALID", True)
    assert (await left(stage, ana))["totp"] == 1
    back = "mutation($code: String!) { undoEmailChange(input: {code: $code}) { errors { code } } }"
    # As if the address had been changed days after the app was added.
    await older(stage, ana, days=3)
    changed = (await stage.last(email)).token
    assert (await ana.ask(back, code=changed))["data"]["undoEmailChange"]["errors"] == []
    assert (await left(stage, ana))["totp"] == 1
    assert (await undo(ana.elsewhere(), mail.token))["errors"] == []
    assert (await left(stage, ana))["passwords"] == 0


async def test_what_was_there_before_is_still_asked_for(stage: Stage) -> None:
    """Who reads the mail alone does not get past a second factor of another time."""
    email = an_address()
    ana = await stage.member(email)
    await add_totp(ana)
    await older(stage, ana, days=30)
    await add_passkey(ana)
    mail = await told(stage, email, "passkey_added")
    assert (await undo(ana.elsewhere(), mail.token))["errors"] == []
    kept = await left(stage, ana)
    assert (kept["totp"], kept["passkeys"], kept["recovery_codes"]) == (1, 0, 1)
    assert (await reset(stage, email))["secondFactor"]["methods"] == ["TOTP", "RECOVERY_CODE"]


async def test_the_token_opens_nothing_else(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    await add_passkey(ana)
    mail = await told(stage, email, "passkey_added")
    stranger = ana.elsewhere()
    for code in (mail.digits, "x" * 43):
        assert (await undo(stranger, code))["errors"][0]["code"] == "CODE_INVALID"
    for other in ("signInWithCode", "confirmEmail"):
        assert await stranger.code(other, email=email, code=mail.token) == "CODE_INVALID"
    await stage.owner.execute(
        "update one_time_codes set expires_at = clock_timestamp() where email_key = $1", email
    )
    assert (await undo(stranger, mail.token))["errors"][0]["code"] == "CODE_INVALID"


async def test_an_address_that_nobody_has_confirmed_gets_no_code(
    engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    lax, email = Stage(engine, services, owner), an_address()
    ana = await lax.client.signed_in("signUp", email=email, password=PASSWORD)
    await add_totp(ana)
    assert (await lax.last(email)).template == "second_factor_changed"


async def test_a_reset_password_ends_passkeys_of_the_last_days(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    await add_passkey(ana, "Old telephone")
    await older(stage, ana, days=7, hours=1)
    await add_passkey(ana, "New telephone")
    assert (await reset(stage, email))["session"] is not None
    names = "select array_agg(name) from passkeys where user_id = $1"
    assert await stage.owner.fetchval(names, ana.actor.user_id) == ["Old telephone"]
    mail = await stage.last(email)
    assert (mail.template, mail.parameters) == ("password_was_reset", {"passkeys": "Old telephone"})
    removed = "select count(*) from audit_log where user_id = $1 and action = 'passkey_removed'"
    assert await stage.owner.fetchval(removed, ana.actor.user_id) == 1


async def test_a_reset_password_skips_no_second_factor(stage: Stage) -> None:
    """However new it is: the mail that told of it takes that back, and no other."""
    email = an_address()
    ana = await stage.member(email)
    await add_totp(ana)
    told_by = await told(stage, email, "totp_added")
    await add_passkey(ana, "Security key", second=True)
    await add_passkey(ana, "Telephone")
    answer = await reset(stage, email, removePasskeys=True)
    assert answer["session"] is None
    assert set(answer["secondFactor"]["methods"]) == {"TOTP", "RECOVERY_CODE", "PASSKEY"}
    kept = await left(stage, ana)
    assert (kept["totp"], kept["passkeys"], kept["recovery_codes"]) == (1, 1, 1)
    assert (await undo(ana.elsewhere(), told_by.token))["errors"] == []
    assert (await reset(stage, email))["session"] is not None


@pytest.mark.parametrize("removes", [None, False, True])
async def test_who_resets_a_password_may_end_older_passkeys(
    stage: Stage, removes: bool | None
) -> None:
    email = an_address()
    ana = await stage.member(email)
    for number in range(6):
        await add_passkey(ana, f"Key {number}")
    await older(stage, ana, days=30)
    assert (await reset(stage, email, removePasskeys=removes))["session"] is not None
    assert (await left(stage, ana))["passkeys"] == (0 if removes else 6)
    shown = (await stage.last(email)).parameters
    assert shown == ({} if removes else {"passkeys": "Key 0, Key 1, Key 2, Key 3, Key 4, …"})
