"""Whose account it is: who typed an address first gets nothing of what its owner confirms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from db.codes.rules import SignUp, WaitingSignUp, choose_sign_up
from graph.engine.execution.engine import Engine
from server.services import Services

from .asking import PASSWORD, Client, Stage, an_address, confirming

OTHERS = "the stranger's own"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
API_KEY = """mutation { createApiKey(input: {name: "k", scopes: [READ]}) {
  apiKey { id } errors { code } } }"""
SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  signUpToken errors { code } } }"""
IDS = {name: UUID(int=number) for number, name in enumerate(("mine", "other", "guest"), 1)}


@pytest.fixture
def stage(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    return Stage(engine, confirming(services), owner)


@pytest.fixture
def lax(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    """A deployment that opens accounts without confirming addresses."""
    return Stage(engine, services, owner)


async def signed_up(client: Client, email: str, password: str) -> str:
    """The token of a sign-up."""
    answer = await client.ask(SIGN_UP, input={"email": email, "password": password})
    assert answer["data"]["signUp"]["errors"] == []
    token: str = answer["data"]["signUp"]["signUpToken"]
    assert len(token) == 43
    return token


async def signs_in(stage: Stage, email: str) -> list[str]:
    """Which of the two passwords the account has."""
    return [
        word
        for word in (PASSWORD, OTHERS)
        if await stage.client.code("signIn", email=email, password=word) is None
    ]


async def test_a_code_confirms_the_password_that_was_signed_up_with(stage: Stage) -> None:
    """A neighbour at the same network signs up with the address after its owner."""
    email = an_address()
    await stage.client("signUp", email=email, password=PASSWORD)
    await stage.client("signUp", email=email, password=OTHERS)
    mine, theirs = await stage.mails(email)
    answer = await stage.client("confirmEmail", email=email, code=mine.digits)
    assert (answer["errors"], answer["passwordRequired"]) == ([], False)
    assert await signs_in(stage, email) == [PASSWORD]
    assert await stage.client.code("confirmEmail", code=theirs.token) == "CODE_INVALID"


async def test_a_guest_keeps_their_sign_up_whatever_a_neighbour_does(stage: Stage) -> None:
    email = an_address()
    guest = await stage.client.signed_in("signInAnonymously")
    await guest("signUp", email=email, password=PASSWORD)
    await stage.client("signUp", email=email, password=OTHERS)
    mine, theirs = await stage.mails(email)
    # With the neighbour's code and at another network: who is signed in is the guest.
    at_work = replace(guest, address=guest.elsewhere().address)
    member = await at_work.signed_in("confirmEmail", email=email, code=theirs.digits)
    assert member.actor.user_id == guest.actor.user_id
    assert await signs_in(stage, email) == [PASSWORD]
    assert mine.digits


async def test_where_sign_ups_disagree_only_the_address_is_confirmed(stage: Stage) -> None:
    """A stranger anywhere comes first, and the owner confirms on their telephone."""
    email, stranger = an_address(), stage.client.elsewhere()
    await stranger("signUp", email=email, password=OTHERS)
    await stage.client("signUp", email=email, password=PASSWORD)
    first, _ = await stage.mails(email)
    telephone = stage.client.elsewhere()
    answer = await telephone("confirmEmail", email=email, code=first.digits)
    assert (answer["session"]["user"]["email"], answer["passwordRequired"]) == (email, True)
    assert await signs_in(stage, email) == []
    assert await stranger.code("signIn", email=email, password=OTHERS) == "INVALID_CREDENTIALS"
    code = await stage.asked("requestPasswordReset", email, telephone)
    given = {"email": email, "code": code, "newPassword": PASSWORD}
    assert (await telephone("resetPassword", **given))["passwordRequired"] is False
    assert await signs_in(stage, email) == [PASSWORD]


async def test_a_stranger_who_uses_up_the_mails_gets_no_password_in(stage: Stage) -> None:
    email = an_address()
    for _ in range(9):
        await stage.client.elsewhere()("signUp", email=email, password=OTHERS)
    await stage.client("signUp", email=email, password=PASSWORD)
    mails = await stage.mails(email)
    assert len(mails) == 8
    answer = await stage.client("confirmEmail", email=email, code=mails[0].digits)
    assert answer["passwordRequired"] is True
    assert await signs_in(stage, email) == []


async def test_nobody_alone_signs_up_for_somebody_else(stage: Stage) -> None:
    """A stranger is the only one who has signed up, and the owner of the address confirms it."""
    email, stranger = an_address(), stage.client.elsewhere()
    await stranger("signUp", email=email, password=OTHERS)
    mail = await stage.last(email)
    answer = await stage.client("confirmEmail", email=email, code=mail.digits)
    assert (answer["session"]["user"]["email"], answer["passwordRequired"]) == (email, True)
    assert await signs_in(stage, email) == []


async def test_who_signs_up_confirms_anywhere_with_their_token(stage: Stage) -> None:
    """Also with a stranger's code, and the stranger's token gets the stranger nowhere."""
    email, stranger = an_address(), stage.client.elsewhere()
    other = await signed_up(stranger, email, OTHERS)
    own = await signed_up(stage.client, email, PASSWORD)
    assert own == await signed_up(stage.client, email, PASSWORD) != other
    theirs, _ = await stage.mails(email)
    train = stage.client.elsewhere()
    given = {"email": email, "code": theirs.digits, "signUpToken": own}
    answer = await train("confirmEmail", **given)
    assert answer["passwordRequired"] is False
    assert await signs_in(stage, email) == [PASSWORD]


@pytest.mark.parametrize("token", ["", "x" * 43, "another"])
async def test_what_is_no_token_of_the_address_proves_nothing(stage: Stage, token: str) -> None:
    if token == "another":
        token = await signed_up(stage.client, an_address(), OTHERS)
    email = an_address()
    await stage.client("signUp", email=email, password=PASSWORD)
    given = {"email": email, "code": (await stage.last(email)).digits, "signUpToken": token}
    assert (await stage.client.elsewhere()("confirmEmail", **given))["passwordRequired"] is True


async def test_a_known_address_has_a_token_like_any_other(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    assert await signed_up(stage.client.elsewhere(), email, OTHERS)


async def test_the_same_sign_up_again_is_one(stage: Stage) -> None:
    email = an_address()
    for client in (stage.client, stage.client, stage.client.elsewhere()):
        await client("signUp", email=email, password=PASSWORD)
    mails = await stage.mails(email)
    assert len(mails) == 2
    assert await stage.owner.fetchval(COUNT, email) == 2
    # With the code of the one made elsewhere.
    answer = await stage.client("confirmEmail", email=email, code=mails[1].digits)
    assert answer["passwordRequired"] is False
    assert await signs_in(stage, email) == [PASSWORD]
    assert await stage.owner.fetchval(COUNT, email) == 0


COUNT = "select count(*) from pending_sign_ups where email_key = $1"


async def test_sign_ups_of_an_address_are_bounded(stage: Stage) -> None:
    email = an_address()
    for number in range(10):
        await stage.client("signUp", email=email, password=f"{PASSWORD} {number}")
    assert await stage.owner.fetchval(COUNT, email) == 8
    # What a code can confirm stays longest.
    first = (await stage.mails(email))[0]
    assert await stage.client.code("confirmEmail", email=email, code=first.digits) is None


async def test_a_code_says_from_where_it_was_asked_for(stage: Stage) -> None:
    email = an_address()
    client = replace(stage.client, address="203.0.113.77", user_agent=FIREFOX)
    await client("signUp", email=email, password=PASSWORD)
    mail = await stage.last(email)
    shown = {name: mail.parameters[name] for name in ("device", "address")}
    assert shown == {"device": "Firefox on Linux", "address": "203.0.113.0/24"}


def waiting(name: str = "mine", hash: str = "h", **changed: Any) -> WaitingSignUp:
    sign_up = SignUp("a@example.test", hash, "name", None, changed.pop("guest_id", None))
    given = {"is_here": False, "is_over": False, "is_mailed": True, **changed}
    return WaitingSignUp(IDS[name], sign_up=sign_up, **given)


@pytest.mark.parametrize(
    ("mine", "other", "own", "resent", "password"),
    [
        ({}, None, None, False, None),
        ({"is_here": True}, None, None, False, "h"),
        ({"is_here": True}, None, None, True, "h"),
        ({}, {"hash": "h"}, None, False, None),
        ({}, {"hash": "h", "is_here": True}, None, False, "h"),
        ({"is_here": True}, {"is_over": True}, None, False, "h"),
        ({}, {"is_here": True}, "mine", False, "h"),
        ({}, {}, "other", True, "g"),
        ({}, {"is_over": True}, "other", True, None),
        ({}, {}, None, False, None),
        ({"is_here": True}, {}, None, False, "h"),
        ({"is_here": True}, {}, None, True, "h"),
        ({}, {"is_here": True}, None, False, None),
        ({"is_here": True}, {"is_here": True}, None, False, "h"),
        ({"is_here": True}, {"is_here": True, "is_mailed": False}, None, False, None),
        ({"is_here": True}, {"is_here": True}, None, True, None),
        ({}, {"guest_id": IDS["guest"]}, None, False, "g"),
    ],
)
def test_which_sign_up_a_code_confirms(
    mine: Any, other: Any, own: str | None, resent: bool, password: str | None
) -> None:
    named = IDS["mine"]
    rows = [waiting(**mine)]
    if other is not None:
        rows.append(waiting("other", **{"hash": "g", **other}))
    chosen = choose_sign_up(
        rows, named, own_id=IDS.get(own or ""), guest_id=IDS["guest"], is_resent=resent
    )
    assert chosen is not None
    assert chosen.password_hash == password
    assert (chosen.username is None) == (password is None)
    ended = choose_sign_up(rows[1:], named, own_id=None, guest_id=None, is_resent=resent)
    assert ended is None


async def settled(lax: Stage, email: str) -> Client:
    """Somebody who has signed up with an address and settles in the account."""
    await lax.client("signUp", email=email, password=OTHERS)
    stranger = await lax.client.signed_in("signIn", email=email, password=OTHERS)
    made = (await stranger.ask(API_KEY))["data"]["createApiKey"]
    assert made["errors"] == []
    await stranger("requestEmailChange", newEmail=an_address())
    user_id = stranger.actor.user_id
    for table, columns, values in FACTORS:
        await lax.owner.execute(
            f"insert into {table} (user_id, {columns}) values ($1, {values})", user_id
        )
    return stranger


FACTORS = (
    ("totp_factors", "sealed_secret, confirmed_at", "'', now()"),
    ("recovery_codes", "code_hashes, codes_left", "array['\\x00'::bytea], 1"),
    (
        "passkeys",
        "credential_id, user_handle, public_key, sign_count, is_synced, is_second_factor, name",
        "sha256(random()::text::bytea), '\\x00', '\\x00', 0, false, true, 'k'",
    ),
)
LEFT = " union all ".join(
    f"select '{table}' as name from {table} where user_id = $1"
    for table in ("credentials", "api_keys", "one_time_codes", *(name for name, *_ in FACTORS))
)


WAYS: dict[str, tuple[str, dict[str, str], bool, list[str]]] = {
    "signInWithCode": ("requestSignInCode", {}, True, []),
    "resetPassword": ("requestPasswordReset", {"newPassword": PASSWORD}, False, ["credentials"]),
    "confirmEmail": ("resendConfirmation", {}, True, []),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_address_owner_gets_rid_of_whoever_typed_it_first(lax: Stage, way: str) -> None:
    request, given, password_required, kept = WAYS[way]
    email = an_address()
    stranger = await settled(lax, email)
    victim = lax.client.elsewhere()
    code = await lax.asked(request, email, victim)
    answer = await victim(way, email=email, code=code, **given)
    # No second factor of the stranger's is asked for.
    assert answer["session"]["user"]["id"] == f"user_{stranger.actor.user_id}"
    assert answer["passwordRequired"] is password_required
    left = [row["name"] for row in await lax.owner.fetch(LEFT, stranger.actor.user_id)]
    assert left == kept
    assert stranger.actor.session_id in lax.services.tokens.revoked
    assert OTHERS not in await signs_in(lax, email)
    claims = "select count(*) from audit_log where user_id = $1 and action = $2"
    noted = (stranger.actor.user_id, "unconfirmed_account_claimed")
    assert await lax.owner.fetchval(claims, *noted) == 1


async def test_who_has_confirmed_their_address_keeps_everything(lax: Stage) -> None:
    email = an_address()
    member = await settled(lax, email)
    # Signed in to the account whose address it is: nobody else typed it.
    code = await lax.asked("resendConfirmation", email, member)
    answer = await member("confirmEmail", email=email, code=code)
    assert answer["errors"] == []
    confirmed = "select email_confirmed_at is not null from users where id = $1"
    assert await lax.owner.fetchval(confirmed, member.actor.user_id)
    code = await lax.asked("requestSignInCode", email)
    await lax.client("signInWithCode", email=email, code=code)
    left = {row["name"] for row in await lax.owner.fetch(LEFT, member.actor.user_id)}
    assert left == {"credentials", "api_keys", "one_time_codes", *(name for name, *_ in FACTORS)}
    assert member.actor.session_id not in lax.services.tokens.revoked


async def test_a_reset_password_ends_api_keys(stage: Stage) -> None:
    email = an_address()
    member = await stage.member(email)
    await member.ask(API_KEY)
    code = await stage.asked("requestPasswordReset", email)
    given = {"email": email, "code": code, "newPassword": OTHERS}
    assert await stage.client.code("resetPassword", **given) is None
    alive = "select count(*) from api_keys where user_id = $1 and revoked_at is null"
    assert await stage.owner.fetchval(alive, member.actor.user_id) == 0


async def test_an_unconfirmed_address_is_no_mailbox_for_strangers(lax: Stage) -> None:
    email = an_address()
    stranger = await lax.client.signed_in("signUp", email=email, password=OTHERS)
    for _ in range(7):
        assert (await stranger.ask(API_KEY))["data"]["createApiKey"]["errors"] == []
    mails = await lax.mails(email)
    assert len(mails) == 5
    assert all("name" not in mail.parameters for mail in mails)
    assert await lax.asked("requestSignInCode", email, lax.client.elsewhere())
