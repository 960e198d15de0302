"""A second factor is asked for in every way in, each code works once, and guessing is bounded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pyotp import TOTP

from auth.demands import STRONG_SIGN_IN, Demands
from auth.guesses import CodeGuesses
from auth.second_factors import SecondFactors
from auth.sessions import SecondFactorNeeded, Sessions, SignedIn
from db.accounts import operations as accounts
from db.accounts.assurance import SignInMethod
from db.core.actor import SERVICE, Actor
from db.core.errors import DomainError, ErrorCode
from db.embedded.database import EmbeddedDatabase
from db.factors.operating import remove_second_factors
from db.factors.rules import (
    GUESSES_PER_CHALLENGE,
    WRONG_CODES_PER_DAY,
    WRONG_CODES_PER_HOUR,
    SecondFactor,
    clean_code,
)
from settings import Settings
from tests.auth.services import PASSWORD, AuthServices, an_email, refused

INVALID = ErrorCode.CODE_INVALID
HOME, ELSEWHERE = "192.0.2.1", "203.0.113.7"


@dataclass
class Member:
    """Somebody with an authenticator app, and what it is known by."""

    services: AuthServices
    factors: SecondFactors
    email: str
    actor: Actor
    first: SignedIn
    app: TOTP
    recovery_codes: list[str]

    @property
    def user_id(self) -> UUID:
        assert self.actor.user_id is not None
        return self.actor.user_id

    def code(self, steps: int = 0) -> str:
        """The app's code now, or some time steps from now."""
        return self.app.at(int(time.time()) + 30 * steps)

    def wrong(self) -> str:
        """Six digits that are no code of about now."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in map("{:06}".format, range(10)) if code not in near)

    async def forget_used(self) -> None:
        """Makes the codes of about now good again."""
        await self.services.all(
            "update totp_factors set last_step = 0 where user_id = :id returning user_id",
            id=self.user_id,
        )

    async def challenge(self) -> str:
        """The challenge of a sign-in with the right password."""
        needed = await self.services.accounts.sign_in(self.email, PASSWORD)
        assert isinstance(needed, SecondFactorNeeded)
        return needed.challenge_id

    async def verify(self, code: str, challenge: str | None = None, network: str = HOME) -> Any:
        challenge = challenge or await self.challenge()
        return await self.factors.verify(challenge, code, network=network)


@pytest.fixture
def factors(services: AuthServices, settings: Settings) -> SecondFactors:
    return SecondFactors(
        services.database, Sessions(services.tokens, settings), services.failures, settings
    )


@pytest.fixture
async def ana(services: AuthServices, factors: SecondFactors) -> Member:
    email = an_email()
    first = await services.accounts.sign_up(email, PASSWORD)
    assert isinstance(first, SignedIn)
    offer = await factors.begin_totp(first.actor)
    app = TOTP(offer.secret)
    codes = await factors.confirm_totp(first.actor, app.now())
    member = Member(services, factors, email, first.actor, first, app, codes)
    await member.forget_used()
    return member


async def test_an_app_is_offered_and_its_secret_is_not_stored_in_the_clear(
    services: AuthServices, factors: SecondFactors
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    offer = await factors.begin_totp(ana.actor)
    assert len(offer.secret) == 32
    assert offer.uri.startswith("otpauth://totp/")
    assert offer.secret in offer.uri
    stored = await services.value(
        "select sealed_secret from totp_factors where user_id = :id", id=ana.user_id
    )
    assert offer.secret.encode() not in stored
    # Until it is confirmed, it counts for nothing, and is replaced by the next.
    assert isinstance(await services.accounts.sign_in(email, PASSWORD), SignedIn)
    again = await factors.begin_totp(ana.actor)
    assert again.secret != offer.secret
    assert await refused(factors.confirm_totp(ana.actor, TOTP(offer.secret).now())) is INVALID
    await factors.confirm_totp(ana.actor, TOTP(again.secret).now())
    assert await refused(factors.begin_totp(ana.actor)) is ErrorCode.INVALID_STATE
    late = factors.confirm_totp(ana.actor, TOTP(again.secret).now())
    assert await refused(late) is ErrorCode.INVALID_STATE


async def test_a_guest_has_no_second_factor(services: AuthServices, factors: SecondFactors) -> None:
    guest = await services.accounts.sign_in_anonymously()
    assert await refused(factors.begin_totp(guest.actor)) is ErrorCode.INVALID_STATE
    no_codes = factors.regenerate_recovery_codes(guest.actor)
    assert await refused(no_codes) is ErrorCode.INVALID_STATE


async def test_a_sign_in_waits_for_the_code(ana: Member) -> None:
    needed = await ana.services.accounts.sign_in(ana.email, PASSWORD, user_agent="Phone")
    assert isinstance(needed, SecondFactorNeeded)
    assert needed.factors == (SecondFactor.TOTP, SecondFactor.RECOVERY_CODE)
    session = await ana.verify(ana.code(), needed.challenge_id)
    assert session.actor.assurance_level == 2
    (row,) = await ana.services.all("select * from sessions where id = :id", id=session.session_id)
    assert row["methods"] == ["password", "totp"]
    assert row["user_agent"] == "Phone"
    assert (await ana.services.accounts.refresh(session.refresh_token)).actor.assurance_level == 2
    assert (await ana.services.audit(ana.user_id))[-2:] == ["second_factor_asked", "sign_in"]
    # Met once, it is over.
    await ana.forget_used()
    assert await refused(ana.verify(ana.code(), needed.challenge_id)) is INVALID


@pytest.mark.parametrize("method", [SignInMethod.EMAIL, SignInMethod.PROVIDER])
async def test_every_way_in_waits_for_it(
    ana: Member, settings: Settings, method: SignInMethod
) -> None:
    sessions = Sessions(ana.services.tokens, settings)
    async with ana.services.database.transaction(SERVICE) as transaction:
        account = await accounts.lock_active_account(transaction, ana.user_id)
        assert account is not None
        opened = await sessions.open(transaction, account, method=method)
    assert isinstance(opened, SecondFactorNeeded)
    session = await ana.verify(ana.code(), opened.challenge_id)
    methods = "select methods from sessions where id = :id"
    assert await ana.services.value(methods, id=session.session_id) == [method, "totp"]


@pytest.mark.parametrize(("steps", "is_good"), [(-3, False), (-1, True), (1, True), (3, False)])
async def test_a_code_is_good_for_a_step_around(ana: Member, steps: int, is_good: bool) -> None:
    # At the very end of a step the code of the one before would be too old by the time it arrives.
    await asyncio.sleep(max(0.0, time.time() % 30 - 28))
    attempt = ana.verify(ana.code(steps))
    if is_good:
        assert isinstance(await attempt, SignedIn)
    else:
        assert await refused(attempt) is INVALID


async def test_a_code_works_once(ana: Member) -> None:
    code = ana.code()
    await ana.verify(code)
    assert await refused(ana.verify(code)) is INVALID
    # Nor one that is older than the newest that was used.
    await ana.verify(ana.code(1))
    assert await refused(ana.verify(code)) is INVALID


async def test_of_one_code_at_many_challenges_at_once_one_wins(ana: Member) -> None:
    code = ana.code()
    challenges = [await ana.challenge() for _ in range(4)]
    answers = await asyncio.gather(
        *(ana.verify(code, challenge) for challenge in challenges), return_exceptions=True
    )
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    assert {e.code for e in answers if isinstance(e, DomainError)} == {INVALID}


async def test_of_many_codes_at_one_challenge_at_once_one_wins(ana: Member) -> None:
    challenge = await ana.challenge()
    given = [ana.code(), *ana.recovery_codes[:4]]
    answers = await asyncio.gather(
        *(ana.verify(code, challenge) for code in given), return_exceptions=True
    )
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    left = "select codes_left from recovery_codes where user_id = :id"
    assert await ana.services.value(left, id=ana.user_id) >= 9


async def test_of_one_recovery_code_at_once_one_wins_and_never_again(ana: Member) -> None:
    code = ana.recovery_codes[0]
    challenges = [await ana.challenge() for _ in range(4)]
    answers = await asyncio.gather(
        *(ana.verify(code, challenge) for challenge in challenges), return_exceptions=True
    )
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    assert await refused(ana.verify(code)) is INVALID
    left = "select codes_left from recovery_codes where user_id = :id"
    assert await ana.services.value(left, id=ana.user_id) == 9
    letters = "select parameters ->> 'change' from emails where user_id = :id order by id"
    told = [row[0] for row in await ana.services.all(letters, id=ana.user_id)]
    assert told == ["totp_added", "recovery_code_used"]


async def test_recovery_codes_are_ten_and_of_no_use_to_who_reads_the_database(ana: Member) -> None:
    assert len(set(ana.recovery_codes)) == 10
    hashes = await ana.services.value(
        "select code_hashes from recovery_codes where user_id = :id", id=ana.user_id
    )
    assert {len(one) for one in hashes} == {32}
    typed = ana.recovery_codes[1].replace("-", " ").lower().replace("0", "o").replace("1", "l")
    assert isinstance(await ana.verify(typed), SignedIn)
    new = await ana.factors.regenerate_recovery_codes(ana.actor)
    assert await refused(ana.verify(ana.recovery_codes[2])) is INVALID
    assert isinstance(await ana.verify(new[0]), SignedIn)


async def test_somebody_elses_recovery_code_or_challenge_is_worth_nothing(
    ana: Member, services: AuthServices, factors: SecondFactors
) -> None:
    ben = await services.accounts.sign_up(an_email(), PASSWORD)
    app = TOTP((await factors.begin_totp(ben.actor)).secret)
    theirs = await factors.confirm_totp(ben.actor, app.now())
    assert await refused(ana.verify(theirs[0])) is INVALID
    assert await refused(ana.verify(app.at(int(time.time()) + 30))) is INVALID
    sealed = "(select sealed_secret from totp_factors where user_id = :ben)"
    await services.all(
        f"update totp_factors set sealed_secret = {sealed} where user_id = :ana returning user_id",
        ana=ana.user_id,
        ben=ben.user_id,
    )
    with pytest.raises(Exception, match="totp_factors"):
        await ana.verify(app.now())


@pytest.mark.parametrize(
    "given", ["", "abc", "12345", "1234567", "１２３４５６", "\0" * 6, "\ud800", "-"]
)
async def test_what_is_no_code_is_refused_like_a_wrong_one(ana: Member, given: str) -> None:
    assert await refused(ana.verify(given)) is INVALID
    assert await refused(ana.factors.verify(given, ana.code())) is INVALID
    assert await refused(ana.factors.remove_totp(ana.actor, given)) is INVALID
    assert await refused(ana.factors.reauthenticate(ana.actor, given)) is INVALID


async def test_a_challenge_is_good_for_five_guesses(ana: Member) -> None:
    challenge = await ana.challenge()
    for guess in range(GUESSES_PER_CHALLENGE):
        wrong = ana.wrong() if guess % 2 else "AAAA-AAAA-AAAA-AAAA"
        assert await refused(ana.verify(wrong, challenge)) is INVALID
    assert await refused(ana.verify(ana.code(), challenge)) is INVALID
    assert await refused(ana.verify(ana.recovery_codes[0], challenge)) is INVALID
    assert isinstance(await ana.verify(ana.code()), SignedIn)


async def test_whoever_sets_another_password_is_asked_as_well(
    ana: Member, settings: Settings
) -> None:
    sessions = Sessions(ana.services.tokens, settings)
    async with ana.services.database.transaction(SERVICE) as transaction:
        account = await accounts.lock_active_account(transaction, ana.user_id)
        assert account is not None
        await accounts.set_password(transaction, ana.user_id, "$argon2id$new")
        opened = await sessions.open(transaction, account, method=SignInMethod.EMAIL)
    assert isinstance(opened, SecondFactorNeeded)
    assert isinstance(await ana.verify(ana.code(), opened.challenge_id), SignedIn)


@pytest.mark.parametrize(
    "change",
    [
        "update second_factor_challenges set expires_at = now() where user_id = :id returning id",
        "update users set status = 'locked' where id = :id returning id",
        "update credentials set updated_at = clock_timestamp() where user_id = :id returning user_id",
    ],
)
async def test_a_challenge_ends_early(ana: Member, change: str) -> None:
    challenge = await ana.challenge()
    await ana.services.all(change, id=ana.user_id)
    assert await refused(ana.verify(ana.code(), challenge)) is INVALID
    assert await refused(ana.verify(ana.recovery_codes[0], challenge)) is INVALID


async def use_up(ana: Member, network: str, times: int) -> None:
    """Has wrong codes sent, without the challenges they need."""
    guesses = ana.factors._guesses
    async with ana.services.database.transaction(SERVICE) as transaction:
        for _ in range(times):
            await guesses.count_wrong(transaction, ana.user_id, network)


async def test_guesses_from_one_network_are_bounded_over_all_challenges(ana: Member) -> None:
    for _ in range(WRONG_CODES_PER_HOUR):
        assert await refused(ana.verify(ana.wrong(), network=ELSEWHERE)) is INVALID
    assert await refused(ana.verify(ana.code(), network=ELSEWHERE)) is ErrorCode.RATE_LIMITED
    await ana.services.failures.write(all_of_them=True)
    assert "rate_limited" in await ana.services.audit(ana.user_id)
    again = ana.factors.reauthenticate(ana.actor, ana.code(), network=ELSEWHERE)
    assert await refused(again) is ErrorCode.RATE_LIMITED
    # The owner comes in from another network, or with what nobody can guess.
    assert isinstance(await ana.verify(ana.code(), network=HOME), SignedIn)
    assert isinstance(await ana.verify(ana.recovery_codes[0], network=ELSEWHERE), SignedIn)


async def test_guesses_from_many_networks_are_bounded_and_lock_nobody_out_at_home(
    ana: Member,
) -> None:
    assert isinstance(await ana.verify(ana.code(), network=HOME), SignedIn)
    await ana.forget_used()
    for number in range(WRONG_CODES_PER_DAY):
        await use_up(ana, f"198.51.100.{number}", 1)
    assert await refused(ana.verify(ana.code(), network=ELSEWHERE)) is ErrorCode.RATE_LIMITED
    assert isinstance(await ana.verify(ana.recovery_codes[0], network=ELSEWHERE), SignedIn)
    assert isinstance(await ana.verify(ana.code(), network=HOME), SignedIn)
    holders = "select count(*) from rate_budgets where kind in ('wrong_codes', 'known_places')"
    assert await ana.services.value(holders) >= 2


async def test_wrong_guesses_at_once_do_not_pass_the_bound(ana: Member, settings: Settings) -> None:
    await use_up(ana, ELSEWHERE, WRONG_CODES_PER_HOUR - 2)
    challenges = [await ana.challenge() for _ in range(6)]
    answers = await asyncio.gather(
        *(ana.verify(ana.wrong(), challenge, ELSEWHERE) for challenge in challenges),
        return_exceptions=True,
    )
    codes = [error.code for error in answers if isinstance(error, DomainError)]
    assert codes.count(INVALID) == 2
    assert codes.count(ErrorCode.RATE_LIMITED) == 4
    async with ana.services.database.transaction(SERVICE) as transaction:
        with pytest.raises(DomainError):
            await CodeGuesses(settings).refuse(transaction, ana.user_id, ELSEWHERE)


async def test_sessions_of_one_factor_end_when_a_second_is_added(
    services: AuthServices, factors: SecondFactors, settings: Settings
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD)
    weak = await services.accounts.sign_in(email, PASSWORD)
    assert isinstance(weak, SignedIn)
    app = TOTP((await factors.begin_totp(ana.actor)).secret)
    await factors.confirm_totp(ana.actor, app.now())
    assert await refused(services.accounts.refresh(weak.refresh_token)) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(DomainError):
        services.tokens.verify(weak.access_token)
    # The one that added it has both factors, also with the token it had before.
    await Demands(services.database, settings).meet(ana.actor, STRONG_SIGN_IN)
    assert (await services.accounts.refresh(ana.refresh_token)).actor.assurance_level == 2


async def test_a_code_strengthens_a_session(ana: Member, settings: Settings) -> None:
    await ana.services.all(
        "update sessions set methods = '{password}' where id = :id returning id",
        id=ana.first.session_id,
    )
    demands = Demands(ana.services.database, settings)
    strong = demands.meet(ana.actor, STRONG_SIGN_IN)
    assert await refused(strong) is ErrorCode.SECOND_FACTOR_REQUIRED
    assert await refused(ana.factors.reauthenticate(ana.actor, ana.wrong())) is INVALID
    issued = await ana.factors.reauthenticate(ana.actor, ana.code())
    stronger = ana.services.tokens.verify(issued.token)
    assert (stronger.session_id, stronger.assurance_level) == (ana.first.session_id, 2)
    await demands.meet(ana.actor, STRONG_SIGN_IN)


@pytest.mark.parametrize("by_recovery_code", [False, True])
async def test_an_app_is_removed_by_a_code(ana: Member, by_recovery_code: bool) -> None:
    assert await refused(ana.factors.remove_totp(ana.actor, ana.wrong())) is INVALID
    code = ana.recovery_codes[0] if by_recovery_code else ana.code()
    await ana.factors.remove_totp(ana.actor, code)
    assert isinstance(await ana.services.accounts.sign_in(ana.email, PASSWORD), SignedIn)
    for table in ("totp_factors", "recovery_codes"):
        count = f"select count(*) from {table} where user_id = :id"
        assert await ana.services.value(count, id=ana.user_id) == 0
    assert await refused(ana.factors.remove_totp(ana.actor, ana.recovery_codes[1])) is INVALID
    assert "totp_removed" in await ana.services.audit(ana.user_id)


async def test_secrets_are_sealed_anew_by_the_first_key(
    ana: Member, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = settings.secret("vault-master-key")
    monkeypatch.setenv("VAULT_MASTER_KEY", f"a newer key,{old}")
    rotated = SecondFactors(
        ana.services.database, ana.factors._sessions, ana.services.failures, settings
    )
    await rotated.verify(await ana.challenge(), ana.code())
    await ana.forget_used()
    monkeypatch.setenv("VAULT_MASTER_KEY", "a newer key")
    newest = SecondFactors(
        ana.services.database, ana.factors._sessions, ana.services.failures, settings
    )
    assert isinstance(await newest.verify(await ana.challenge(), ana.code()), SignedIn)


async def test_an_operator_lets_in_who_has_lost_every_factor(
    ana: Member, cluster: EmbeddedDatabase
) -> None:
    assert await remove_second_factors(cluster.owner_url, ana.email.upper(), "eve")
    assert isinstance(await ana.services.accounts.sign_in(ana.email, PASSWORD), SignedIn)
    assert not await remove_second_factors(cluster.owner_url, ana.email, "eve")
    (entry,) = await ana.services.all(
        "select detail from audit_log where user_id = :id and action = 'second_factors_removed'",
        id=ana.user_id,
    )
    assert entry["detail"] == {"by": "eve"}
    letters = "select parameters ->> 'change' from emails where user_id = :id order by id"
    told = [row[0] for row in await ana.services.all(letters, id=ana.user_id)]
    assert told == ["totp_added", "other"]


def test_codes_are_read_as_they_are_typed() -> None:
    assert clean_code(" 123 456 ") == (SignInMethod.TOTP, "123456")
    assert clean_code("oil0-abcd-efgh-jkmn") == (SignInMethod.RECOVERY_CODE, "0110ABCDEFGHJKMN")
    assert clean_code("uuuu-abcd-efgh-jkmn") is None
