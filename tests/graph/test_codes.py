"""One-time codes: they confirm, sign in and change, once, in time, and for nobody who guesses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import argon2
import asyncpg
import pytest

from db.core.actor import NOBODY
from graph.engine.execution.engine import Engine
from server.services import Services

from .asking import PASSWORD, Client, Stage, an_address, confirming, wrong

NEW_PASSWORD = "another horse"


@pytest.fixture
def stage(engine: Engine, services: Services, owner: asyncpg.Connection) -> Stage:
    return Stage(engine, confirming(services), owner)


async def test_an_account_is_there_once_its_address_is_confirmed(stage: Stage) -> None:
    email, client = an_address(), stage.client
    given = {"email": email, "password": PASSWORD, "username": f"u{email[4:20]}", "locale": "pt_br"}
    begun = await client("signUp", **given)
    assert begun == {
        "session": None,
        "bonusCredits": None,
        "passwordRequired": None,
        "errors": [],
    }
    users = "select count(*) from users where email = $1"
    assert await stage.owner.fetchval(users, email) == 0
    (mail,) = await stage.mails(email)
    assert mail.template == "confirm_email"
    assert await client.code("confirmEmail", email=email, code=wrong(mail.digits)) == "CODE_INVALID"
    spaced = f" {mail.digits[:3]} {mail.digits[3:]} "
    confirmed = await client("confirmEmail", email=email.upper(), code=spaced)
    assert confirmed["session"]["user"]["email"] == email
    assert confirmed["bonusCredits"] == 10
    row = await stage.owner.fetchrow("select * from users where email = $1", email)
    assert (row["username"], row["locale"]) == (given["username"], "pt-BR")
    assert row["email_confirmed_at"] is not None
    assert await client.code("confirmEmail", email=email, code=mail.digits) == "CODE_INVALID"
    assert await client.code("signIn", email=email, password=PASSWORD) is None


async def test_who_signs_in_too_early_is_told_how_to_go_on(stage: Stage) -> None:
    email, client = an_address(), stage.client
    await client("signUp", email=email, password=PASSWORD)
    assert await client.code("signIn", email=email, password=PASSWORD) == "EMAIL_NOT_CONFIRMED"
    assert await client.code("signIn", email=email, password="wrong") == "INVALID_CREDENTIALS"
    elsewhere = client.elsewhere()
    assert await elsewhere.code("signIn", email=email, password=PASSWORD) == "INVALID_CREDENTIALS"
    code = await stage.asked("resendConfirmation", email, elsewhere)
    assert await client.code("confirmEmail", email=email, code=code) is None
    assert await client.code("signIn", email=email, password=PASSWORD) is None


async def test_an_account_of_before_confirms_its_address_when_it_signs_in(
    stage: Stage, services: Services
) -> None:
    email = an_address()
    before = await Client(stage.engine, services).signed_in(
        "signUp", email=email, password=PASSWORD
    )
    client = replace(stage.client, actor=before.actor)
    assert await client.code("signIn", email=email, password="wrong") == "INVALID_CREDENTIALS"
    assert await client.code("signIn", email=email, password=PASSWORD) == "EMAIL_NOT_CONFIRMED"
    code = await stage.asked("resendConfirmation", email)
    answer = await client("confirmEmail", email=email, code=code)
    assert (answer["session"]["user"]["email"], answer["bonusCredits"]) == (email, 0)
    assert await client.code("signIn", email=email, password=PASSWORD) is None
    await client("resendConfirmation", email=email)
    assert len(await stage.mails(email)) == 1


async def test_a_guest_stays_one_until_the_address_is_confirmed(stage: Stage) -> None:
    email = an_address()
    guest = await stage.client.signed_in("signInAnonymously")
    await guest("signUp", email=email, password=PASSWORD)
    viewer = "{ viewer { id isAnonymous email } }"
    before = (await guest.ask(viewer))["data"]["viewer"]
    assert (before["isAnonymous"], before["email"]) == (True, None)
    code = (await stage.last(email)).digits
    # From another device of the same network, which knows nothing of the guest.
    device = replace(guest, actor=NOBODY)
    member = await device.signed_in("confirmEmail", email=email, code=code)
    after = (await member.ask(viewer))["data"]["viewer"]
    assert after == {"id": before["id"], "isAnonymous": False, "email": email}
    granted = "select sum(amount) from credit_grants where user_id = $1 and source = 'SIGNUP_BONUS'"
    assert await stage.owner.fetchval(granted, guest.actor.user_id) == 10
    ended = "select count(*) from sessions where id = $1 and revoked_at is not null"
    assert await stage.owner.fetchval(ended, guest.actor.session_id) == 1


async def test_signing_in_with_a_code(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    for other in ("resetPassword", "confirmEmail"):
        given = {"newPassword": NEW_PASSWORD} if other == "resetPassword" else {}
        assert await stage.client.code(other, email=email, code=code, **given) == "CODE_INVALID"
    answer = await stage.client("signInWithCode", email=email, code=code)
    assert answer["session"]["user"]["id"] == f"user_{ana.actor.user_id}"
    assert answer["bonusCredits"] is None
    assert await stage.client.code("signInWithCode", email=email, code=code) == "CODE_INVALID"


async def test_a_reset_password_ends_every_session_and_code(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    sign_in = await stage.asked("requestSignInCode", email)
    code = await stage.asked("requestPasswordReset", email)
    given = {"email": email, "code": code}
    weak = await stage.client("resetPassword", **given, newPassword="password1")
    assert weak["errors"] == [{"code": "PASSWORD_TOO_WEAK", "path": ["input", "newPassword"]}]
    short = await stage.client("resetPassword", **given, newPassword="short")
    assert short["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", "newPassword"]}]
    again = await stage.client.signed_in("resetPassword", **given, newPassword=NEW_PASSWORD)
    assert again.actor.user_id == ana.actor.user_id
    open_sessions = "select id from sessions where user_id = $1 and revoked_at is null"
    assert await stage.owner.fetchval(open_sessions, ana.actor.user_id) == again.actor.session_id
    assert ana.actor.session_id in stage.services.tokens.revoked
    assert await stage.client.code("signInWithCode", email=email, code=sign_in) == "CODE_INVALID"
    old = await stage.client.code("signIn", email=email, password=PASSWORD)
    assert old == "INVALID_CREDENTIALS"
    assert await stage.client.code("signIn", email=email, password=NEW_PASSWORD) is None
    assert (await stage.last(email)).template == "password_was_reset"


async def test_a_changed_password_ends_the_other_sessions(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    other = await stage.client.signed_in("signIn", email=email, password=PASSWORD)
    wrong_one = await ana("changePassword", currentPassword="wrong", newPassword=NEW_PASSWORD)
    assert wrong_one["errors"] == [
        {"code": "INVALID_CREDENTIALS", "path": ["input", "currentPassword"]}
    ]
    for weak in (email, "Iloveyou"):
        given = {"currentPassword": PASSWORD, "newPassword": weak}
        assert await ana.code("changePassword", **given) == "PASSWORD_TOO_WEAK"
    given = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert (await ana("changePassword", **given))["user"]["email"] == email
    rows = await stage.owner.fetch(
        "select id from sessions where user_id = $1 and revoked_at is null", ana.actor.user_id
    )
    assert [row["id"] for row in rows] == [ana.actor.session_id]
    assert other.actor.session_id in stage.services.tokens.revoked
    assert (await stage.last(email)).template == "password_changed"
    assert await stage.client.code("signIn", email=email, password=NEW_PASSWORD) is None
    nobody = stage.client.elsewhere()
    assert await nobody.code("changePassword", **given) == "UNAUTHENTICATED"
    guest = await nobody.signed_in("signInAnonymously")
    assert await guest.code("changePassword", **given) == "FORBIDDEN"


@pytest.mark.parametrize("confirms", [True, False])
async def test_the_words_of_a_deployment_and_of_an_account_are_refused_everywhere(
    engine: Engine, services: Services, owner: asyncpg.Connection, confirms: bool
) -> None:
    added = {"password_blocklist": ["Lampworks"], "confirm_email": confirms}
    stage = Stage(engine, confirming(services, **added), owner)
    email, name = an_address(), f"n{uuid4().hex[:12]}"
    local_part = email.partition("@")[0]
    weak = ("l4mpworks-2026", f"{local_part}!!", f"2026 {name}")
    for password in weak:
        given = {"email": email, "username": name, "password": password}
        assert await stage.client.code("signUp", **given) == "PASSWORD_TOO_WEAK"
    client = stage.client.elsewhere()
    answer = await client("signUp", email=email, username=name, password=PASSWORD)
    assert answer["errors"] == []
    way_in = (
        ("confirmEmail", {"code": (await stage.last(email)).token})
        if confirms
        else ("signIn", {"email": email, "password": PASSWORD})
    )
    ana = await client.signed_in(way_in[0], **way_in[1])
    await stage.client("requestPasswordReset", email=email)
    token = (await stage.last(email)).token
    for password in weak:
        given = {"currentPassword": PASSWORD, "newPassword": password}
        assert await ana.code("changePassword", **given) == "PASSWORD_TOO_WEAK"
        # The link names no address: its account does.
        reset = {"code": token, "newPassword": password}
        assert await stage.client.code("resetPassword", **reset) == "PASSWORD_TOO_WEAK"
    reset = {"code": token, "newPassword": f"{NEW_PASSWORD} {name}"}
    assert await stage.client.code("resetPassword", **reset) is None


async def test_another_address_is_confirmed_there_and_announced_here(stage: Stage) -> None:
    old, new = an_address(), an_address()
    ana, eve = await stage.member(old), await stage.member(an_address())
    reset = await stage.asked("requestPasswordReset", old)
    assert await ana("requestEmailChange", newEmail=new) == {"sent": True, "errors": []}
    mail = await stage.last(new)
    assert mail.template == "confirm_email_change"
    assert await eve.code("confirmEmailChange", code=mail.digits) == "CODE_INVALID"
    assert await eve.code("confirmEmailChange", code=mail.token) == "CODE_INVALID"
    assert (await ana("confirmEmailChange", code=mail.digits))["user"]["email"] == new
    assert (await stage.last(old)).template == "email_changed_undo"
    # What was mailed to the old address is worth nothing any more.
    given = {"email": old, "code": reset, "newPassword": NEW_PASSWORD}
    assert await stage.client.code("resetPassword", **given) == "CODE_INVALID"
    assert await stage.client.code("signIn", email=old, password=PASSWORD) == "INVALID_CREDENTIALS"
    assert await stage.client.code("signIn", email=new, password=PASSWORD) is None


async def test_an_address_of_somebody_else_is_not_revealed(stage: Stage) -> None:
    taken = an_address()
    await stage.member(taken)
    ana = await stage.member(an_address())
    assert await ana("requestEmailChange", newEmail=taken) == {"sent": True, "errors": []}
    assert (await stage.last(taken)).template == "email_wanted"
    # And when somebody takes it before the code comes back.
    raced = an_address()
    await ana("requestEmailChange", newEmail=raced)
    code = (await stage.last(raced)).digits
    await stage.member(raced)
    assert await ana.code("confirmEmailChange", code=code) == "EMAIL_IN_USE"
    own = await ana(
        "requestEmailChange",
        newEmail=(await ana.ask("{ viewer { email } }"))["data"]["viewer"]["email"],
    )
    assert own["errors"] == [{"code": "BAD_USER_INPUT", "path": ["input", "newEmail"]}]
    assert await ana.code("requestEmailChange", newEmail="no address") == "BAD_USER_INPUT"


# What is asked of an address, and how often it may be before each budget.
QUESTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "sign up": ("signUp", {"password": PASSWORD}),
    "sign up again": ("signUp", {"password": NEW_PASSWORD}),
    "sign in with the wrong password": ("signIn", {"password": "wrong"}),
    "sign in with what was signed up with": ("signIn", {"password": NEW_PASSWORD}),
    "ask for a reset": ("requestPasswordReset", {}),
    "ask for a code": ("requestSignInCode", {}),
    "ask for a confirmation": ("resendConfirmation", {}),
    "ask for it twice": ("resendConfirmation", {}),
    "guess at a reset": ("resetPassword", {"code": "000000", "newPassword": NEW_PASSWORD}),
    "guess at a sign-in": ("signInWithCode", {"code": "000000"}),
    "guess at a confirmation": ("confirmEmail", {"code": "000000"}),
    "send no code": ("signInWithCode", {"code": "12345"}),
}


async def test_a_known_address_answers_and_costs_as_an_unknown_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = an_address(), an_address()
    await stage.member(known)
    done: list[str] = []
    this_task = asyncio.current_task()

    def counted(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def run(self: Any, first: str, *rest: Any, **named: Any) -> Any:
            # Hashes run in threads; what another task does is not the request's.
            if owner is argon2.PasswordHasher:
                done.append(name)
            elif asyncio.current_task() is this_task:
                done.append(f"{name} {first}")
            return original(self, first, *rest, **named)

        monkeypatch.setattr(owner, name, run)

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        counted(asyncpg.Connection, name)
    for name in ("hash", "verify"):
        counted(argon2.PasswordHasher, name)
    seen: dict[str, list[Any]] = {email: [] for email in (known, unknown)}
    clients = {email: stage.client.elsewhere() for email in seen}
    for what, (name, given) in QUESTIONS.items():
        for email, client in clients.items():
            done.clear()
            answer = await client(name, email=email, **given)
            # A begin names its claims, of which there are none here.
            seen[email].append((what, answer, list(done)))
    for of_known, of_unknown in zip(seen[known], seen[unknown], strict=True):
        assert of_known == of_unknown
    told = {what: answer for what, answer, _ in seen[known]}
    codes = [error["code"] for a in told.values() if isinstance(a, dict) for error in a["errors"]]
    assert codes == [
        "INVALID_CREDENTIALS",
        "EMAIL_NOT_CONFIRMED",
        *["CODE_INVALID"] * 4,
    ]
    assert {mail.template for mail in await stage.mails(known)} == {
        "confirm_email",
        "email_in_use",
        "reset_password",
        "sign_in_code",
    }


async def test_a_code_is_compared_five_times(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    for _ in range(4):
        refused = await stage.client.code("signInWithCode", email=email, code=wrong(code))
        assert refused == "CODE_INVALID"
    # Aliases and spellings are guesses, too: the fifth is the last.
    guesses = " ".join(
        f'g{n}: signInWithCode(input: {{email: "{spelling}", code: "{given}"}})'
        " { errors { code } }"
        for n, (spelling, given) in enumerate([(email.upper(), wrong(code)), (f" {email} ", code)])
    )
    answer = (await stage.client.ask(f"mutation {{ {guesses} }}"))["data"]
    assert [answer[f"g{n}"]["errors"][0]["code"] for n in range(2)] == ["CODE_INVALID"] * 2


async def test_guesses_at_once_are_five_together(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    clients = [stage.client for _ in range(6)]
    await asyncio.gather(
        *(client.code("signInWithCode", email=email, code=wrong(code)) for client in clients)
    )
    row = await stage.owner.fetchrow(
        "select guesses, guesses_elsewhere from one_time_codes where email_key = $1", email
    )
    assert tuple(row) == (5, 0)


async def test_strangers_leave_two_guesses_to_who_asked(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    for _ in range(3):
        stranger = stage.client.elsewhere()
        assert (
            await stranger.code("signInWithCode", email=email, code=wrong(code)) == "CODE_INVALID"
        )
    elsewhere = stage.client.elsewhere()
    assert await elsewhere.code("signInWithCode", email=email, code=code) == "CODE_INVALID"
    assert await stage.client.code("signInWithCode", email=email, code=code) is None


async def test_the_right_code_is_good_elsewhere_too(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    first = await stage.asked("requestSignInCode", email)
    second = await stage.asked("requestSignInCode", email, stage.client.elsewhere())
    for code in (first, second):
        assert await stage.client.elsewhere().code("signInWithCode", email=email, code=code) is None


async def test_of_a_code_used_many_times_at_once_one_wins(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    code = await stage.asked("requestPasswordReset", email)
    token = (await stage.last(email)).token
    given = {"email": email, "newPassword": NEW_PASSWORD}
    answers = await asyncio.gather(
        *(stage.client.code("resetPassword", code=c, **given) for c in (code, code, code, token))
    )
    assert sorted(answers, key=str) == ["CODE_INVALID", "CODE_INVALID", "CODE_INVALID", None]


async def test_of_codes_used_at_once_one_wins_and_none_deadlocks(stage: Stage) -> None:
    """Using a code ends the others; guesses at those that are under way wait in the same order."""
    email = an_address()
    for _ in range(4):
        await stage.client.elsewhere()("signUp", email=email, password=PASSWORD)
    codes = [code for mail in await stage.mails(email) for code in (mail.token, mail.digits)]
    answers = await asyncio.gather(
        *(stage.client.elsewhere().code("confirmEmail", email=email, code=c) for c in codes)
    )
    assert len(answers) == 8
    assert sorted(answers, key=str) == [*["CODE_INVALID"] * 7, None]


@pytest.mark.parametrize("field", ["digits", "token"])
async def test_a_code_counts_until_the_databases_clock_says_no(stage: Stage, field: str) -> None:
    email = an_address()
    await stage.member(email)
    await stage.asked("requestSignInCode", email)
    code = getattr(await stage.last(email), field)
    expire = "update one_time_codes set expires_at = clock_timestamp() where email_key = $1"
    await stage.owner.execute(expire, email)
    assert await stage.client.code("signInWithCode", email=email, code=code) == "CODE_INVALID"
    later = (
        "update one_time_codes set expires_at = clock_timestamp() + '1 minute' where email_key = $1"
    )
    await stage.owner.execute(later, email)
    assert await stage.client.code("signInWithCode", email=email, code=code) is None


async def test_a_link_needs_no_address_and_only_its_own(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    await stage.asked("requestSignInCode", email)
    token = (await stage.last(email)).token
    foreign = {"email": an_address(), "code": token}
    assert await stage.client.code("signInWithCode", **foreign) == "CODE_INVALID"
    forged = f"{token[:-4]}AAAA"
    assert await stage.client.code("signInWithCode", code=forged) == "CODE_INVALID"
    assert await stage.client.code("confirmEmail", code=token) == "CODE_INVALID"
    assert await stage.client.code("signInWithCode", code=token) is None


async def test_mails_are_bounded_however_networks_change(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    again = stage.client
    for _ in range(3):
        assert await again("requestSignInCode", email=email) == {"sent": True, "errors": []}
    assert len(await stage.mails(email)) == 2, "the first was the confirmation"
    for _ in range(12):
        assert await stage.client.elsewhere()("requestSignInCode", email=email.upper()) == {
            "sent": True,
            "errors": [],
        }
    assert len(await stage.mails(email)) == 8


async def test_a_network_asks_and_guesses_only_so_often(
    engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    small = confirming(services, code_requests_per_hour=2, wrong_codes_per_hour=2)
    client = Client(engine, small)
    asked = [await client.code("requestSignInCode", email=an_address()) for _ in range(3)]
    assert asked == [None, None, "RATE_LIMITED"]
    guess = {"code": "123456"}
    guessed = [await client.code("signInWithCode", email=an_address(), **guess) for _ in range(3)]
    assert guessed == ["CODE_INVALID", "CODE_INVALID", "RATE_LIMITED"]
    # A neighbour within the same /64 is the same network; another network is not.
    neighbour = Client(engine, small, address=client.address + "f")
    assert await neighbour.code("signInWithCode", email=an_address(), **guess) == "RATE_LIMITED"
    other = client.elsewhere()
    assert await other.code("signInWithCode", email=an_address(), **guess) == "CODE_INVALID"


async def test_an_attacker_does_not_keep_the_owner_out(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    for _ in range(10):
        attacker = stage.client.elsewhere()
        await attacker("requestPasswordReset", email=email)
        for _ in range(6):
            given = {"email": email, "code": "000000", "newPassword": NEW_PASSWORD}
            await attacker.code("resetPassword", **given)
    assert await stage.client.code("signIn", email=email, password=PASSWORD) is None
    token = (await stage.last(email)).token
    # At a network of the owner's neighbourhood, where the mails of strangers do not count.
    home = replace(stage.client, address=":".join(stage.client.address.split(":")[:3]) + ":77::1")
    code = await stage.asked("requestSignInCode", email, home)
    assert await home.code("signInWithCode", email=email, code=code) is None
    given = {"code": token, "newPassword": NEW_PASSWORD}
    assert await stage.client.code("resetPassword", **given) is None


async def test_a_locked_account_is_nobodys(stage: Stage) -> None:
    email = an_address()
    ana = await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    await stage.owner.execute("update users set status = 'locked' where id = $1", ana.actor.user_id)
    assert await stage.client.code("signInWithCode", email=email, code=code) == "CODE_INVALID"
    await stage.client.elsewhere()("requestSignInCode", email=email)
    assert (await stage.last(email)).digits == code


async def test_no_code_is_stored_or_told_apart(stage: Stage) -> None:
    email = an_address()
    await stage.member(email)
    code = await stage.asked("requestSignInCode", email)
    mail = await stage.last(email)
    for table in ("one_time_codes", "emails", "audit_log", "rate_budgets", "pending_sign_ups"):
        stored = await stage.owner.fetchval(
            f"select coalesce(string_agg(t::text, ' '), '') from {table} t"
        )
        assert mail.token not in stored
        if table in {"audit_log", "rate_budgets"}:
            assert email not in stored
    row = await stage.owner.fetchrow("select * from one_time_codes where email_key = $1", email)
    assert code not in {str(value) for value in row.values()}


async def test_a_username_of_somebody_else_is_told_at_once(stage: Stage) -> None:
    name = f"U{an_address()[4:20]}"
    first, second = an_address(), an_address()
    clients = {email: stage.client.elsewhere() for email in (first, second)}
    for email, client in clients.items():
        await client("signUp", email=email, password=PASSWORD, username=name)
    for email, client in clients.items():
        code = (await stage.last(email)).digits
        assert await client.code("confirmEmail", email=email, code=code) is None
    rows = await stage.owner.fetch(
        "select username from users where email = any($1) order by id", [first, second]
    )
    assert rows[0]["username"] == name
    assert rows[1]["username"].startswith("user_")
    given = {"email": an_address(), "password": PASSWORD, "username": name.lower()}
    assert await stage.client.code("signUp", **given) == "USERNAME_IN_USE"
