"""An identity leads to the account that it proves to be its person's, and never to another's."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

import asyncpg
import pytest

from auth.one_time_codes import OneTimeCodes
from db.accounts import tables as accounts
from db.api_keys import tables as api_keys
from db.codes import tables as codes
from db.core.base import Base
from db.core.functions import read_functions
from db.factors import tables as factors
from db.identities import tables as identities
from db.identities.rules import Arrival, ExternalIdentity, decide_arrival, email_follows
from tests.auth.services import AuthServices
from tests.auth.sign_in import (
    EXCHANGE,
    ID_TOKEN,
    LINK,
    SIGN_IN,
    SIGN_UP,
    Place,
    an_address,
    user_id,
)
from tests.running import ROOT

CONFIRM = "update users set email_confirmed_at = now() where email = :email returning 1"
MAILS = "select template, parameters from emails where recipient = :recipient order by id"

ASK_FOR_ADDRESS = """mutation($email: String!) {
  done: requestEmailChange(input: {newEmail: $email}) { sent errors { code } } }"""
CONFIRM_ADDRESS = """mutation($code: String!) {
  done: confirmEmailChange(input: {code: $code}) { user { email } errors { code } } }"""
CHANGE_PASSWORD = """mutation { done: changePassword(input: {
  currentPassword: "none that there is", newPassword: "a new one of mine" }) { errors { code } } }"""


async def test_a_verified_address_links_to_its_confirmed_account(
    place: Place, services: AuthServices
) -> None:
    address = an_address()
    member = await place.do(SIGN_UP, email=address)
    await services.all(CONFIRM, email=address)
    # However the provider spells it.
    session = await place.enter(email=address.upper(), email_verified=True)
    assert user_id(session) == user_id(member)
    assert session["bonusCredits"] is None
    assert session["session"]["user"]["email"] == address
    assert (await place.do(SIGN_IN, email=address))["errors"] == []
    assert (await place.viewer(member["session"]["accessToken"]))["email"] == address
    mails = await services.all(MAILS, recipient=address)
    assert ("identity_linked", {"provider": "acme"}) in [tuple(mail) for mail in mails]


async def test_whoever_took_an_address_before_its_owner_came_is_out(
    place: Place, services: AuthServices, owner: asyncpg.Connection
) -> None:
    """Pre-hijacking: a stranger signs up with somebody's address, and waits."""
    address = an_address()
    stranger = await place.do(SIGN_UP, email=address)
    token = stranger["session"]["accessToken"]
    foot_in_the_door = {"sub": secrets.token_hex(8)}
    await place.do(LINK, token, **place.a_token(**foot_in_the_door))
    await services.all(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at)"
        " values (:id, '', now()) returning 1",
        id=user_id(stranger),
    )
    await owner.execute(
        "insert into api_keys (user_id, name, prefix, secret_hash, scopes)"
        " values ($1, 'k', 'tgk_abcdefgh', sha256('x'), '{READ}')",
        user_id(stranger),
    )
    heir = await place.enter(email=address, email_verified=True)
    assert user_id(heir) == user_id(stranger)
    assert heir["session"] is not None
    assert await place.code_of(SIGN_IN, email=address) == "INVALID_CREDENTIALS"
    assert (await place.ask("{ viewer { id } }", token))["errors"]
    assert user_id(await place.enter(**foot_in_the_door)) != user_id(heir)
    nodes = (await place.viewer(heir["session"]["accessToken"]))["identities"]["nodes"]
    assert [node["email"] for node in nodes] == [address]
    assert await services.all("select 1 from api_keys where user_id = :id", id=user_id(heir)) == []
    assert "unconfirmed_account_claimed" in await services.audit(user_id(heir))
    confirmed = "select email_confirmed_at is not null from users where id = :id"
    assert await services.value(confirmed, id=user_id(heir))


@pytest.mark.parametrize(
    "claims", [{}, {"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}]
)
async def test_an_address_that_is_not_verified_links_nothing(
    place: Place, services: AuthServices, claims: dict[str, object]
) -> None:
    address = an_address()
    member = await place.do(SIGN_UP, email=address)
    await services.all(CONFIRM, email=address)
    other = await place.enter(email=address, **claims)
    assert user_id(other) != user_id(member)
    assert other["session"]["user"]["email"] is None
    nodes = (await place.viewer(other["session"]["accessToken"]))["identities"]["nodes"]
    assert [(node["email"], node["isEmailVerified"]) for node in nodes] == [(address, False)]


async def test_an_address_that_is_verified_later_is_the_accounts_then(place: Place) -> None:
    person, address = {"sub": secrets.token_hex(8)}, an_address()
    before = await place.enter(**person, email=address)
    after = await place.enter(**person, email=address, email_verified=True)
    assert user_id(after) == user_id(before)
    assert after["session"]["user"]["email"] == address


async def test_a_changed_address_follows_and_the_old_one_is_told(
    place: Place, services: AuthServices
) -> None:
    person, old, new = {"sub": secrets.token_hex(8)}, an_address(), an_address()
    before = await place.enter(**person, email=old, email_verified=True)
    for address, verified, expected in (
        (new, False, old),
        (new, True, new),
        # Not verified any more: nothing goes back.
        (old, False, new),
    ):
        after = await place.enter(**person, email=address, email_verified=verified)
        assert user_id(after) == user_id(before)
        assert after["session"]["user"]["email"] == expected
    mails = await services.all(MAILS, recipient=old)
    assert [mail["template"] for mail in mails] == ["email_changed"]
    assert "email_followed" in await services.audit(user_id(before))


async def test_an_address_that_is_anothers_does_not_follow(place: Place) -> None:
    taken = an_address()
    await place.enter(email=taken, email_verified=True)
    person, own = {"sub": secrets.token_hex(8)}, an_address()
    await place.enter(**person, email=own, email_verified=True)
    after = await place.enter(**person, email=taken, email_verified=True)
    assert after["session"]["user"]["email"] == own


async def test_a_member_without_an_address_can_take_one(
    place: Place, services: AuthServices
) -> None:
    """Facebook and others that verify none leave the account without; its owner confirms one."""
    token, address = (await place.enter())["session"]["accessToken"], an_address()
    asked = await place.do(ASK_FOR_ADDRESS, token, email=address)
    assert asked == {"sent": True, "errors": []}
    (mail,) = await services.all(MAILS, recipient=address)
    code = OneTimeCodes(place.settings).digits(UUID(mail["parameters"]["code_id"]))
    done = await place.do(CONFIRM_ADDRESS, token, code=code)
    assert done == {"user": {"email": address}, "errors": []}
    assert await place.code_of(CHANGE_PASSWORD, token) == "INVALID_CREDENTIALS"


async def test_an_address_that_its_owner_chose_here_stays(
    place: Place, services: AuthServices
) -> None:
    """Only the address that came from the provider follows the provider."""
    person, chosen = {"sub": secrets.token_hex(8)}, an_address()
    member = await place.enter(**person, email=an_address(), email_verified=True)
    await services.all(
        "update users set email = :email, email_key = :email where id = :id returning 1",
        id=user_id(member),
        email=chosen,
    )
    after = await place.enter(**person, email=an_address(), email_verified=True)
    assert after["session"]["user"]["email"] == chosen


async def test_an_address_that_nobody_may_sign_up_with_counts_for_nothing(place: Place) -> None:
    for address in ("none", "a..b@example.com", "ada@раураӏ.com", "a" * 300 + "@example.com", 7):
        session = await place.enter(email=address, email_verified=True)
        assert session["session"]["user"]["email"] is None


async def test_a_locked_account_is_not_linked_to(place: Place, services: AuthServices) -> None:
    address = an_address()
    member = await place.do(SIGN_UP, email=address)
    await services.all(
        "update users set status = 'locked' where id = :id returning 1", id=user_id(member)
    )
    given = place.a_token(email=address, email_verified=True)
    assert await place.code_of(ID_TOKEN, **given) == "INVALID_CREDENTIALS"
    count = "select count(*) from user_identities where user_id = :id"
    assert await services.value(count, id=user_id(member)) == 0


async def test_a_second_factor_is_asked_for_whatever_the_way_in(
    place: Place, services: AuthServices
) -> None:
    person = {"sub": secrets.token_hex(8)}
    member = await place.enter(**person)
    await services.all(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at)"
        " values (:id, '', now()) returning 1",
        id=user_id(member),
    )
    code = await place.browser().arrive_from_acme(**person)
    asked = ID_TOKEN.replace("session {", "secondFactor { methods } session {")
    for text, given in (
        (asked, place.a_token(**person)),
        (EXCHANGE.replace("session {", "secondFactor { methods } session {"), {"code": code}),
    ):
        done = await place.do(text, **given)
        assert done["session"] is None
        assert done["secondFactor"] == {"methods": ["TOTP"]}


def test_the_linking_rule() -> None:
    assert decide_arrival(has_account=False, is_confirmed=False) is Arrival.OPEN
    assert decide_arrival(has_account=True, is_confirmed=True) is Arrival.LINK
    assert decide_arrival(has_account=True, is_confirmed=False) is Arrival.CLAIM


@pytest.mark.parametrize(
    ("told", "verified", "known", "account", "follows"),
    [
        ("new@a.example", True, "old@a.example", "old@a.example", True),
        ("new@a.example", True, "OLD@a.example", "old@a.example", True),
        ("new@a.example", True, None, None, True),
        ("new@a.example", False, "old@a.example", "old@a.example", False),
        ("new@a.example", True, "other@a.example", "old@a.example", False),
        ("new@a.example", True, None, "old@a.example", False),
        ("OLD@a.example", True, "old@a.example", "old@a.example", False),
        (None, True, "old@a.example", "old@a.example", False),
    ],
)
def test_when_an_address_follows(
    told: str | None, verified: bool, known: str | None, account: str | None, follows: bool
) -> None:
    external = ExternalIdentity("acme", "1", told, verified)
    assert email_follows(external, known_email=known, account_email_key=account) is follows


def test_whoever_claims_an_account_ends_every_way_into_it() -> None:
    """Whatever these slices keep of a user lets them in, or keeps others out."""
    kept = {
        table
        for module in (identities, api_keys, codes, factors)
        for table in vars(module).values()
        if isinstance(table, type) and issubclass(table, Base) and hasattr(table, "user_id")
    }
    claiming = read_functions([(ROOT / "db/codes/codes.sql").read_text()])
    (body,) = (one.text for one in claiming if one.name == "app.claim_unconfirmed_account")
    ended = set(re.findall(r"delete from public\.(\w+)", body))
    assert ended == {table.__tablename__ for table in kept | {accounts.Credential}}
