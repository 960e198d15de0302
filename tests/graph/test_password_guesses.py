"""Of one account, strangers guess so many passwords in a row; its owner is never shut out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from auth.password_guesses import PasswordGuesses
from db.accounts.emails import email_key
from db.accounts.operations import find_credentials
from db.core.actor import SERVICE
from db.core.errors import RateLimited
from graph.engine.execution.engine import Engine
from server.services import Services

from .asking import PASSWORD, Client, Stage, a_network, an_address, confirming

MOST = 10
WRONG = "not the password"


@pytest.fixture
def stage(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    """A deployment in which few guesses are enough, as NIST allows."""
    return Stage(engine, confirming(services, wrong_passwords_per_account=MOST), owner)


async def guessed(client: Client, email: str, times: int) -> list[str | None]:
    """The answers to wrong passwords, each from a network of its own."""
    return [
        await client.elsewhere().code("signIn", email=email, password=WRONG) for _ in range(times)
    ]


async def test_a_stranger_is_refused_and_the_owner_signs_in_at_home(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    codes = await guessed(stage.client, email, MOST + 2)
    assert codes == ["INVALID_CREDENTIALS"] * MOST + ["RATE_LIMITED"] * 2
    right = {"email": email, "password": PASSWORD}
    assert await ana.elsewhere().code("signIn", **right) == "RATE_LIMITED"
    home = replace(ana, actor=ana.elsewhere().actor)
    assert await home.code("signIn", email=email, password=WRONG) == "INVALID_CREDENTIALS"
    assert await home.code("signIn", **right) is None
    # In a row: the owner was here, so it begins anew.
    assert await guessed(stage.client, email, 1) == ["INVALID_CREDENTIALS"]


async def test_who_is_away_from_home_signs_in_by_a_code_or_sets_a_password(stage: Stage) -> None:
    by_code, by_reset = an_address(), an_address()
    for email in (by_code, by_reset):
        await stage.member(email)
        assert (await guessed(stage.client, email, MOST + 1))[-1] == "RATE_LIMITED"
    away = stage.client.elsewhere()
    code = await stage.asked("requestSignInCode", by_code, away)
    assert await away.code("signInWithCode", email=by_code, code=code) is None
    assert await away.code("signIn", email=by_code, password=PASSWORD) is None
    away = away.elsewhere()
    code = await stage.asked("requestPasswordReset", by_reset, away)
    given = {"email": by_reset, "code": code, "newPassword": "another horse"}
    assert await away.code("resetPassword", **given) is None
    elsewhere = away.elsewhere()
    assert await elsewhere.code("signIn", email=by_reset, password="another horse") is None


async def test_an_address_without_an_account_is_answered_alike(stage: Stage) -> None:
    codes = await guessed(stage.client, an_address(), MOST + 1)
    assert codes == ["INVALID_CREDENTIALS"] * MOST + ["RATE_LIMITED"]


async def test_spellings_of_an_address_are_one_account(stage: Stage) -> None:
    email = an_address()
    assert (await guessed(stage.client, email, MOST))[-1] == "INVALID_CREDENTIALS"
    assert await guessed(stage.client, email.upper(), 1) == ["RATE_LIMITED"]


async def test_guesses_at_once_are_as_few(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    found = await asyncio.gather(*(guessed(stage.client, email, 1) for _ in range(MOST + 5)))
    codes = [code for (code,) in found]
    assert codes.count("INVALID_CREDENTIALS") == MOST
    assert codes.count("RATE_LIMITED") == 5


DOCUMENTS: dict[str, str] = {
    "reauthenticate": '(input: {password: "%s"}) { errors { code } }',
    "changePassword": '(input: {currentPassword: "%s", newPassword: "another horse"})'
    " { errors { code } }",
    "deleteAccount": '(input: {password: "%s"}) { errors { code } }',
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_stolen_session_guesses_no_more_than_others(stage: Stage, name: str) -> None:
    email = an_address()
    ana = await stage.member(email)
    assert (await guessed(stage.client, email, MOST - 1))[-1] == "INVALID_CREDENTIALS"
    thief = replace(ana, address=a_network())
    document = f"mutation {{ {name}{DOCUMENTS[name] % WRONG} }}"
    first, second = await thief.ask(document), await thief.ask(document)
    assert first["data"][name]["errors"][0]["code"] == "INVALID_CREDENTIALS"
    assert second["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_guess_wears_off_in_a_day_and_at_home_in_minutes(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    home, away = ana.address, a_network()
    waits = []
    for network in (away, home):
        for _ in range(MOST):
            assert await wait_of(stage, email, network) is None
        wait = await wait_of(stage, email, network)
        assert wait is not None
        waits.append(wait)
    assert 86_000 < waits[0] <= 86_400
    assert 300 < waits[1] <= 360
    # As much later, there is one more, and one only.
    later = "update rate_budgets set expires_at = expires_at - make_interval(secs => $1) where kind = $2 and holder_hash = $3"
    guesses = PasswordGuesses.of(stage.services)
    guess = guesses._guess(email_key(email), None, away)
    await stage.owner.execute(later, float(waits[0]), "wrong_passwords", guess.account_holder)
    assert await wait_of(stage, email, away) is None
    assert await wait_of(stage, email, away) is not None


async def wait_of(stage: Stage, email: str, network: str) -> int | None:
    """How long a guess from a network has to wait; counted when it has not."""
    guesses = PasswordGuesses.of(stage.services)
    try:
        async with stage.services.database.transaction(SERVICE) as transaction:
            found = await find_credentials(transaction, email)
            user_id = found.user_id if found else None
            await guesses.begin(transaction, email_key(email), user_id, network)
    except RateLimited as error:
        return error.retry_after_seconds
    return None
