"""Passkeys sign in alone or as the second factor; each challenge is for one good answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pyotp import TOTP

from auth.ceremonies import Ceremonies
from auth.passkeys import CHALLENGES_PER_MINUTE, Passkeys
from auth.second_factors import SecondFactors
from auth.sessions import SecondFactorNeeded, Sessions, SignedIn
from auth.shared_rates import SharedRates
from db.core.errors import DomainError, ErrorCode
from db.factors.rules import PASSKEYS_PER_USER, SecondFactor
from settings import Settings
from tests.auth.services import PASSWORD, AuthServices, an_email, refused
from tests.authenticator import PRESENT, Authenticator, data, text

INVALID = ErrorCode.CODE_INVALID
HOME = "192.0.2.1"


@dataclass
class Member:
    """Somebody who has signed up, and what passkeys are asked for."""

    services: AuthServices
    passkeys: Passkeys
    factors: SecondFactors
    email: str
    first: SignedIn

    async def register(
        self, device: Authenticator, *, is_second_factor: bool = False, **changed: Any
    ) -> Any:
        options = await self.passkeys.begin_registration(
            self.first.actor, is_second_factor=is_second_factor
        )
        made = device.register(options, **changed)
        return await self.passkeys.finish_registration(self.first.actor, made, "Phone")

    async def sign_in(self, device: Authenticator, **changed: Any) -> Any:
        options = await self.passkeys.begin_sign_in(HOME, None)
        return await self.passkeys.finish_sign_in(device.sign(options, **changed), network=HOME)

    async def password(self) -> Any:
        return await self.services.accounts.sign_in(self.email, PASSWORD)

    async def second_factor(self, device: Authenticator, **changed: Any) -> Any:
        needed = await self.password()
        options = await self.passkeys.begin_sign_in(HOME, needed.challenge_id)
        return await self.passkeys.finish_sign_in(device.sign(options, **changed), network=HOME)

    async def methods(self, session: SignedIn) -> Any:
        return await self.services.value(
            "select methods from sessions where id = :id", id=session.session_id
        )


@pytest.fixture
def passkeys(services: AuthServices, settings: Settings) -> Passkeys:
    sessions = Sessions(services.tokens, settings)
    factors = SecondFactors(services.database, sessions, services.failures, settings)
    return Passkeys(
        services.database,
        sessions,
        factors,
        settings,
        SharedRates.alone(),
        services.failures,
    )


@pytest.fixture
async def ana(services: AuthServices, passkeys: Passkeys) -> Member:
    email = an_email()
    first = await services.accounts.sign_up(email, PASSWORD)
    assert isinstance(first, SignedIn)
    return Member(services, passkeys, passkeys._factors, email, first)


async def test_a_passkey_signs_in_with_two_factors(ana: Member) -> None:
    device = Authenticator()
    registered = await ana.register(device)
    assert registered.recovery_codes is None
    session = await ana.sign_in(device)
    assert session.user_id == ana.first.user_id
    assert session.actor.assurance_level == 2
    assert await ana.methods(session) == ["passkey"]
    # The password goes on as before, and nothing more is asked for.
    assert isinstance(await ana.password(), SignedIn)
    (row,) = await ana.services.all(
        "select * from passkeys where user_id = :id", id=ana.first.user_id
    )
    assert (row["name"], row["is_synced"], row["transports"]) == ("Phone", True, ["internal"])
    assert row["last_used_at"] is not None
    assert {"passkey_added", "sign_in"} <= set(await ana.services.audit(ana.first.user_id))


async def test_what_a_browser_is_told_says_nothing_of_the_account_but_its_name(
    ana: Member,
) -> None:
    options = await ana.passkeys.begin_registration(ana.first.actor, is_second_factor=False)
    assert options["rp"]["id"] == "localhost"
    assert options["user"]["name"] == ana.email
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    handle = data(options["user"]["id"])
    assert len(handle) == 32
    assert ana.first.user_id.bytes not in handle
    device = Authenticator()
    await ana.register(device)
    again = await ana.passkeys.begin_registration(ana.first.actor, is_second_factor=True)
    # The same account, so that a device does not keep it twice.
    assert again["user"]["id"] == text(device.user_handle or b"")
    assert [one["id"] for one in again["excludeCredentials"]] == [text(device.credential_id)]
    assert again["authenticatorSelection"]["userVerification"] == "preferred"
    asked = await ana.passkeys.begin_sign_in(HOME, None)
    assert asked["allowCredentials"] == []


async def test_a_passkey_signs_in_past_an_authenticator_app(ana: Member) -> None:
    device = Authenticator()
    await ana.register(device)
    app = TOTP((await ana.factors.begin_totp(ana.first.actor)).secret)
    await ana.factors.confirm_totp(ana.first.actor, app.now())
    needed = await ana.password()
    assert needed.factors == (SecondFactor.TOTP, SecondFactor.RECOVERY_CODE, SecondFactor.PASSKEY)
    assert isinstance(await ana.sign_in(device), SignedIn)
    session = await ana.second_factor(device)
    assert await ana.methods(session) == ["password", "passkey"]


async def test_a_key_that_is_only_touched_is_a_second_factor(ana: Member) -> None:
    device = Authenticator(verifies_user=False)
    assert await refused(ana.register(device)) is INVALID
    registered = await ana.register(device, is_second_factor=True)
    assert len(registered.recovery_codes) == 10
    needed = await ana.password()
    assert isinstance(needed, SecondFactorNeeded)
    assert needed.factors == (SecondFactor.RECOVERY_CODE, SecondFactor.PASSKEY)
    session = await ana.second_factor(device)
    assert session.actor.assurance_level == 2
    assert await ana.methods(session) == ["password", "passkey_touched"]
    assert await refused(ana.sign_in(device)) is INVALID
    other = Authenticator()
    assert (await ana.register(other, is_second_factor=True)).recovery_codes is None


async def test_removing_the_last_second_factor_asks_for_none(ana: Member) -> None:
    registered = await ana.register(Authenticator(), is_second_factor=True)
    assert isinstance(await ana.password(), SecondFactorNeeded)
    await ana.passkeys.remove(ana.first.actor, registered.passkey_id)
    assert isinstance(await ana.password(), SignedIn)
    left = "select count(*) from recovery_codes where user_id = :id"
    assert await ana.services.value(left, id=ana.first.user_id) == 0
    gone = ana.passkeys.remove(ana.first.actor, registered.passkey_id)
    assert await refused(gone) is ErrorCode.NOT_FOUND


FORGED: dict[str, dict[str, Any]] = {
    "another page": {"origin": "https://evil.example"},
    "another page of the same name": {"origin": "http://localhost.evil.example"},
    "a frame of another page": {"cross_origin": True},
    "another relying party": {"rp_id": "evil.example"},
    "another ceremony": {"type": "webauthn.other"},
    "another challenge": {"challenge": text(bytes(32))},
    "no user": {"flags": 0},
    "a user who was not verified": {"flags": PRESENT},
}


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
async def test_a_forged_registration_is_refused(ana: Member, changed: dict[str, Any]) -> None:
    assert await refused(ana.register(Authenticator(), **changed)) is INVALID


@pytest.mark.parametrize(
    "changed",
    [*FORGED.values(), {"signature": bytes(70)}, {"user_handle": bytes(32)}, {"user_handle": None}],
)
async def test_a_forged_sign_in_is_refused(ana: Member, changed: dict[str, Any]) -> None:
    device = Authenticator()
    await ana.register(device)
    assert await refused(ana.sign_in(device, **changed)) is INVALID
    assert isinstance(await ana.sign_in(device), SignedIn)


async def test_another_key_with_the_same_id_is_refused(ana: Member) -> None:
    device = Authenticator()
    await ana.register(device)
    thief = Authenticator(credential_id=device.credential_id, user_handle=device.user_handle)
    assert await refused(ana.sign_in(thief)) is INVALID
    # Nor can it be registered, by whomever.
    assert await refused(ana.register(thief)) is INVALID


def without(*path: str) -> Callable[[dict[str, Any]], Any]:
    def change(credential: dict[str, Any]) -> Any:
        inner = credential
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        return credential

    return change


def with_response(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda credential: credential | {"response": credential["response"] | values}


BROKEN: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: None,
    lambda _: "passkey",
    lambda _: [],
    lambda _: {},
    lambda credential: credential | {"id": 1},
    lambda credential: credential | {"id": "é"},
    lambda credential: credential | {"rawId": "AAAA"},
    lambda credential: credential | {"type": "password"},
    lambda credential: credential | {"response": []},
    without("response", "clientDataJSON"),
    with_response(clientDataJSON=text(b"[]")),
    with_response(clientDataJSON=text(b"[" * 20_000)),
    with_response(clientDataJSON=text(b"\xff")),
    with_response(clientDataJSON="!"),
    with_response(attestationObject=text(b"\x81" * 20_000), authenticatorData=text(b"\x81" * 9)),
    with_response(attestationObject=text(b"\xff"), authenticatorData=""),
    with_response(attestationObject="A" * 40_000, signature="A" * 40_000),
    with_response(attestationObject=None, signature=None),
    with_response(transports=[[], {}, None]),
]


@pytest.mark.parametrize("change", BROKEN)
async def test_bytes_of_a_stranger_break_nothing(
    ana: Member, change: Callable[[dict[str, Any]], Any]
) -> None:
    device = Authenticator()
    options = await ana.passkeys.begin_registration(ana.first.actor, is_second_factor=False)
    registering = ana.passkeys.finish_registration(
        ana.first.actor, change(device.register(options)), "Phone"
    )
    if change is BROKEN[-1]:
        await registering
        return
    assert await refused(registering) is INVALID
    await ana.register(device)
    asked = await ana.passkeys.begin_sign_in(HOME, None)
    assert await refused(ana.passkeys.finish_sign_in(change(device.sign(asked)))) is INVALID


async def test_a_challenge_is_for_one_answer(ana: Member) -> None:
    device = Authenticator(counts=False)
    options = await ana.passkeys.begin_registration(ana.first.actor, is_second_factor=False)
    made = device.register(options)
    await ana.passkeys.finish_registration(ana.first.actor, made, "Phone")
    again = ana.passkeys.finish_registration(ana.first.actor, made, "Phone")
    assert await refused(again) is INVALID
    asked = await ana.passkeys.begin_sign_in(HOME, None)
    signed = device.sign(asked)
    answers = await asyncio.gather(
        *(ana.passkeys.finish_sign_in(signed) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
    assert [e.code for e in answers if isinstance(e, DomainError)] == [INVALID] * 4


async def test_a_challenge_of_one_purpose_is_none_of_another(
    ana: Member, services: AuthServices, passkeys: Passkeys
) -> None:
    device = Authenticator()
    await ana.register(device)
    to_register = await passkeys.begin_registration(ana.first.actor, is_second_factor=False)
    to_sign_in = await passkeys.begin_sign_in(HOME, None)
    crossed = device.sign(to_sign_in, challenge=to_register["challenge"])
    assert await refused(passkeys.finish_sign_in(crossed)) is INVALID
    ben = await services.accounts.sign_up(an_email(), PASSWORD)
    theirs = await passkeys.begin_registration(ben.actor, is_second_factor=False)
    stolen = passkeys.finish_registration(ana.first.actor, Authenticator().register(theirs), "x")
    assert await refused(stolen) is INVALID


async def test_a_challenge_expires(ana: Member) -> None:
    device = Authenticator()
    await ana.register(device)
    asked = await ana.passkeys.begin_sign_in(HOME, None)
    expire = "update passkey_challenges set expires_at = now() returning 1"
    await ana.services.all(expire)
    assert await refused(ana.passkeys.finish_sign_in(device.sign(asked))) is INVALID
    left = "select count(*) from passkey_challenges where expires_at <= now()"
    for _ in range(await ana.services.value(left)):
        await ana.passkeys.begin_sign_in(HOME, None)
        if not await ana.services.value(left):
            break
    assert await ana.services.value(left) == 0


async def test_a_second_factor_is_a_passkey_of_the_same_account(
    ana: Member, services: AuthServices, passkeys: Passkeys
) -> None:
    hers, his = Authenticator(), Authenticator()
    await ana.register(hers, is_second_factor=True)
    ben_first = await services.accounts.sign_up(an_email(), PASSWORD)
    assert isinstance(ben_first, SignedIn)
    await Member(services, passkeys, ana.factors, "", ben_first).register(his)
    assert await refused(ana.second_factor(his)) is INVALID
    assert await refused(passkeys.begin_sign_in(HOME, "none")) is INVALID
    # Met once, the sign-in waits for nothing more.
    needed = await ana.password()
    first = await passkeys.begin_sign_in(HOME, needed.challenge_id)
    second = await passkeys.begin_sign_in(HOME, needed.challenge_id)
    assert isinstance(await passkeys.finish_sign_in(hers.sign(first)), SignedIn)
    assert await refused(passkeys.finish_sign_in(hers.sign(second))) is INVALID


async def test_a_copy_that_counts_back_is_refused(ana: Member) -> None:
    device = Authenticator()
    await ana.register(device)
    assert isinstance(await ana.sign_in(device, sign_count=10), SignedIn)
    assert await refused(ana.sign_in(device, sign_count=10)) is INVALID
    assert await refused(ana.sign_in(device, sign_count=0)) is INVALID
    assert (await ana.services.audit(ana.first.user_id)).count("passkey_refused") == 2
    assert isinstance(await ana.sign_in(device, sign_count=11), SignedIn)
    silent = Authenticator(counts=False)
    await ana.register(silent)
    assert isinstance(await ana.sign_in(silent), SignedIn)
    assert isinstance(await ana.sign_in(silent), SignedIn)


async def test_a_locked_account_is_refused(ana: Member) -> None:
    device = Authenticator()
    await ana.register(device)
    await ana.services.all(
        "update users set status = 'locked' where id = :id returning id", id=ana.first.user_id
    )
    assert await refused(ana.sign_in(device)) is INVALID


async def test_passkeys_and_challenges_are_bounded(
    ana: Member, services: AuthServices, passkeys: Passkeys
) -> None:
    guest = await services.accounts.sign_in_anonymously()
    refusing = passkeys.begin_registration(guest.actor, is_second_factor=False)
    assert await refused(refusing) is ErrorCode.INVALID_STATE
    await services.all(
        "insert into passkeys (user_id, credential_id, public_key, user_handle, sign_count, name,"
        " is_second_factor, is_synced) select u.id, decode(md5(n || u.id::text), 'hex'), '',"
        " '', 0, 'n', false, false from users u, generate_series(1, :most) n where u.id = :id"
        " returning id",
        id=ana.first.user_id,
        most=PASSKEYS_PER_USER,
    )
    assert await refused(ana.register(Authenticator())) is ErrorCode.LIMIT_EXCEEDED
    for _ in range(CHALLENGES_PER_MINUTE):
        passkeys._begun.use("203.0.113.9")
    begun = passkeys.begin_sign_in("203.0.113.9", None)
    assert await refused(begun) is ErrorCode.RATE_LIMITED
    await passkeys.begin_sign_in(HOME, None)


@pytest.mark.parametrize(
    ("changed", "rp_id", "accepted", "refused_origins"),
    [
        ({"public_url": "https://api.example.com"}, "api.example.com", ["https://api.example.com"], ["https://example.com", "http://localhost:3000"]),
        ({"public_url": "https://api.example.com", "passkey_rp_id": "example.com", "cors_origins": ["https://app.example.com"], "passkey_origins": ["android:apk-key-hash:x"]}, "example.com", ["https://app.example.com", "android:apk-key-hash:x"], ["https://evil.example"]),
    ],
)  # fmt: skip
def test_the_relying_party_follows_the_settings(
    settings: Settings,
    changed: dict[str, Any],
    rp_id: str,
    accepted: list[str],
    refused_origins: list[str],
) -> None:
    ceremonies = Ceremonies(settings.model_copy(update={"environment": "production"} | changed))
    assert ceremonies.rp_id == rp_id
    options = {"challenge": text(bytes(32)), "rpId": rp_id}
    for origin in accepted:
        assert ceremonies.read(Authenticator(origin=origin).sign(options)).origin == origin
    for origin in refused_origins:
        with pytest.raises(DomainError):
            ceremonies.read(Authenticator(origin=origin).sign(options))
