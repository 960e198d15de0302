"""Signing up, in and becoming somebody keep their promises under races, on a real database."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import argon2
import asyncpg
import pytest

from auth import passwords
from auth.sessions import SignedIn
from db.core.errors import DomainError, ErrorCode
from db.core.fair_queue import Asker
from tests.auth.services import PASSWORD, AuthServices, an_email, lock, refused


async def test_signing_up_opens_a_session_with_a_bonus(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(f" {email} ", PASSWORD, user_agent="Test\0 1")
    assert services.tokens.verify(ana.access_token) == ana.actor
    assert (ana.actor.role, ana.actor.is_anonymous, ana.actor.is_admin) == (
        "authenticated",
        False,
        False,
    )
    (user,) = await services.all("select * from users where id = :id", id=ana.user_id)
    assert (user["email"], user["is_anonymous"], user["role"]) == (email, False, "user")
    (session,) = await services.all("select * from sessions where user_id = :id", id=ana.user_id)
    assert (session["id"], session["user_agent"]) == (ana.session_id, "Test 1")
    terms = await services.value("select bonus_credits from sign_up_terms")
    wallet = "select balance from wallets where user_id = :id"
    assert await services.value(wallet, id=ana.user_id) == terms
    again = await services.accounts.sign_in(email.upper(), PASSWORD)
    assert (again.user_id, again.session_id == ana.session_id) == (ana.user_id, False)
    assert await services.audit(ana.user_id) == ["sign_up", "sign_in"]


async def test_no_secret_is_stored(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    second = await services.accounts.refresh(ana.refresh_token)
    for table in ("users", "credentials", "sessions", "refresh_tokens", "audit_log"):
        stored = await services.value(
            f"select coalesce(string_agg(t::text, ' '), '') from {table} t"
        )
        for signed_in in (ana, second):
            assert signed_in.access_token not in stored
            assert signed_in.refresh_token not in stored
            assert signed_in.refresh_token.encode().hex() not in stored
        assert PASSWORD not in stored


async def test_of_raced_sign_ups_one_wins(services: AuthServices) -> None:
    email = an_email()
    spellings = [email, email.lower(), email.upper(), email.title(), email]
    answers = await asyncio.gather(
        *(services.accounts.sign_up(spelling, PASSWORD) for spelling in spellings),
        return_exceptions=True,
    )
    (winner,) = [answer for answer in answers if isinstance(answer, SignedIn)]
    for answer in answers:
        if answer is not winner:
            assert isinstance(answer, DomainError)
            assert (answer.code, answer.path) == (ErrorCode.EMAIL_IN_USE, ("input", "email"))
    count = "select count(*) from users where email_key = lower(:email)"
    assert await services.value(count, email=email) == 1


async def test_bad_input_changes_nothing(services: AuthServices) -> None:
    before = await services.value("select count(*) from users")
    attempts = (("no address", PASSWORD), (an_email(), "short"), (an_email(), "\0" * 9))
    for email, password in attempts:
        assert await refused(services.accounts.sign_up(email, password)) is ErrorCode.BAD_USER_INPUT
    assert await services.value("select count(*) from users") == before


async def test_an_unknown_e_mail_answers_and_costs_as_a_known_one(
    services: AuthServices, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, locked = an_email(), an_email()
    await services.accounts.sign_up(known, PASSWORD)
    victim = await services.accounts.sign_up(locked, PASSWORD)
    await lock(owner, victim.user_id)
    costs: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        costs.append(argon2.extract_parameters(stored))
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    answers = set()
    guesses = (
        (known, "wrong horse"),
        (an_email(), PASSWORD),
        ("no address", PASSWORD),
        ("nul\0@example.com", PASSWORD),
        ("\ud800@example.com", PASSWORD),
        (locked, PASSWORD),
        (locked, "wrong horse"),
    )
    for email, password in guesses:
        with pytest.raises(DomainError) as error:
            await services.accounts.sign_in(email, password)
        answers.add((error.value.code, error.value.message, error.value.path))
    assert len(costs) == len(guesses)
    assert len(set(map(repr, costs))) == 1
    assert {code for code, _, _ in answers} == {ErrorCode.INVALID_CREDENTIALS}
    assert len(answers) == 1


@pytest.mark.parametrize("password", ["", "\0", "\ud800", "x" * 100_000])
async def test_impossible_passwords_sign_nobody_in(services: AuthServices, password: str) -> None:
    code = await refused(services.accounts.sign_in(an_email(), password))
    assert code is ErrorCode.INVALID_CREDENTIALS


async def test_an_old_hash_is_upgraded_even_by_two_sign_ins_at_once(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    old = argon2.PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await services.all(
        "update credentials set password_hash = :old where user_id = :id returning user_id",
        old=old,
        id=ana.user_id,
    )
    both = [services.accounts.sign_in(email, PASSWORD) for _ in range(2)]
    assert len({signed_in.session_id for signed_in in await asyncio.gather(*both)}) == 2
    stored = await services.value(
        "select password_hash from credentials where user_id = :id", id=ana.user_id
    )
    assert argon2.extract_parameters(stored).memory_cost == passwords.MEMORY_KIBIBYTES
    assert (await services.accounts.sign_in(email, PASSWORD)).user_id == ana.user_id


async def test_a_password_that_changed_meanwhile_opens_nothing(
    services: AuthServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    verify = services.passwords.verify

    async def slow(stored: str | None, password: str, asker: Asker) -> Any:
        result = await verify(stored, password, asker)
        await services.all(
            "update credentials set updated_at = clock_timestamp() where user_id = :id returning 1",
            id=ana.user_id,
        )
        return result

    monkeypatch.setattr(services.passwords, "verify", slow)
    code = await refused(services.accounts.sign_in(email, PASSWORD))
    assert code is ErrorCode.INVALID_CREDENTIALS


async def test_an_anonymous_user_becomes_somebody_in_place(services: AuthServices) -> None:
    guest = await services.accounts.sign_in_anonymously()
    assert guest.actor.is_anonymous
    assert services.tokens.verify(guest.access_token) == guest.actor
    wallet = "select coalesce(sum(balance), 0)::int from wallets where user_id = :id"
    (terms,) = await services.all("select * from sign_up_terms")
    assert await services.value(wallet, id=guest.user_id) == terms["anonymous_bonus_credits"]
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD, anonymous=guest.actor)
    assert (ana.user_id, ana.actor.is_anonymous) == (guest.user_id, False)
    most = max(terms["bonus_credits"], terms["anonymous_bonus_credits"])
    assert await services.value(wallet, id=ana.user_id) == most
    with pytest.raises(DomainError):
        services.tokens.verify(guest.access_token)
    assert (
        await refused(services.accounts.refresh(guest.refresh_token)) is ErrorCode.UNAUTHENTICATED
    )
    assert (await services.accounts.sign_in(email, PASSWORD)).user_id == guest.user_id


async def test_of_raced_conversions_one_wins(services: AuthServices) -> None:
    guest = await services.accounts.sign_in_anonymously()
    emails = [an_email() for _ in range(4)]
    answers = await asyncio.gather(
        *(services.accounts.sign_up(email, PASSWORD, anonymous=guest.actor) for email in emails),
        return_exceptions=True,
    )
    (winner,) = [answer for answer in answers if isinstance(answer, SignedIn)]
    assert winner.user_id == guest.user_id
    assert {answer.code for answer in answers if isinstance(answer, DomainError)} == {
        ErrorCode.UNAUTHENTICATED
    }
    bonus = await services.value("select bonus_credits from sign_up_terms")
    wallet = "select balance from wallets where user_id = :id"
    assert await services.value(wallet, id=guest.user_id) == bonus


async def test_a_conversion_to_a_taken_e_mail_changes_nothing(services: AuthServices) -> None:
    email = an_email()
    await services.accounts.sign_up(email, PASSWORD)
    guest = await services.accounts.sign_in_anonymously()
    taken = services.accounts.sign_up(email.lower(), PASSWORD, anonymous=guest.actor)
    assert await refused(taken) is ErrorCode.EMAIL_IN_USE
    assert services.tokens.verify(guest.access_token).is_anonymous
    assert (await services.accounts.refresh(guest.refresh_token)).actor.is_anonymous


async def test_somebody_who_signs_up_again_gets_another_account(services: AuthServices) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    other = await services.accounts.sign_up(an_email(), PASSWORD, anonymous=ana.actor)
    assert other.user_id != ana.user_id
    assert services.tokens.verify(ana.access_token).user_id == ana.user_id


async def test_an_address_is_one_account_however_it_is_spelled(services: AuthServices) -> None:
    name = uuid4().hex
    typed = f"İ{name}@münchen.example"
    ana = await services.accounts.sign_up(typed, PASSWORD)
    assert await services.value("select email from users where id = :id", id=ana.user_id) == typed
    for spelling in (f"I\u0307{name}@xn--mnchen-3ya.example", f"i\u0307{name}@MÜNCHEN。example"):
        code = await refused(services.accounts.sign_up(spelling, PASSWORD))
        assert code is ErrorCode.EMAIL_IN_USE
        signed_in = await services.accounts.sign_in(spelling, PASSWORD)
        assert signed_in.user_id == ana.user_id


async def test_an_account_of_an_older_kind_of_address_can_still_sign_in(
    services: AuthServices,
) -> None:
    ana = await services.accounts.sign_up(an_email(), PASSWORD)
    old = f"Ana..{uuid4().hex}@ex_ample"
    await services.all(
        "update users set email = :old, email_key = lower(:old) where id = :id returning 1",
        old=old,
        id=ana.user_id,
    )
    assert (await services.accounts.sign_in(old.upper(), PASSWORD)).user_id == ana.user_id
    assert await refused(services.accounts.sign_up(old, PASSWORD)) is ErrorCode.BAD_USER_INPUT
