"""A session knows how and when it was proven, its tokens say so, and operations demand it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, Demand, Demands
from auth.password_guesses import PasswordGuesses
from auth.reauthentication import Reauthentication
from auth.sessions import Sessions
from auth.tokens import ALGORITHM, TOKEN_TYPE
from db.accounts.assurance import assurance_level
from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode
from settings import Settings
from tests.auth.services import PASSWORD, AuthServices, an_email, refused

PAST = "update sessions set authenticated_at = now() - interval '1 day' where id = :id returning id"


@pytest.mark.parametrize(
    ("methods", "level"),
    [
        ((), 1),
        (("password",), 1),
        (("password", "email", "provider"), 1),
        (("password", "totp"), 2),
        (("provider", "recovery_code"), 2),
        (("totp",), 1),
        (("passkey",), 2),
        (("passkey_touched",), 1),
        (("password", "passkey_touched"), 2),
    ],
)
def test_two_factors_are_the_second_level(methods: tuple[str, ...], level: int) -> None:
    assert assurance_level(methods) == level


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_a_token_says_how_and_when_it_was_signed_in(services: AuthServices) -> None:
    before = int(time.time())
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    claims = claims_of(ana.access_token)
    assert claims["aal"] == "aal1"
    assert before <= claims["auth_time"] <= time.time()  # type: ignore[operator]
    actor = services.tokens.verify(ana.access_token)
    assert (actor.assurance_level, actor.authenticated_at) == (1, claims["auth_time"])
    assert ana.actor == actor


async def test_a_refresh_keeps_how_and_when(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    proven = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)
    await services.all(
        "update sessions set authenticated_at = cast(:proven as timestamptz),"
        " methods = '{password,totp}' where id = :id returning id",
        id=ana.session_id,
        proven=proven,
    )
    refreshed = await services.accounts.refresh(ana.refresh_token)
    claims = claims_of(refreshed.access_token)
    assert claims["aal"] == "aal2"
    assert claims["auth_time"] == proven.timestamp()


async def test_a_token_from_before_there_were_these_claims_is_of_an_old_sign_in(
    services: AuthServices,
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    older = services.tokens.issue(
        ana.user_id, ana.session_id, is_anonymous=False, is_admin=False
    ).token
    assert "aal" not in claims_of(older)
    actor = services.tokens.verify(older)
    assert (actor.assurance_level, actor.authenticated_at) == (1, 0)


@pytest.mark.parametrize(
    "changed",
    [{"aal": "aal3"}, {"aal": 2}, {"aal": ["aal2"]}, {"auth_time": "1"}, {"auth_time": True}],
)
async def test_a_claim_of_another_form_is_no_claim(
    services: AuthServices, changed: dict[str, object]
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    key = services.tokens._keys.signing
    forged = jwt.encode(
        claims_of(ana.access_token) | changed,
        key.private,
        algorithm=ALGORITHM,
        headers={"typ": TOKEN_TYPE, "kid": key.kid},
    )
    with pytest.raises(DomainError) as error:
        services.tokens.verify(forged)
    assert error.value.code is ErrorCode.UNAUTHENTICATED


def reauthentication(services: AuthServices, settings: Settings) -> Reauthentication:
    return Reauthentication(
        services.database,
        services.passwords,
        services.accounts._attempts,
        Sessions(services.tokens, settings),
        services.failures,
        PasswordGuesses(settings),
    )


async def test_the_password_freshens_a_session_and_ends_nothing(
    services: AuthServices, settings: Settings
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.all(PAST, id=ana.session_id)
    old = (await services.accounts.refresh(ana.refresh_token)).actor
    assert old.authenticated_at < time.time() - 80_000
    again = await reauthentication(services, settings).by_password(old, PASSWORD)
    fresh = services.tokens.verify(again.token)
    assert fresh.session_id == ana.session_id
    assert fresh.authenticated_at > time.time() - 60
    methods = "select methods from sessions where id = :id"
    assert await services.value(methods, id=ana.session_id) == ["password"]
    assert "reauthenticated" in await services.audit(ana.user_id)
    assert (await services.accounts.refresh(ana.refresh_token)).session_id == ana.session_id


async def test_a_wrong_password_or_an_ended_session_freshens_nothing(
    services: AuthServices, settings: Settings
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    ben = await services.accounts.sign_up(an_email(), PASSWORD + "!")
    await services.all(PAST, id=ana.session_id)
    again = reauthentication(services, settings)
    for wrong in ("wrong one", "", "\\0", PASSWORD + "!"):
        assert await refused(again.by_password(ana.actor, wrong)) is ErrorCode.INVALID_CREDENTIALS
    theirs = replace(ben.actor, session_id=ana.session_id)
    assert await refused(again.by_password(theirs, PASSWORD + "!")) is ErrorCode.UNAUTHENTICATED
    old = "select authenticated_at < now() - interval '1 hour' from sessions where id = :id"
    assert await services.value(old, id=ana.session_id)
    await services.accounts.sign_out(ana.actor)
    assert await refused(again.by_password(ana.actor, PASSWORD)) is ErrorCode.UNAUTHENTICATED
    guest = await services.accounts.sign_in_anonymously()
    assert await refused(again.by_password(guest.actor, "guest")) is ErrorCode.INVALID_CREDENTIALS


OLD, NOW = 0, int(time.time()) + 3600
FRESH_CODE, STRONG_CODE = ErrorCode.FRESH_SIGN_IN_REQUIRED, ErrorCode.SECOND_FACTOR_REQUIRED


@pytest.mark.parametrize(
    ("demands", "claims", "session", "enrolled", "expected"),
    [
        (FRESH_SIGN_IN, (1, NOW), ("password", 1), False, None),
        (FRESH_SIGN_IN, (1, OLD), ("password", 1), False, FRESH_CODE),
        # Proven again since the token was issued.
        (FRESH_SIGN_IN, (1, OLD), ("password", 0), False, None),
        (FRESH_SIGN_IN, (1, NOW), ("password", 1), True, None),
        (STRONG_SIGN_IN, (1, OLD), ("password", 1), False, None),
        (STRONG_SIGN_IN, (1, NOW), ("password", 0), True, STRONG_CODE),
        (STRONG_SIGN_IN, (2, OLD), ("password", 1), True, None),
        (STRONG_SIGN_IN, (1, OLD), ("password,totp", 1), True, None),
        (FRESH_SIGN_IN | STRONG_SIGN_IN, (2, OLD), ("password,totp", 1), True, FRESH_CODE),
        (FRESH_SIGN_IN | STRONG_SIGN_IN, (1, OLD), ("password", 1), True, STRONG_CODE),
        (FRESH_SIGN_IN | STRONG_SIGN_IN, (2, NOW), ("password", 1), True, None),
    ],
)
async def test_an_operation_demands_a_sign_in(
    services: AuthServices,
    settings: Settings,
    demands: Demand,
    claims: tuple[int, int],
    session: tuple[str, int],
    enrolled: bool,
    expected: ErrorCode | None,
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.all(
        "update sessions set methods = string_to_array(:methods, ','),"
        " authenticated_at = now() - :days * interval '1 day' where id = :id returning id",
        id=ana.session_id,
        methods=session[0],
        days=session[1],
    )
    if enrolled:
        await services.all(
            "insert into totp_factors (user_id, sealed_secret, confirmed_at)"
            " values (:id, '', now()) returning user_id",
            id=ana.user_id,
        )
    actor = replace(ana.actor, assurance_level=claims[0], authenticated_at=claims[1])
    meeting = Demands(services.database, settings).meet(actor, demands)
    assert (await refused(meeting) if expected else await meeting) is expected


async def test_an_app_that_is_not_confirmed_asks_for_nothing(
    services: AuthServices, settings: Settings
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.all(
        "insert into totp_factors (user_id, sealed_secret) values (:id, '') returning user_id",
        id=ana.user_id,
    )
    await Demands(services.database, settings).meet(ana.actor, STRONG_SIGN_IN)


async def test_a_session_that_has_ended_is_not_fresh(
    services: AuthServices, settings: Settings
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    await services.accounts.sign_out(ana.actor)
    old = replace(ana.actor, authenticated_at=OLD)
    assert (
        await refused(Demands(services.database, settings).meet(old, FRESH_SIGN_IN)) is FRESH_CODE
    )


async def test_who_has_nothing_to_prove_it_with_passes(
    services: AuthServices, settings: Settings
) -> None:
    demands = Demands(services.database, settings)
    guest = await services.accounts.sign_in_anonymously()
    both = FRESH_SIGN_IN | STRONG_SIGN_IN
    await demands.meet(replace(guest.actor, authenticated_at=OLD), both)
    await demands.meet(NOBODY, both)
    await demands.meet(Actor("service"), both)
