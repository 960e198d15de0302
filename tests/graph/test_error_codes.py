"""Every code that docs/errors.md names is provoked here, and says there what the server says."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from PIL import Image

from auth.attempts import Attempts
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, Demands
from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.outages import unavailable
from db.core.pool import Database
from db.files.storage import open_storage
from db.uploads.operations import UploadRecords
from graph.engine.execution.engine import Engine
from graph.live.cursors import decode_cursor
from graph.shared.errors import RequestError, masked
from graph.shared.switches import read_only
from jobs import generations
from jobs.providers import GenerationRequest, ProviderRefused
from jobs.providers.offline import OfflineProvider
from server.services import Services
from settings import Settings
from tests import pictures
from tests.running import ROOT

from ..conftest import MakeUser
from ..db.ledger import Ledger
from ..jobs.helpers import awaiting_upload, create_generation, finish, ready_upload
from . import (
    chat_errors,
    identity_errors,
    organization_errors,
    play_errors,
    purchase_errors,
    sync_errors,
)
from .asking import Client, confirming
from .conftest import Ask

DOCS = (ROOT / "docs" / "errors.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `([A-Z_]+)` \|", DOCS, re.MULTILINE))
SENTENCES = dict(re.findall(r"^- `([A-Z_]+)`: (.+)$", DOCS, re.MULTILINE))
# An ellipsis stands for what differs from one time to the next.
EXAMPLES = re.findall(
    r'"(?:code": "([A-Z_]+)", ")?message": "([^"]+)"(?:.*"code": "([A-Z_]+)")?', DOCS
)


@dataclass
class Stage:
    """What provocations need."""

    ask: Ask
    actor: Actor
    database: Database
    settings: Settings
    owner: asyncpg.Connection
    engine: Engine
    services: Services

    async def errors(self, text: str, actor: Actor | None = None) -> list[dict[str, Any]]:
        """The errors of a document, as UserErrors or beside `data`, each as code and message."""
        answer = await self.ask(text, actor=actor or self.actor)
        top = [e | {"code": e["extensions"]["code"]} for e in answer.get("errors", ())]
        payloads = (answer.get("data") or {}).values()
        return top + [e for p in payloads if isinstance(p, dict) for e in p.get("errors", ())]

    async def generation(
        self, upload: object, tool: str = "hair-color", more: str = ""
    ) -> list[dict[str, Any]]:
        """The errors of a generation from an upload."""
        return await self.errors(
            f'mutation {{ createGeneration(input: {{toolId: "{tool}", uploadId: "upload_{upload}",'
            f' parameters: {{color: "#123456"{more}}}, idempotencyKey: "{uuid4()}"}})'
            " { errors { code message path } } }"
        )


@pytest.fixture
async def stage(
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
    engine: Engine,
    services: Services,
) -> Stage:
    """A user with 3 credits, and everything that refuses them something."""
    actor = await make_user(credits=3)
    return Stage(ask, actor, database, settings, owner, engine, services)


Provoke = Callable[[Stage], Awaitable[list[dict[str, Any]]]]


def mutation(text: str, *, actor: Actor | None = None) -> Provoke:
    """Provokes by a mutation, of the user's unless somebody else is named."""

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        return await stage.errors(
            f"mutation {{ {text} {{ errors {{ code message path }} }} }}", actor
        )

    return provoke


def query(text: str) -> Provoke:
    """Provokes by a query of the user's."""
    return lambda stage: stage.errors(text)


def refused(call: Callable[[Stage], Any]) -> Provoke:
    """Provokes by a call that raises."""

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        try:
            if (made := call(stage)) is not None:
                await made
        except (RequestError, DomainError) as error:
            return [{"code": error.code, "message": str(error)}]
        return []

    return provoke


async def email_in_use(stage: Stage) -> list[dict[str, Any]]:
    text = (
        f'mutation {{ signUp(input: {{email: "{uuid4()}@example.test", password: "correct horse"}})'
        " { errors { code message path } } }"
    )
    await stage.errors(text, NOBODY)
    return await stage.errors(text, NOBODY)


async def not_confirmed(stage: Stage) -> list[dict[str, Any]]:
    given = f'(input: {{email: "{uuid4()}@example.test", password: "correct horse"}})'
    await stage.errors(f"mutation {{ signUp{given} {{ errors {{ code }} }} }}", NOBODY)
    client = Client(stage.engine, confirming(stage.services))
    answer = await client.ask(f"mutation {{ signIn{given} {{ errors {{ code message }} }} }}")
    errors: list[dict[str, Any]] = answer["data"]["signIn"]["errors"]
    return errors


async def name_in_use(stage: Stage) -> list[dict[str, Any]]:
    text = (
        f'mutation {{ signUp(input: {{email: "%s@example.test", username: "u{uuid4().hex[:16]}",'
        ' password: "correct horse"}) { errors { code message path } } }'
    )
    await stage.errors(text % uuid4(), NOBODY)
    return await stage.errors(text % uuid4(), NOBODY)


async def confirm_nothing(stage: Stage) -> list[dict[str, Any]]:
    actor = replace(stage.actor, session_id=uuid4())
    return await stage.errors(
        'mutation { confirmTotp(input: {code: "123456"}) { errors { code message } } }', actor
    )


@refused
async def signed_in_long_ago(stage: Stage) -> None:
    demands = Demands(stage.database, stage.settings)
    await demands.meet(replace(stage.actor, authenticated_at=0), FRESH_SIGN_IN)


@refused
async def with_one_factor(stage: Stage) -> None:
    await stage.owner.execute(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at) values ($1, '', now())",
        stage.actor.user_id,
    )
    await Demands(stage.database, stage.settings).meet(stage.actor, STRONG_SIGN_IN)


async def key_conflict(stage: Stage) -> list[dict[str, Any]]:
    spend = 'mutation { spendCredits(input: {amount: %d, idempotencyKey: "k"}) { errors { code message } } }'
    await stage.errors(spend % 1)
    return await stage.errors(spend % 2)


async def daily_limit(stage: Stage) -> list[dict[str, Any]]:
    await stage.owner.execute(
        "update users set plan_id = 'free' where id = $1", stage.actor.user_id
    )
    await Ledger(stage.database, stage.owner).grant(stage.actor, 50, "PLAN", days=30)
    return await stage.errors(
        'mutation { spendCredits(input: {amount: 40, idempotencyKey: "k"}) { errors { code message } } }'
    )


async def upload_missing(stage: Stage) -> list[dict[str, Any]]:
    return await stage.generation(await awaiting_upload(stage.database, stage.actor))


async def upload_expired(stage: Stage) -> list[dict[str, Any]]:
    upload = await awaiting_upload(stage.database, stage.actor)
    await stage.owner.execute("update uploads set expires_at = now() where id = $1", upload)
    return await stage.generation(upload)


async def invalid_image(stage: Stage) -> list[dict[str, Any]]:
    upload = await awaiting_upload(stage.database, stage.actor)
    state = await UploadRecords(stage.database).find_upload(upload)
    assert state is not None
    with pytest.raises(DomainError):
        await stage.services.uploads.receive(upload, state, b"no picture")
    return await stage.generation(upload)


async def tool_inactive(stage: Stage) -> list[dict[str, Any]]:
    upload = await ready_upload(stage.database, open_storage(stage.settings), stage.actor)
    return await stage.generation(upload, "switched-off")


async def plan_required(stage: Stage) -> list[dict[str, Any]]:
    upload = await ready_upload(stage.database, open_storage(stage.settings), stage.actor)
    return await stage.generation(upload, "hairstyle", ', style: "male-short-5"')


async def quota(stage: Stage) -> list[dict[str, Any]]:
    await stage.owner.execute(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/png', 499000000, now() + interval '1 hour')",
        stage.actor.user_id,
    )
    return await stage.errors(
        'mutation { createUpload(input: {contentType: "image/png", sizeBytes: 2000000})'
        " { errors { code message } } }"
    )


async def ended(stage: Stage) -> list[dict[str, Any]]:
    upload = await ready_upload(stage.database, open_storage(stage.settings), stage.actor)
    made = await create_generation(stage.database, stage.actor, upload)
    await finish(stage.database, made)
    return await stage.errors(
        f'mutation {{ cancelGeneration(input: {{id: "generation_{made}"}}) {{ errors {{ code message }} }} }}'
    )


async def last_owner(stage: Stage) -> list[dict[str, Any]]:
    made = await stage.ask(
        """mutation { createOrganization(input: {name: "Acme", idempotencyKey: "k"}) {
          organization { id } } }""",
        actor=stage.actor,
    )
    wanted = made["data"]["createOrganization"]["organization"]["id"]
    return await stage.errors(
        f'mutation {{ leaveOrganization(input: {{organizationId: "{wanted}"}}) {{ errors {{ code message }} }} }}'
    )


def playing(name: str, code: str) -> Provoke:
    """Provokes what refuses a mutation on a play session."""

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        given = await play_errors.PROVOKED[name][code](stage)
        return await stage.errors(
            f"mutation {{ {name}(input: {given}) {{ errors {{ code message }} }} }}"
        )

    return provoke


def proving(code: str) -> Provoke:
    """Provokes what refuses the proof of a purchase."""

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        given = await purchase_errors.PROVOKED["validatePurchase"][code](stage)
        return await stage.errors(
            f"mutation {{ validatePurchase(input: {given}) {{ errors {{ code message }} }} }}"
        )

    return provoke


async def no_seat_left(stage: Stage) -> list[dict[str, Any]]:
    given = await organization_errors.invited_without_a_seat(stage)
    return await stage.errors(
        f"mutation {{ acceptInvitation(input: {given}) {{ errors {{ code message }} }} }}"
    )


async def sync_switched_off(stage: Stage) -> list[dict[str, Any]]:
    given = await sync_errors.switched_off(stage)
    try:
        return await stage.errors(
            f"mutation {{ syncProfiles(input: {given}) {{ errors {{ code message }} }} }}"
        )
    finally:
        sync_errors.switch_on(stage)


async def ai_switched_off(stage: Stage) -> list[dict[str, Any]]:
    given = await chat_errors.switched_off(chat_errors.said)(stage)
    try:
        return await stage.errors(
            f"mutation {{ sendChatMessage(input: {given}) {{ errors {{ code message }} }} }}"
        )
    finally:
        sync_errors.switch_on(stage)


async def signed_in_last_year(stage: Stage) -> list[dict[str, Any]]:
    email = f"{uuid4()}@example.test"
    signed_up = await stage.ask(
        f'mutation {{ signUp(input: {{email: "{email}", password: "correct horse"}}) {{'
        " session { refreshToken } } }"
    )
    await stage.owner.execute(
        "update sessions set authenticated_at = now() - interval '1 year'"
        " where user_id = (select id from users where email = $1)",
        email,
    )
    token = signed_up["data"]["signUp"]["session"]["refreshToken"]
    return await stage.errors(
        f'mutation {{ refreshSession(input: {{refreshToken: "{token}"}}) {{'
        " errors { code message } } }"
    )


def of_identities(name: str) -> Provoke:
    """Provokes the code that a mutation of identities alone gives."""
    code = {"linkIdentity": "IDENTITY_IN_USE", "unlinkIdentity": "LAST_IDENTITY"}[name]

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        given = await identity_errors.PROVOKED[name][code](stage)
        return await stage.errors(
            f"mutation {{ {name}(input: {given}) {{ errors {{ code message }} }} }}"
        )

    return provoke


async def redirect_not_allowed(stage: Stage) -> list[dict[str, Any]]:
    with pytest.raises(DomainError) as refusal:
        await identity_errors.browsers(stage).begin(
            "fake",
            "https://evil.example/",
            code_challenge=None,
            method=None,
            browser=None,
            network="a",
        )
    return [{"code": refusal.value.code, "message": refusal.value.message}]


async def last_admin(stage: Stage) -> list[dict[str, Any]]:
    admin = stage.actor.user_id
    await stage.owner.execute(
        "update users set role = case id when $1 then 'admin' else 'user' end"
        " where id = $1 or role = 'admin'",
        admin,
    )
    return await stage.errors(
        f'mutation {{ demoteUser(input: {{id: "user_{admin}"}}) {{ errors {{ code message }} }} }}'
    )


def watch_after(cursor: Callable[[Stage, str], str]) -> Provoke:
    """A subscription behind a cursor of another history."""

    async def provoke(stage: Stage) -> list[dict[str, Any]]:
        seen = await stage.owner.fetchval("select app.seen_of_events()")
        after = cursor(stage, stage.services.hub.snapshot_cursor(seen))
        with pytest.raises(DomainError) as error:
            async with stage.services.hub.subscribe(
                topic="credits.changed", user_id=stage.actor.user_id, after=after
            ):
                pass
        return [{"code": error.value.code, "message": error.value.message}]

    return provoke


def of_another_history(stage: Stage, cursor: str) -> str:
    here = decode_cursor(cursor)
    return type(here)(here.epoch ^ 1, here.xid, here.id).encode()


def said(error: DomainError) -> Provoke:
    """What the server says when it cannot be provoked without breaking it for other tests."""

    async def provoke(_: Stage) -> list[dict[str, Any]]:
        return [{"code": error.code, "message": error.message}]

    return provoke


async def too_many_wrong_passwords(_: Stage) -> list[dict[str, Any]]:
    attempts, refusals = Attempts(failures_per_minute=1), list[DomainError]()
    for _number in range(2):
        try:
            async with attempts.attempt("203.0.113.9", "a@b.test"):
                raise DomainError(ErrorCode.INVALID_CREDENTIALS, "")
        except DomainError as error:
            refusals.append(error)
    return [{"code": refusals[-1].code, "message": refusals[-1].message}]


async def no_person(_: Stage) -> list[dict[str, Any]]:
    wall = pictures.as_jpeg(Image.new("RGB", (60, 80), "grey"))
    request = GenerationRequest("hair-color", {"color": "#8e44ad"}, wall, "image/jpeg")
    with pytest.raises(ProviderRefused) as refusal:
        await OfflineProvider().generate(request)
    return [{"code": "PROVIDER_REFUSED", "message": refusal.value.public_message}]


DEEP = "{ viewer " * 40 + "{ id }" + " }" * 40
PROVOKED: dict[str, Provoke] = {
    "INVALID_CREDENTIALS": mutation('signIn(input: {email: "a@b.test", password: "wrong one"})', actor=NOBODY),
    "CODE_INVALID": mutation('signInWithCode(input: {email: "a@b.test", code: "000000"})', actor=NOBODY),
    "INVALID_STATE": confirm_nothing,
    "FRESH_SIGN_IN_REQUIRED": signed_in_long_ago,
    "SECOND_FACTOR_REQUIRED": with_one_factor,
    "EMAIL_IN_USE": email_in_use,
    "EMAIL_NOT_CONFIRMED": not_confirmed,
    "PASSWORD_TOO_WEAK": mutation('signUp(input: {email: "a@b.test", password: "password1"})', actor=NOBODY),
    "USERNAME_IN_USE": name_in_use,
    "REDIRECT_NOT_ALLOWED": redirect_not_allowed,
    "PROVIDER_NOT_CONFIGURED": mutation(
        'signInWithIdToken(input: {provider: "x", idToken: "x", nonce: "x"})', actor=NOBODY
    ),
    "IDENTITY_IN_USE": of_identities("linkIdentity"),
    "LAST_IDENTITY": of_identities("unlinkIdentity"),
    "SESSION_EXPIRED": signed_in_last_year,
    "UNAUTHENTICATED": mutation('spendCredits(input: {amount: 1, idempotencyKey: "k"})', actor=NOBODY),
    "FORBIDDEN": query("{ deadJobs { totalCount } }"),
    "NOT_FOUND": mutation('markNotificationRead(input: {id: "notification_0"})'),
    "BAD_USER_INPUT": mutation('spendCredits(input: {amount: 0, idempotencyKey: "k"})'),
    "LIMIT_EXCEEDED": query("{ viewer { profiles(first: 101) { totalCount } } }"),
    "QUERY_TOO_COMPLEX": refused(lambda stage: stage.ask(DEEP)),
    "PERSISTED_QUERY_NOT_FOUND": refused(
        lambda stage: stage.engine.persisted.text(
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}, None
        )
    ),
    "PERSISTED_QUERY_NOT_SUPPORTED": refused(
        lambda stage: stage.engine.persisted.text(
            {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "0" * 64}}}, None
        )
    ),
    "IDEMPOTENCY_CONFLICT": key_conflict,
    "INSUFFICIENT_CREDITS": mutation('spendCredits(input: {amount: 5, idempotencyKey: "k"})'),
    "DAILY_LIMIT_REACHED": daily_limit,
    "PAYMENT_REQUIRED": mutation('changePlan(input: {planId: "pro"})'),
    "STALE_TURN": playing("drawActivity", "STALE_TURN"),
    "CONFIRMATION_REQUIRED": playing("drawActivity", "CONFIRMATION_REQUIRED"),
    "ONBOARDING_REQUIRED": playing("startPlaySession", "ONBOARDING_REQUIRED"),
    "NO_ACTIVITY_LEFT": playing("drawActivity", "NO_ACTIVITY_LEFT"),
    "TOOL_INACTIVE": tool_inactive,
    "PLAN_REQUIRED": plan_required,
    "PLAN_LIMIT_REACHED": no_seat_left,
    "UPLOAD_MISSING": upload_missing,
    "UPLOAD_EXPIRED": upload_expired,
    "EMPTY_FILE": mutation('createUpload(input: {contentType: "image/png", sizeBytes: 0})'),
    "INVALID_IMAGE": invalid_image,
    "QUOTA_EXCEEDED": quota,
    "AI_DISABLED": ai_switched_off,
    "SYNC_DISABLED": sync_switched_off,
    "GENERATION_ENDED": ended,
    "LAST_OWNER": last_owner,
    "LAST_ADMIN": last_admin,
    "CURSOR_EXPIRED": watch_after(of_another_history),
    "PURCHASE_INVALID": proving("PURCHASE_INVALID"),
    "PURCHASE_IN_USE": proving("PURCHASE_IN_USE"),
    "PROVIDER_REFUSED": no_person,
    "PROVIDER_FAILED": said(DomainError(ErrorCode.PROVIDER_FAILED, generations._FAILED)),
    "RATE_LIMITED": too_many_wrong_passwords,
    "SERVICE_UNAVAILABLE": said(unavailable()),
    "READ_ONLY": said(read_only()),
    "INTERNAL": said(masked("…")),
}  # fmt: skip


def test_every_code_is_documented_and_every_documented_code_is_provoked() -> None:
    codes = {code.value for code in ErrorCode}
    assert codes == DOCUMENTED
    assert codes == PROVOKED.keys()
    assert SENTENCES.keys() == PROVOKED.keys()


def fits(sentence: str, pattern: str) -> bool:
    """Whether the server's sentence is the documented one."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), sentence) is not None


@pytest.mark.parametrize("code", PROVOKED)
async def test_a_code_is_sent_with_its_documented_sentence(stage: Stage, code: str) -> None:
    errors = await PROVOKED[code](stage)
    assert [error["code"] for error in errors] == [code]
    assert fits(errors[0]["message"], SENTENCES.get(code, "")), errors[0]["message"]


def test_the_examples_say_what_the_server_says() -> None:
    assert len(EXAMPLES) == 2
    for before, sentence, behind in EXAMPLES:
        start = sentence.removesuffix("…")
        numbers = re.sub(r"\d+", "…", start)
        documented = re.sub(r"\d+", "…", SENTENCES[before or behind])
        assert documented.startswith(numbers.rstrip()), sentence
