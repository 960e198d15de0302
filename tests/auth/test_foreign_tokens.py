"""A foreign issuer's tokens act as its imported users, as little else as can be, and for a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from auth.foreign_tokens import ForeignTokens
from db.core.actor import Actor
from db.core.commands import call
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from settings import Settings

from ..conftest import MakeUser
from .services import AuthServices

ISSUER = "https://project.example.test/auth/v1"
SECRET = "a secret of the project, and long enough for any of the hashes that there are"
EC_KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


def public_jwk(key: Any, algorithm: str, kid: str, **more: str) -> dict[str, Any]:
    of_kind = jwt.get_algorithm_by_name(algorithm)
    made: dict[str, Any] = json.loads(of_kind.to_jwk(key.public_key()))  # type: ignore[attr-defined]
    return {**made, "kid": kid, "alg": algorithm, "use": "sig", **more}


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    """The issuer's keys, over HTTP."""
    keys = [public_jwk(EC_KEY, "ES256", "ec"), public_jwk(RSA_KEY, "RS256", "rsa")]
    # What does not sign its tokens: a secret, a key for encrypting, one for another algorithm.
    keys += [{"kty": "oct", "k": "AAAA", "kid": "oct", "alg": "HS256"}]
    keys += [public_jwk(OTHER_KEY, "ES256", "enc", use="enc")]
    keys += [public_jwk(RSA_KEY, "RS256", "ps", alg="PS256"), {"kty": "EC", "kid": "broken"}]

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Keys)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def foreign_settings(settings: Settings, jwks_url: str) -> Settings:
    named = {
        "foreign_issuer": ISSUER,
        "foreign_issuer_jwks_url": jwks_url,
        "foreign_issuer_secret": SECRET,
        "foreign_issuer_until": TOMORROW.isoformat(),
    }
    return Settings(data_directory=settings.data_directory, **named)  # type: ignore[arg-type]


@pytest.fixture
async def foreign(services: AuthServices, foreign_settings: Settings) -> ForeignTokens:
    made = ForeignTokens(foreign_settings, services.tokens, services.database)
    await made.fetch_keys()
    return made


@pytest.fixture
async def ada(make_user: MakeUser, owner: asyncpg.Connection) -> UUID:
    """An imported user."""
    user = await make_user(credits=0)
    assert user.user_id is not None
    await owner.execute(
        "insert into imported_users (user_id, source, metadata) values ($1, 'supabase', '{}')",
        user.user_id,
    )
    return user.user_id


def claims(user_id: UUID, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": str(user_id),
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
        "session_id": str(uuid4()),
        "aal": "aal2",
        "user_metadata": {"name": "x" * 3000},
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


def token(said: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(said, key, algorithm, headers=headers)


async def admitted(foreign: ForeignTokens, sent: str) -> Actor:
    return await foreign.admit(sent, address="203.0.113.9", user_agent="Safari")


async def refused(foreign: ForeignTokens, sent: str) -> None:
    with pytest.raises(DomainError) as error:
        await admitted(foreign, sent)
    assert error.value.code is ErrorCode.UNAUTHENTICATED
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("key", "algorithm", "headers"),
    [(SECRET, "HS256", {}), (EC_KEY, "ES256", {"kid": "ec"}), (RSA_KEY, "RS256", {"kid": "rsa"})],
)
async def test_a_token_acts_as_its_imported_user(
    foreign: ForeignTokens,
    services: AuthServices,
    owner: asyncpg.Connection,
    ada: UUID,
    key: Any,
    algorithm: str,
    headers: dict[str, str],
) -> None:
    sent = token(claims(ada), key, algorithm, **headers)
    assert foreign.may_be(sent)
    actor = await admitted(foreign, sent)
    assert (actor.user_id, actor.is_foreign, actor.is_admin) == (ada, True, False)
    assert (actor.assurance_level, actor.authenticated_at) == (1, 0)
    assert actor.expires_at <= time.time() + 900
    # From now on it is remembered like our own, and its user sees the session.
    assert services.tokens.verify(sent) is actor
    session = await owner.fetchrow("select * from sessions where user_id = $1", ada)
    assert (session["id"], session["address"]) == (actor.session_id, "203.0.113.0/24")
    assert await services.audit(ada) == ["sign_in"]
    network = "select network from audit_log where user_id = $1"
    assert await owner.fetchval(network, ada) == "203.0.113.0/24"
    await admitted(foreign, sent)
    assert await services.audit(ada) == ["sign_in"]


def forged(user_id: UUID) -> Iterator[tuple[str, str]]:
    """Tokens that are to be refused, and what is wrong with each."""
    good = claims(user_id)
    for name in ("iss", "aud", "sub", "exp", "role"):
        yield f"no {name}", token(claims(user_id, **{name: None}))
    for wrong in (
        {"iss": ISSUER + "/"}, {"iss": "x"}, {"aud": "anon"}, {"aud": ["authenticated"]},
        {"role": "service_role"}, {"role": "anon"}, {"role": ["authenticated"]},
        {"sub": "service"}, {"sub": 7}, {"exp": good["iat"] - 1}, {"exp": str(good["exp"])},
        {"exp": float(good["exp"])}, {"iat": good["iat"] + 3600},
    ):  # fmt: skip
        yield str(wrong), token(claims(user_id, **wrong))
    yield "another secret", token(good, SECRET + "!")
    yield "another hash", token(good, SECRET, "HS512")
    yield "another key", token(good, OTHER_KEY, "ES256", kid="ec")
    yield "another key's id", token(good, EC_KEY, "ES256", kid="rsa")
    yield "no key's id", token(good, EC_KEY, "ES256")
    yield "a key for encrypting", token(good, OTHER_KEY, "ES256", kid="enc")
    yield "a key of another algorithm", token(good, RSA_KEY, "PS256", kid="ps")
    yield "its own algorithm", token(good, RSA_KEY, "RS512", kid="rsa")
    yield "unsigned", token(good, None, "none")
    yield "a secret from the key set", token(good, b"\0" * 32, "HS256", kid="oct")
    public = public_jwk(EC_KEY, "ES256", "ec")["x"]
    yield "a public key as secret", token(good, public, "HS256", kid="ec")
    for header in ({"typ": "at+jwt"}, {"jku": "https://a.test"}, {"crit": ["exp"]}, {"x5u": "a"}):
        yield str(header), token(good, SECRET, "HS256", **header)
    yield "too long", token(claims(user_id, more="x" * 10_000))


async def test_every_forged_token_is_refused(foreign: ForeignTokens, ada: UUID) -> None:
    tried = list(forged(ada))
    assert len(tried) >= 30
    for what, sent in tried:
        try:
            await refused(foreign, sent)
        except BaseException as error:
            raise AssertionError(what) from error
    cut = token(claims(ada))
    for broken in (cut[:-2], cut + ".", "", "a.b.c", cut.replace(".", "..", 1)):
        await refused(foreign, broken)


async def test_only_imported_users_who_may_sign_in(
    foreign: ForeignTokens, services: AuthServices, owner: asyncpg.Connection, make_user: MakeUser, ada: UUID
) -> None:  # fmt: skip
    own = await make_user(credits=0)
    assert own.user_id is not None
    await refused(foreign, token(claims(own.user_id)))
    await refused(foreign, token(claims(uuid4())))
    sent = token(claims(ada))
    actor = await admitted(foreign, sent)
    # Ended here, it stays ended, however often it comes back.
    assert actor.session_id is not None
    await owner.execute("select app.end_sessions($1, 'test')", ada)
    services.tokens.revoke_session(actor.session_id)
    with pytest.raises(DomainError):
        services.tokens.verify(sent)
    await refused(foreign, sent)
    await owner.execute("update users set status = 'locked' where id = $1", ada)
    await refused(foreign, token(claims(ada)))
    assert await owner.fetchval("select count(*) from sessions where user_id = $1", ada) == 1


async def test_nobody_is_an_admin_by_a_foreign_token(
    foreign: ForeignTokens, database: Database, owner: asyncpg.Connection, ada: UUID
) -> None:
    from db.accounts.operations import REQUIRED_ADMIN_ID

    await owner.execute("update users set role = 'admin' where id = $1", ada)
    actor = await admitted(foreign, token(claims(ada)))
    async with database.transaction(actor) as transaction:
        own = await transaction.connection.fetchval("select id from users where id = $1", ada)
        others = await transaction.connection.fetchval("select count(*) from users")
    assert (own, others) == (ada, 1)
    with pytest.raises(asyncpg.PostgresError) as error:
        async with database.transaction(actor) as transaction:
            await call(transaction, REQUIRED_ADMIN_ID())
    assert error.value.hint == "FORBIDDEN"


async def test_after_the_last_day_none_is_good(
    services: AuthServices, foreign_settings: Settings, ada: UUID
) -> None:
    clock = time.time()
    foreign = ForeignTokens(
        foreign_settings, services.tokens, services.database, clock=lambda: clock
    )
    sent = token(claims(ada, exp=int(clock) + 10 * 86_400))
    assert foreign.read(sent).expires_at <= clock + 2 * 86_400
    assert foreign.may_be(sent)
    clock += 2 * 86_400
    assert not foreign.may_be(sent)
    await refused(foreign, sent)


async def test_a_server_without_an_issuer_takes_none(services: AuthServices, settings: Settings, ada: UUID) -> None:  # fmt: skip
    none = ForeignTokens(settings, services.tokens, services.database)
    sent = token(claims(ada))
    assert not none.may_be(sent)
    await refused(none, sent)


@pytest.mark.parametrize(
    ("named", "lacking"),
    [
        ({"foreign_issuer_secret": SECRET}, "FOREIGN_ISSUER_UNTIL"),
        ({"foreign_issuer_until": "2027-01-01"}, "FOREIGN_ISSUER_JWKS_URL"),
        ({"foreign_issuer_until": "2027-01-01", "foreign_issuer_secret": "short"}, "fewer than 32"),
        ({"foreign_issuer": "tallygraph"}, "must differ"),
    ],
)
def test_a_half_named_issuer_is_refused_at_start(named: dict[str, str], lacking: str) -> None:
    with pytest.raises(ValidationError, match=lacking):
        Settings(**{"foreign_issuer": ISSUER, **named})  # type: ignore[arg-type]
