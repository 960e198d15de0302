"""Each error that a mutation declares is provoked, and none comes back that it does not declare."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_required_input_field,
)

from auth.demands import errors_of
from auth.invitations import invitation_tokens
from auth.one_time_codes import OneTimeCodes
from auth.refresh_tokens import new_refresh_token, token_hash
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage
from db.uploads.operations import UploadRecords
from graph.engine.execution.engine import Engine
from graph.engine.payload_errors import document_errors
from graph.engine.specs import Mutate, spec_of
from graph.schema import build_schema as build_product_schema
from graph.shared.switches import SwitchWatch
from server.services import Services
from settings import Settings

from ..authenticator import Authenticator
from ..conftest import MakeUser
from ..db.ledger import Ledger
from ..jobs.helpers import awaiting_upload, create_generation, finish, ready_upload
from . import (
    billing_errors,
    campaign_errors,
    chat_errors,
    developer_errors,
    discord_errors,
    identity_errors,
    organization_errors,
    play_errors,
    purchase_errors,
    referral_errors,
    store_errors,
    subscribing,
    survey_errors,
    sync_errors,
    workflow_errors,
)
from .asking import Client, a_network, an_address, confirming, mails_to
from .conftest import Ask

SCHEMA = build_product_schema()._schema
PRO_STYLE = 'toolId: "hairstyle", parameters: {style: "male-short-5"}'
HAIR = 'toolId: "hair-color", parameters: {color: "#123456"}'
MESSAGE = (
    'type: OFFER, titleKey: "notifications.welcome.title",'
    ' messageKey: "notifications.welcome.message"'
)
LONG = "x" * 256
NEW_PASSWORD = 'newPassword: "another horse"'


@dataclass
class Stage:
    """An admin with 10 credits, and everything that refuses them something."""

    ask: Ask
    actor: Actor
    database: Database
    settings: Settings
    owner: asyncpg.Connection
    services: Services
    engine: Engine

    async def codes(self, mutation: str, given: str) -> list[str]:
        """The codes of a mutation's errors, each of which leads to a field that there is."""
        call = f"{mutation}(input: {given})" if given else mutation
        document = f"mutation {{ {call} {{ errors {{ code path }} }} }}"
        answer = await self.ask(document, actor=self.actor)
        assert "errors" not in answer, answer
        errors = answer["data"][mutation]["errors"]
        assert [error["path"] for error in errors if not is_of_input(mutation, error["path"])] == []
        return [error["code"] for error in errors]

    async def uses(self, slice_name: str, rows: int, stored_bytes: int) -> None:
        """Has the user fill a quota."""
        await self.owner.execute(
            "insert into quota_use (user_id, slice, rows_used, bytes_used) values ($1, $2, $3, $4)"
            " on conflict (user_id, slice) do update set rows_used = $3, bytes_used = $4,"
            " rows_allowed = 0, bytes_allowed = 0",
            self.actor.user_id, slice_name, rows, stored_bytes,
        )  # fmt: skip

    async def photo(self) -> UUID:
        """A photo of the user's."""
        return await ready_upload(self.database, open_storage(self.settings), self.actor)

    async def generation(self) -> tuple[UUID, UUID]:
        """A photo, and a generation from it that has not ended."""
        photo = await self.photo()
        return photo, await create_generation(self.database, self.actor, photo)


@pytest.fixture
async def stage(
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
    services: Services,
    engine: Engine,
) -> AsyncIterator[Stage]:
    """Everything that provocations need."""
    actor = await make_user(credits=10)
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    # Wrong passwords and codes of one minute are counted by network: each test has one of its own.
    from_elsewhere = partial(ask, address=a_network())
    yield Stage(from_elsewhere, actor, database, settings, owner, services, engine)
    await services.of(SwitchWatch.of).look()
    await owner.execute(
        "update broadcasts set status = 'CANCELLED' where status in ('QUEUED', 'RUNNING')"
    )
    await owner.execute("update play_rules set written_activities = 0")
    # What a provocation set by hand would be a fault to whoever proves the ledger.
    await owner.execute(
        "update wallets set balance = (select sum(amount) from credit_transactions t"
        " where t.user_id = wallets.user_id) where user_id = $1",
        actor.user_id,
    )


# Makes the input that is refused.
Provocation = str | Callable[[Stage], Awaitable[str]]


def repeated(mutation: str, given: str, other: str) -> Provocation:
    """An input that is refused because the same mutation was sent with another one."""

    async def provoke(stage: Stage) -> str:
        assert await stage.codes(mutation, given) == []
        return other

    return provoke


def filled(slice_name: str, given: str) -> Provocation:
    """An input that is refused because the user has stored so much."""

    async def provoke(stage: Stage) -> str:
        await stage.uses(slice_name, 10**9, 0)
        return given

    return provoke


def of_photo(make: Callable[[Stage], Awaitable[UUID]], asked: str = HAIR) -> Provocation:
    """A generation from a photo."""

    async def provoke(stage: Stage) -> str:
        upload = await make(stage)
        return f'{{{asked}, uploadId: "upload_{upload}", idempotencyKey: "k"}}'

    return provoke


def of_conversation(make: Callable[[Stage], Awaitable[UUID]]) -> Provocation:
    """A coaching session about a profile, with a picture."""

    async def provoke(stage: Stage) -> str:
        profile, upload = await chat_errors.profile(stage), await make(stage)
        return f'{{profileId: "{profile}", uploadIds: ["upload_{upload}"]}}'

    return provoke


async def full_of_coaching(stage: Stage) -> str:
    profile = await chat_errors.profile(stage)
    await stage.uses("coaching_sessions", 10**9, 0)
    return f'{{profileId: "{profile}"}}'


async def coached_and_full(stage: Stage) -> str:
    """A session that is to have more, of somebody who stores as much as they may."""
    profile = await chat_errors.profile(stage)
    session = await stage.owner.fetchval(
        "insert into coaching_sessions (user_id, profile_id) values ($1, $2) returning id",
        stage.actor.user_id,
        UUID(profile.removeprefix("profile_")),
    )
    await stage.uses("coaching_sessions", 1, 10**12)
    return f'{{id: "coachingSession_{session}", actualResponse: "Hello"}}'


async def many_broadcasts(stage: Stage) -> str:
    """Those that wait here send nothing: their language is nobody's."""
    await stage.owner.execute(
        "insert into broadcasts (type, title_key, message_key, locales)"
        " select 'OFFER', 't', 'm', '{qaa-none0}' from generate_series(1, 20)"
    )
    return f'{{{MESSAGE}, idempotencyKey: "k"}}'


async def ended_broadcast(stage: Stage) -> str:
    made = await stage.owner.fetchval(
        "insert into broadcasts (type, title_key, message_key) values ('OFFER', 't', 'm')"
        " returning id"
    )
    await stage.owner.execute("update broadcasts set status = 'FAILED' where id = $1", made)
    return f'{{id: "broadcast_{made}"}}'


async def awaited(stage: Stage) -> UUID:
    return await awaiting_upload(stage.database, stage.actor)


async def expired(stage: Stage) -> UUID:
    upload = await awaited(stage)
    await stage.owner.execute("update uploads set expires_at = now() where id = $1", upload)
    return upload


def rejected(data: bytes) -> Callable[[Stage], Awaitable[UUID]]:
    """A photo whose bytes were refused."""

    async def make(stage: Stage) -> UUID:
        upload = await awaited(stage)
        state = await UploadRecords(stage.database).find_upload(upload)
        assert state is not None
        with pytest.raises(DomainError):
            await stage.services.uploads.receive(upload, state, data)
        return upload

    return make


async def too_large(stage: Stage) -> UUID:
    upload = await awaited(stage)
    records = UploadRecords(stage.database)
    await records.mark_rejected(upload, ErrorCode.LIMIT_EXCEEDED, "too large")
    return upload


async def without_credits(stage: Stage) -> UUID:
    assert await stage.codes("spendCredits", '{amount: 10, idempotencyKey: "all"}') == []
    return await stage.photo()


async def capped(stage: Stage) -> None:
    """Has the user no credits but those that the plan gave, all of them used for today."""
    await stage.owner.execute(
        "update users set plan_id = 'free' where id = $1", stage.actor.user_id
    )
    await stage.codes("spendCredits", '{amount: 10, idempotencyKey: "all"}')
    await Ledger(stage.database, stage.owner).grant(stage.actor, 50, "PLAN", days=30)
    daily = await stage.owner.fetchval("select max_daily_credits from plans where id = 'free'")
    assert await stage.codes("spendCredits", f'{{amount: {daily}, idempotencyKey: "day"}}') == []


async def capped_photo(stage: Stage) -> UUID:
    await capped(stage)
    return await stage.photo()


async def capped_spend(stage: Stage) -> str:
    await capped(stage)
    return '{amount: 1, idempotencyKey: "k"}'


async def full_of_generations(stage: Stage) -> UUID:
    photo = await stage.photo()
    await stage.uses("generations", 10**9, 0)
    return photo


async def used_key(stage: Stage) -> str:
    photo = await stage.photo()
    given = f'{{{HAIR}, uploadId: "upload_{photo}", idempotencyKey: "k"}}'
    assert await stage.codes("createGeneration", given) == []
    return given.replace("#123456", "#654321")


async def inactive(stage: Stage) -> str:
    return (
        f'{{toolId: "switched-off", uploadId: "upload_{await stage.photo()}", idempotencyKey: "k"}}'
    )


async def ended(stage: Stage) -> str:
    _, made = await stage.generation()
    await finish(stage.database, made)
    return f'{{id: "generation_{made}"}}'


async def cancelled_key(stage: Stage) -> str:
    _, one = await stage.generation()
    _, other = await stage.generation()
    cancel = '{{id: "generation_{}", idempotencyKey: "k"}}'
    assert await stage.codes("cancelGeneration", cancel.format(one)) == []
    return cancel.format(other)


async def under_way(stage: Stage) -> str:
    return f'{{id: "generation_{(await stage.generation())[1]}"}}'


async def photo_in_use(stage: Stage) -> str:
    return f'{{id: "upload_{(await stage.generation())[0]}"}}'


async def known_email(stage: Stage) -> str:
    given = f'{{email: "{uuid4()}@example.test", password: "correct horse"}}'
    assert await stage.codes("signUp", given) == []
    return given


async def unconfirmed(stage: Stage) -> str:
    given = f'{{email: "{an_address()}", password: "correct horse"}}'
    assert await stage.codes("signUp", given) == []
    client = Client(stage.engine, confirming(stage.services))
    stage.ask = lambda text, actor: client.ask(text)
    return given


async def confirmed_too_late(stage: Stage) -> str:
    email, client = an_address(), Client(stage.engine, confirming(stage.services))
    await client("signUp", email=email, password="correct horse")
    (mail,) = await mails_to(stage.owner, client.services, email)
    assert await stage.codes("signUp", f'{{email: "{email}", password: "correct horse"}}') == []
    return f'{{email: "{email}", code: "{mail.digits}"}}'


async def undone_too_late(stage: Stage) -> str:
    """Somebody has another account with the address, which they have proven to be theirs."""
    code_id = await stage.owner.fetchval(
        "with other as (insert into users (email, email_key, email_confirmed_at)"
        " values ($2, $2, now()) returning id)"
        " insert into one_time_codes (purpose, user_id, email, email_key, network_hash, expires_at)"
        " select 'UNDO_EMAIL_CHANGE', $1, $2, $2, '', now() + interval '1 day' from other returning id",
        stage.actor.user_id, an_address(),
    )  # fmt: skip
    return f'{{code: "{OneTimeCodes(stage.services.settings).link_token(code_id)}"}}'


async def changed_too_late(stage: Stage) -> str:
    email = an_address()
    assert await stage.codes("requestEmailChange", f'{{newEmail: "{email}"}}') == []
    (mail,) = await mails_to(stage.owner, stage.services, email)
    assert await stage.codes("signUp", f'{{email: "{email}", password: "correct horse"}}') == []
    return f'{{code: "{mail.digits}"}}'


def of_name_in_use(template: str) -> Provocation:
    """An input with a username of somebody else's (`%n`)."""

    async def provoke(stage: Stage) -> str:
        name = f"u{uuid4().hex[:16]}"
        given = f'{{email: "{an_address()}", password: "correct horse", username: "{name}"}}'
        assert await stage.codes("signUp", given) == []
        return template.replace("%n", name.upper())

    return provoke


def in_a_session(given: str) -> Provocation:
    """An input that is refused in a session."""

    async def provoke(stage: Stage) -> str:
        session = await stage.owner.fetchval(
            "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 day')"
            " returning id",
            stage.actor.user_id,
        )
        stage.actor = replace(stage.actor, session_id=session)
        return given

    return provoke


async def as_guest(stage: Stage) -> str:
    await stage.owner.execute(
        "update users set is_anonymous = true where id = $1", stage.actor.user_id
    )
    provoke = in_a_session("")
    assert callable(provoke)
    return await provoke(stage)


async def has_many_passkeys(stage: Stage) -> str:
    await stage.owner.execute(
        "insert into passkeys (user_id, credential_id, public_key, user_handle, sign_count, name,"
        " is_second_factor, is_synced) select $1::uuid, decode(md5(n || $1::text), 'hex'), '', '', 0, 'n',"
        " false, false from generate_series(1, 20) n",
        stage.actor.user_id,
    )
    provoke = in_a_session("")
    assert callable(provoke)
    return await provoke(stage)


async def one_passkey_too_many(stage: Stage) -> str:
    provoke = in_a_session("")
    assert callable(provoke)
    await provoke(stage)
    begin = "mutation { beginPasskeyRegistration { options } }"
    answer = await stage.ask(begin, actor=stage.actor)
    made = Authenticator().register(answer["data"]["beginPasskeyRegistration"]["options"])
    await has_many_passkeys(stage)
    return f"{{credential: {as_literal(made)}}}"


def as_literal(value: object) -> str:
    """A value of JSON as GraphQL writes it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {as_literal(one)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_literal, value))}]"
    return json.dumps(value)


async def with_app_to_confirm(stage: Stage) -> str:
    provoke = in_a_session('{code: "12345"}')
    assert callable(provoke)
    given = await provoke(stage)
    assert await stage.codes("beginTotp", "") == []
    return given


async def full_profile(stage: Stage) -> str:
    create = "mutation { createProfile(input: {analysis: {}}) { profile { id } } }"
    answer = await stage.ask(create, actor=stage.actor)
    await stage.uses("profiles", 1, 10**12)
    profile = answer["data"]["createProfile"]["profile"]["id"]
    return f'{{id: "{profile}", name: "longer than before"}}'


def to_oneself(template: str) -> Provocation:
    """An input that names the user; `%s` is their id."""

    async def provoke(stage: Stage) -> str:
        return template.replace("%s", f"user_{stage.actor.user_id}")

    return provoke


def to_oneself_again(mutation: str, template: str, other: str) -> Provocation:
    """The same, refused because the same mutation was sent with another input."""

    async def provoke(stage: Stage) -> str:
        user = f"user_{stage.actor.user_id}"
        assert await stage.codes(mutation, template.replace("%s", user)) == []
        return other.replace("%s", user)

    return provoke


async def full_wallet(stage: Stage) -> str:
    await stage.owner.execute(
        "update wallets set balance = 1000000000 where user_id = $1", stage.actor.user_id
    )
    return f'{{userId: "user_{stage.actor.user_id}", amount: 1, reason: "r", idempotencyKey: "k"}}'


async def organization(stage: Stage) -> str:
    """The global id of an organization that the user owns."""
    create = """mutation { createOrganization(input: {name: "Acme", idempotencyKey: "acme"}) {
      organization { id } } }"""
    answer = await stage.ask(create, actor=stage.actor)
    return str(answer["data"]["createOrganization"]["organization"]["id"])


def paid_ahead(given: str) -> Provocation:
    """An input of somebody who has paid for another plan after the current period."""

    async def provoke(stage: Stage) -> str:
        for plan in ("enterprise", "pro"):
            await stage.owner.execute(
                "select app.start_plan($1, $2, null, gen_random_uuid()::text)",
                stage.actor.user_id,
                plan,
            )
        return given

    return provoke


def of_organization(template: str) -> Provocation:
    """An input that names an organization of the user's (`%o`), and the user (`%s`)."""

    async def provoke(stage: Stage) -> str:
        named = template.replace("%o", await organization(stage))
        return named.replace("%s", f"user_{stage.actor.user_id}")

    return provoke


async def asked_many(stage: Stage) -> str:
    await stage.owner.execute(
        "insert into partner_requests (requester_id, email, email_key, expires_at)"
        " select $1, n::text, n::text, now() + interval '5 minutes' from generate_series(1, 20) n",
        stage.actor.user_id,
    )
    return f'{{email: "{uuid4()}@more.test"}}'


def of_partner(status: str, *, asked: bool = False) -> Provocation:
    """An input that names a partner of the user's, who may have asked as often as one may."""

    async def provoke(stage: Stage) -> str:
        if asked:
            await asked_many(stage)
        other = await stage.services.accounts.sign_up(f"{uuid4()}@example.test", "correct horse")
        partner = await stage.owner.fetchval(
            "insert into partners (user_id, partner_id) values ($1, $2) returning id",
            stage.actor.user_id,
            other.user_id,
        )
        await stage.owner.execute(
            "update partners set status = $2 where id = $1 and status <> $2", partner, status
        )
        return f'{{partnerId: "partner_{partner}"}}'

    return provoke


async def owns_many(stage: Stage) -> str:
    await stage.owner.execute(
        "with made as (insert into organizations (name) select n::text from generate_series(1, 20) n"
        " returning id) insert into organization_members (organization_id, user_id, role)"
        " select id, $1, 'OWNER' from made",
        stage.actor.user_id,
    )
    return '{name: "one more", idempotencyKey: "k"}'


def owned_by_many(template: str) -> Provocation:
    """An input that makes a member (`%m`) an owner, who owns as many organizations as one may."""

    async def provoke(stage: Stage) -> str:
        wanted = await organization(stage)
        member = await stage.owner.fetchval(
            "with member as (insert into users (email) values ($2) returning id), made as ("
            " insert into organizations (name) select n::text from generate_series(1, 20) n"
            " returning id) insert into organization_members (organization_id, user_id, role)"
            " select $1::uuid, id, 'MEMBER' from member union all"
            " select made.id, member.id, 'OWNER' from made, member returning user_id",
            UUID(wanted.partition("_")[2]), f"{uuid4()}@example.test",
        )  # fmt: skip
        return template.replace("%o", wanted).replace("%m", f"user_{member}")

    return provoke


async def invited_many(stage: Stage) -> str:
    wanted = await organization(stage)
    await stage.owner.execute(
        "insert into organization_invitations (organization_id, email, email_key, role, expires_at)"
        " select $1, n::text, n::text, 'VIEWER', now() + interval '1 day'"
        " from generate_series(1, 200) n",
        UUID(wanted.partition("_")[2]),
    )
    return f'{{organizationId: "{wanted}", email: "one@more.test"}}'


async def invited_to_many(stage: Stage) -> str:
    wanted = UUID((await organization(stage)).partition("_")[2])
    await stage.owner.execute(
        "with made as (insert into users (email) select n || '@' || $1::uuid || '.test'"
        " from generate_series(1, 1000) n returning id)"
        " insert into organization_members (organization_id, user_id, role)"
        " select $1::uuid, id, 'VIEWER' from made",
        wanted,
    )
    invited = await stage.owner.fetchval(
        "insert into organization_invitations"
        " (organization_id, email, email_key, role, expires_at, invited_by)"
        " select $1, email, email_key, 'VIEWER', now() + interval '1 day', id"
        " from users where id = $2"
        " returning id",
        wanted, stage.actor.user_id,
    )  # fmt: skip
    return f'{{token: "{invitation_tokens().token(invited)}"}}'


async def last_owner(stage: Stage) -> str:
    wanted = UUID((await organization(stage)).partition("_")[2])
    await stage.owner.execute(
        "with member as (insert into users (email) values ($2) returning id)"
        " insert into organization_members (organization_id, user_id, role)"
        " select $1::uuid, id, 'MEMBER' from member",
        wanted, f"{uuid4()}@example.test",
    )  # fmt: skip
    password_hash = await stage.services.passwords.hash("correct horse")
    await stage.owner.execute(
        "insert into credentials (user_id, password_hash) values ($1, $2)",
        stage.actor.user_id, password_hash,
    )  # fmt: skip
    return '{password: "correct horse"}'


async def with_second_factor(stage: Stage) -> str:
    await stage.owner.execute(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at) values ($1, '', now())",
        stage.actor.user_id,
    )
    return "{}"


async def stale(stage: Stage) -> str:
    stage.actor = replace(stage.actor, authenticated_at=0)
    return "{}"


async def guest(stage: Stage) -> str:
    made = await stage.owner.fetchval(
        "insert into users (is_anonymous) values (true) returning id::text"
    )
    return f'{{id: "user_{made}"}}'


async def own_address(stage: Stage) -> str:
    email = await stage.owner.fetchval("select email from users where id = $1", stage.actor.user_id)
    return f'{{email: "{email}"}}'


async def merged(stage: Stage) -> str:
    made = await stage.owner.fetchval(
        "insert into users (is_anonymous) values (true) returning id::text"
    )
    await stage.owner.execute("update users set status = 'merged' where id::text = $1", made)
    return f'{{id: "user_{made}"}}'


async def owner_of_others(stage: Stage) -> str:
    made = await stage.owner.fetchval(
        "with people as (insert into users (is_anonymous) values (true), (true) returning id),"
        " made as (insert into organizations (name) values ('Acme') returning id),"
        " ranked as (select id, row_number() over () as place from people)"
        " insert into organization_members (organization_id, user_id, role)"
        " select made.id, ranked.id, case place when 1 then 'OWNER' else 'MEMBER' end"
        " from made, ranked order by place returning user_id::text"
    )
    return f'{{id: "user_{made}"}}'


async def signed_in_last_year(stage: Stage) -> str:
    token = new_refresh_token()
    await stage.owner.execute(
        "with session as (insert into sessions (user_id, expires_at, authenticated_at)"
        " values ($1, now() + interval '1 day', now() - interval '1 year') returning id)"
        " insert into refresh_tokens (token_hash, session_id, expires_at)"
        " select $2, id, now() + interval '1 day' from session",
        stage.actor.user_id,
        token_hash(token),
    )
    return f'{{refreshToken: "{token}"}}'


async def last_admin(stage: Stage) -> str:
    await stage.owner.execute(
        "update users set role = 'user' where role = 'admin' and id <> $1", stage.actor.user_id
    )
    return f'{{id: "user_{stage.actor.user_id}"}}'


async def only_admin(stage: Stage) -> str:
    await last_admin(stage)
    await stage.owner.execute("update users set role = 'admin' where id = $1", stage.actor.user_id)
    return "{}"


async def has_many_keys(stage: Stage) -> str:
    await stage.owner.execute(
        "insert into api_keys (user_id, name, prefix, secret_hash, scopes)"
        " select $1::uuid, n::text, $1::uuid::text || n,"
        " sha256(convert_to($1::uuid::text || n, 'UTF8')), '{READ}'"
        " from generate_series(1, 50) n",
        stage.actor.user_id,
    )
    return '{name: "one more", scopes: [READ]}'


async def members_token(stage: Stage) -> str:
    other = await stage.services.accounts.sign_up(f"{uuid4()}@example.test", "correct horse")
    return f'{{anonymousRefreshToken: "{other.refresh_token}"}}'


async def guest_beyond_the_wallet(stage: Stage) -> str:
    await full_wallet(stage)
    guest = await stage.services.accounts.sign_in_anonymously()
    return f'{{anonymousRefreshToken: "{guest.refresh_token}"}}'


async def rotated(stage: Stage) -> str:
    create = 'mutation { createApiKey(input: {name: "A bot", scopes: [READ]}) { apiKey { id } } }'
    answer = await stage.ask(create, actor=stage.actor)
    key = answer["data"]["createApiKey"]["apiKey"]["id"]
    assert await stage.codes("rotateApiKey", f'{{id: "{key}", idempotencyKey: "k"}}') == []
    return f'{{id: "{key}", idempotencyKey: "k", overlapHours: 1}}'


NO_ORGANIZATION = f"organization_{UUID(int=1)}"
NO_REQUEST = f'{{requestId: "partnerRequest_{UUID(int=1)}"}}'
NO_PARTNER = f'{{partnerId: "partner_{UUID(int=1)}"}}'
NOBODY = f"user_{UUID(int=1)}"
PROVOKED: dict[str, dict[str, Provocation]] = {
    "signUp": {
        "BAD_USER_INPUT": '{email: "none", password: "short"}',
        "PASSWORD_TOO_WEAK": '{email: "a@b.test", password: "Password1"}',
        "USERNAME_IN_USE": of_name_in_use(
            '{email: "name@in.test", password: "correct horse", username: "%n"}'
        ),
        "EMAIL_IN_USE": known_email,
    },
    "signIn": {
        "INVALID_CREDENTIALS": '{email: "a@b.test", password: "wrong one"}',
        "EMAIL_NOT_CONFIRMED": unconfirmed,
    },
    "confirmEmail": {
        "CODE_INVALID": '{email: "a@b.test", code: "000000"}',
        "EMAIL_IN_USE": confirmed_too_late,
    },
    "resendConfirmation": {"BAD_USER_INPUT": '{email: "none"}'},
    "requestPasswordReset": {"BAD_USER_INPUT": '{email: "none"}'},
    "resetPassword": {
        "CODE_INVALID": f'{{email: "a@b.test", code: "000000", {NEW_PASSWORD}}}',
        "BAD_USER_INPUT": '{email: "a@b.test", code: "000000", newPassword: "short"}',
        "PASSWORD_TOO_WEAK": '{email: "a@b.test", code: "000000", newPassword: "qwertyuiop"}',
    },
    "requestSignInCode": {"BAD_USER_INPUT": '{email: "none"}'},
    "signInWithCode": {"CODE_INVALID": '{email: "a@b.test", code: "000000"}'},
    "changePassword": {
        "INVALID_CREDENTIALS": f'{{currentPassword: "wrong one", {NEW_PASSWORD}}}',
        "BAD_USER_INPUT": '{currentPassword: "wrong one", newPassword: "short"}',
        "PASSWORD_TOO_WEAK": '{currentPassword: "wrong one", newPassword: "zzzzzzzz"}',
    },
    "requestEmailChange": {"BAD_USER_INPUT": '{newEmail: "none"}'},
    "confirmEmailChange": {
        "CODE_INVALID": '{code: "000000"}',
        "EMAIL_IN_USE": changed_too_late,
    },
    "undoEmailChange": {
        "CODE_INVALID": '{code: "000000"}',
        "EMAIL_IN_USE": undone_too_late,
    },
    "undoAddedFactor": {"CODE_INVALID": '{code: "000000"}'},
    "updateUser": {
        "BAD_USER_INPUT": '{username: "x"}',
        "USERNAME_IN_USE": of_name_in_use('{username: "%n"}'),
    },
    "signInAnonymously": {"BAD_USER_INPUT": '{deviceId: ""}'},
    "refreshSession": {
        "UNAUTHENTICATED": '{refreshToken: "dead"}',
        "SESSION_EXPIRED": signed_in_last_year,
    },
    "signOut": {},
    "reauthenticate": {
        "BAD_USER_INPUT": '{password: "both", code: "123456"}',
        "INVALID_CREDENTIALS": in_a_session('{password: "wrong one"}'),
        "CODE_INVALID": in_a_session('{code: "123456"}'),
    },
    "beginTotp": {"INVALID_STATE": as_guest},
    "confirmTotp": {
        "CODE_INVALID": with_app_to_confirm,
        "INVALID_STATE": in_a_session('{code: "123456"}'),
    },
    "removeTotp": {"CODE_INVALID": in_a_session('{code: "123456"}')},
    "regenerateRecoveryCodes": {"INVALID_STATE": in_a_session("")},
    "verifySecondFactor": {"CODE_INVALID": '{challengeId: "none", code: "123456"}'},
    "deleteAccount": {
        "BAD_USER_INPUT": '{password: "correct horse", code: "123456"}',
        "CODE_INVALID": '{code: "123456"}',
        "INVALID_CREDENTIALS": '{password: "wrong one"}',
        "LAST_OWNER": last_owner,
        "LAST_ADMIN": only_admin,
        "FRESH_SIGN_IN_REQUIRED": stale,
        "SECOND_FACTOR_REQUIRED": with_second_factor,
    },
    "exportMyData": {},
    "beginPasskeyRegistration": {"INVALID_STATE": as_guest, "LIMIT_EXCEEDED": has_many_passkeys},
    "finishPasskeyRegistration": {
        "BAD_USER_INPUT": in_a_session('{credential: {}, name: ""}'),
        "CODE_INVALID": in_a_session("{credential: {}}"),
        "LIMIT_EXCEEDED": one_passkey_too_many,
    },
    "beginPasskeySignIn": {"CODE_INVALID": '{challengeId: "none"}'},
    "finishPasskeySignIn": {"CODE_INVALID": "{credential: {}}"},
    "renamePasskey": {
        "BAD_USER_INPUT": f'{{id: "passkey_{UUID(int=1)}", name: ""}}',
        "NOT_FOUND": f'{{id: "passkey_{UUID(int=1)}", name: "Phone"}}',
    },
    "removePasskey": {"NOT_FOUND": in_a_session(f'{{id: "passkey_{UUID(int=1)}"}}')},
    "createApiKey": {
        "BAD_USER_INPUT": '{name: "", scopes: [READ]}',
        "LIMIT_EXCEEDED": has_many_keys,
        "IDEMPOTENCY_CONFLICT": repeated(
            "createApiKey",
            '{name: "A bot", scopes: [READ], idempotencyKey: "k"}',
            '{name: "A bot", scopes: [WRITE], idempotencyKey: "k"}',
        ),
    },
    "createOrganizationApiKey": {
        "BAD_USER_INPUT": f'{{organizationId: "{NO_ORGANIZATION}", name: "", scopes: [READ]}}',
        "NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}", name: "A bot", scopes: [READ]}}',
        "INVALID_STATE": organization_errors.key_of_what_goes,
        "LIMIT_EXCEEDED": organization_errors.has_many_keys,
        "IDEMPOTENCY_CONFLICT": organization_errors.made_another_key,
    },
    "rotateApiKey": {
        "BAD_USER_INPUT": f'{{id: "apiKey_{UUID(int=1)}", overlapHours: -1}}',
        "NOT_FOUND": f'{{id: "apiKey_{UUID(int=1)}"}}',
        "IDEMPOTENCY_CONFLICT": rotated,
    },
    "revokeApiKey": {"NOT_FOUND": f'{{id: "apiKey_{UUID(int=1)}"}}'},
    "registerPushToken": {"BAD_USER_INPUT": in_a_session('{platform: IOS, token: "with a blank"}')},
    "removePushToken": {"NOT_FOUND": '{token: "nobody-has-it"}'},
    "revokeSession": {"NOT_FOUND": f'{{id: "session_{UUID(int=1)}"}}'},
    "signOutEverywhere": {},
    "mergeAnonymousAccount": {
        "UNAUTHENTICATED": '{anonymousRefreshToken: "dead"}',
        "BAD_USER_INPUT": members_token,
        "LIMIT_EXCEEDED": guest_beyond_the_wallet,
    },
    "createProfile": {
        "BAD_USER_INPUT": "{analysis: []}",
        "INVALID_IMAGE": '{analysis: {}, thumbnail: "aGk="}',
        "QUOTA_EXCEEDED": filled("profiles", "{analysis: {}}"),
    },
    "updateProfile": {
        "BAD_USER_INPUT": f'{{id: "profile_{UUID(int=1)}", analysis: []}}',
        "INVALID_IMAGE": f'{{id: "profile_{UUID(int=1)}", thumbnail: "aGk="}}',
        "NOT_FOUND": f'{{id: "profile_{UUID(int=1)}"}}',
        "QUOTA_EXCEEDED": full_profile,
    },
    "createCoachingSession": {
        "BAD_USER_INPUT": f'{{profileId: "profile_{UUID(int=1)}", responseScore: 11}}',
        "NOT_FOUND": f'{{profileId: "profile_{UUID(int=1)}"}}',
        "UPLOAD_MISSING": of_conversation(awaited),
        "UPLOAD_EXPIRED": of_conversation(expired),
        "EMPTY_FILE": of_conversation(rejected(b"")),
        "INVALID_IMAGE": of_conversation(rejected(b"no picture")),
        "LIMIT_EXCEEDED": of_conversation(too_large),
        "QUOTA_EXCEEDED": full_of_coaching,
    },
    "updateCoachingSession": {
        "BAD_USER_INPUT": f'{{id: "coachingSession_{UUID(int=1)}", responseScore: 0}}',
        "NOT_FOUND": f'{{id: "coachingSession_{UUID(int=1)}"}}',
        "QUOTA_EXCEEDED": coached_and_full,
    },
    "deleteCoachingSession": {"NOT_FOUND": f'{{id: "coachingSession_{UUID(int=1)}"}}'},
    "deleteProfile": {"NOT_FOUND": f'{{id: "profile_{UUID(int=1)}"}}'},
    "markNotificationRead": {"NOT_FOUND": f'{{id: "notification_{UUID(int=1)}"}}'},
    "markAllNotificationsRead": {},
    "deleteNotification": {"NOT_FOUND": f'{{id: "notification_{UUID(int=1)}"}}'},
    "sendNotification": {
        "BAD_USER_INPUT": to_oneself(f'{{userId: "%s", {MESSAGE}, idempotencyKey: ""}}'),
        "NOT_FOUND": f'{{userId: "{NOBODY}", {MESSAGE}, idempotencyKey: "k"}}',
        "IDEMPOTENCY_CONFLICT": to_oneself_again(
            "sendNotification",
            f'{{userId: "%s", {MESSAGE}, idempotencyKey: "k"}}',
            f'{{userId: "%s", {MESSAGE}, idempotencyKey: "k", data: {{a: 1}}}}',
        ),
    },
    "broadcastNotification": {
        "BAD_USER_INPUT": f'{{{MESSAGE}, segment: {{planIds: []}}, idempotencyKey: "k"}}',
        "NOT_FOUND": f'{{{MESSAGE}, segment: {{planIds: ["none"]}}, idempotencyKey: "k"}}',
        "LIMIT_EXCEEDED": many_broadcasts,
        "IDEMPOTENCY_CONFLICT": repeated(
            "broadcastNotification",
            f'{{{MESSAGE}, segment: {{locales: ["qaa-none1"]}}, idempotencyKey: "k"}}',
            f'{{{MESSAGE}, segment: {{locales: ["qaa-none2"]}}, idempotencyKey: "k"}}',
        ),
    },
    "cancelBroadcast": {
        "NOT_FOUND": f'{{id: "broadcast_{UUID(int=1)}"}}',
        "INVALID_STATE": ended_broadcast,
    },
    "createUpload": {
        "BAD_USER_INPUT": '{contentType: "text/html", sizeBytes: 1}',
        "EMPTY_FILE": '{contentType: "image/png", sizeBytes: 0}',
        "LIMIT_EXCEEDED": '{contentType: "image/png", sizeBytes: 99999999}',
        "QUOTA_EXCEEDED": filled("uploads", '{contentType: "image/png", sizeBytes: 1}'),
    },
    "deleteUpload": {
        "NOT_FOUND": f'{{id: "upload_{UUID(int=1)}"}}',
        "BAD_USER_INPUT": photo_in_use,
    },
    "createGeneration": {
        "BAD_USER_INPUT": f'{{{HAIR}, uploadId: "upload_{UUID(int=1)}", idempotencyKey: ""}}',
        "NOT_FOUND": f'{{{HAIR}, uploadId: "upload_{UUID(int=1)}", idempotencyKey: "k"}}',
        "AI_DISABLED": chat_errors.switched_off(
            lambda upload, key: f'{{{HAIR}, uploadId: "{upload}", idempotencyKey: "{key}"}}'
        ),
        "TOOL_INACTIVE": inactive,
        "PLAN_REQUIRED": of_photo(Stage.photo, PRO_STYLE),
        "UPLOAD_MISSING": of_photo(awaited),
        "UPLOAD_EXPIRED": of_photo(expired),
        "EMPTY_FILE": of_photo(rejected(b"")),
        "INVALID_IMAGE": of_photo(rejected(b"no picture")),
        "LIMIT_EXCEEDED": of_photo(too_large),
        "QUOTA_EXCEEDED": of_photo(full_of_generations),
        "INSUFFICIENT_CREDITS": of_photo(without_credits),
        "DAILY_LIMIT_REACHED": of_photo(capped_photo),
        "IDEMPOTENCY_CONFLICT": used_key,
    },
    "cancelGeneration": {
        "BAD_USER_INPUT": f'{{id: "generation_{UUID(int=1)}", idempotencyKey: "{LONG}"}}',
        "NOT_FOUND": f'{{id: "generation_{UUID(int=1)}"}}',
        "GENERATION_ENDED": ended,
        "IDEMPOTENCY_CONFLICT": cancelled_key,
    },
    "deleteGeneration": {
        "NOT_FOUND": f'{{id: "generation_{UUID(int=1)}"}}',
        "BAD_USER_INPUT": under_way,
    },
    "spendCredits": {
        "BAD_USER_INPUT": '{amount: 0, idempotencyKey: "k"}',
        "INSUFFICIENT_CREDITS": '{amount: 11, idempotencyKey: "k"}',
        "DAILY_LIMIT_REACHED": capped_spend,
        "IDEMPOTENCY_CONFLICT": repeated(
            "spendCredits",
            '{amount: 1, idempotencyKey: "k"}',
            '{amount: 2, idempotencyKey: "k"}',
        ),
    },
    "grantCredits": {
        "BAD_USER_INPUT": to_oneself('{userId: "%s", amount: 0, reason: "r", idempotencyKey: "k"}'),
        "NOT_FOUND": f'{{userId: "{NOBODY}", amount: 1, reason: "r", idempotencyKey: "k"}}',
        "LIMIT_EXCEEDED": full_wallet,
        "IDEMPOTENCY_CONFLICT": to_oneself_again(
            "grantCredits",
            '{userId: "%s", amount: 1, reason: "r", idempotencyKey: "k"}',
            '{userId: "%s", amount: 2, reason: "r", idempotencyKey: "k"}',
        ),
    },
    "changePlan": {
        "BAD_USER_INPUT": '{planId: "enterprise"}',
        "NOT_FOUND": '{planId: "gold"}',
        "PAYMENT_REQUIRED": '{planId: "pro"}',
        "INVALID_STATE": paid_ahead('{planId: "enterprise"}'),
    },
    "cancelPlan": {"INVALID_STATE": paid_ahead("")},
    "givePlan": {
        "BAD_USER_INPUT": to_oneself(
            '{userId: "%s", planId: "pro", reason: "", idempotencyKey: "k"}'
        ),
        "NOT_FOUND": f'{{userId: "{NOBODY}", planId: "pro", reason: "r", idempotencyKey: "k"}}',
        "IDEMPOTENCY_CONFLICT": to_oneself_again(
            "givePlan",
            '{userId: "%s", planId: "pro", reason: "r", idempotencyKey: "k"}',
            '{userId: "%s", planId: "free", reason: "r", idempotencyKey: "k"}',
        ),
    },
    "promoteUser": {"NOT_FOUND": f'{{id: "{NOBODY}"}}', "BAD_USER_INPUT": guest},
    "demoteUser": {"NOT_FOUND": f'{{id: "{NOBODY}"}}', "LAST_ADMIN": last_admin},
    "lockUser": {
        "NOT_FOUND": f'{{id: "{NOBODY}"}}',
        "LAST_ADMIN": last_admin,
        "INVALID_STATE": merged,
    },
    "deleteUser": {
        "NOT_FOUND": f'{{id: "{NOBODY}"}}',
        "LAST_ADMIN": last_admin,
        "LAST_OWNER": owner_of_others,
        "INVALID_STATE": merged,
    },
    "unlockUser": {"NOT_FOUND": f'{{id: "{NOBODY}"}}', "INVALID_STATE": merged},
    "createUser": {
        "BAD_USER_INPUT": '{email: "nobody", password: "short"}',
        "PASSWORD_TOO_WEAK": '{email: "ada@declared.test", password: "password1"}',
        "EMAIL_IN_USE": own_address,
    },
    "setUserPassword": {
        "BAD_USER_INPUT": to_oneself('{id: "%s", password: "short"}'),
        "PASSWORD_TOO_WEAK": to_oneself('{id: "%s", password: "password1"}'),
        "NOT_FOUND": f'{{id: "{NOBODY}", password: "another horse"}}',
        "INVALID_STATE": to_oneself('{id: "%s", password: "another horse"}'),
    },
    "sendPasswordReset": {"NOT_FOUND": f'{{id: "{NOBODY}"}}', "INVALID_STATE": guest},
    "confirmUserEmail": {"NOT_FOUND": f'{{id: "{NOBODY}"}}', "INVALID_STATE": guest},
    "signOutUser": {"NOT_FOUND": f'{{id: "{NOBODY}"}}'},
    "retryJob": {"NOT_FOUND": f'{{id: "deadJob_{UUID(int=1)}"}}'},
    "createOrganization": {
        "BAD_USER_INPUT": '{name: " ", idempotencyKey: "k"}',
        "LIMIT_EXCEEDED": owns_many,
        "IDEMPOTENCY_CONFLICT": repeated(
            "createOrganization",
            '{name: "one", idempotencyKey: "k"}',
            '{name: "other", idempotencyKey: "k"}',
        ),
    },
    "renameOrganization": {
        "BAD_USER_INPUT": f'{{organizationId: "{NO_ORGANIZATION}", name: "{LONG}"}}',
        "NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}", name: "new"}}',
    },
    "inviteMember": {
        "BAD_USER_INPUT": f'{{organizationId: "{NO_ORGANIZATION}", email: "none"}}',
        "NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}", email: "a@b.test"}}',
        "INVALID_STATE": organization_errors.invites_to_what_goes,
        "LIMIT_EXCEEDED": invited_many,
    },
    "revokeInvitation": {"NOT_FOUND": f'{{id: "organizationInvitation_{UUID(int=1)}"}}'},
    "acceptInvitation": {
        "NOT_FOUND": '{token: "none"}',
        "INVALID_STATE": organization_errors.invited_to_what_goes,
        "LIMIT_EXCEEDED": invited_to_many,
        "PLAN_LIMIT_REACHED": organization_errors.invited_without_a_seat,
    },
    "deleteOrganization": {"NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}"}}'},
    "keepOrganization": {"NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}"}}'},
    "setMemberRole": {
        "NOT_FOUND": of_organization(f'{{organizationId: "%o", userId: "{NOBODY}", role: ADMIN}}'),
        "LAST_OWNER": of_organization('{organizationId: "%o", userId: "%s", role: ADMIN}'),
        "LIMIT_EXCEEDED": owned_by_many('{organizationId: "%o", userId: "%m", role: OWNER}'),
    },
    "removeMember": {
        "NOT_FOUND": to_oneself(f'{{organizationId: "{NO_ORGANIZATION}", userId: "%s"}}'),
        "LAST_OWNER": of_organization('{organizationId: "%o", userId: "%s"}'),
    },
    "transferOwnership": {
        "NOT_FOUND": of_organization(f'{{organizationId: "%o", userId: "{NOBODY}"}}'),
        "LIMIT_EXCEEDED": owned_by_many('{organizationId: "%o", userId: "%m"}'),
    },
    "leaveOrganization": {
        "NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}"}}',
        "LAST_OWNER": of_organization('{organizationId: "%o"}'),
    },
    "requestPartner": {"BAD_USER_INPUT": '{email: "none"}', "LIMIT_EXCEEDED": asked_many},
    "acceptPartner": {"NOT_FOUND": NO_REQUEST},
    "declinePartner": {"NOT_FOUND": NO_REQUEST},
    "cancelPartnerRequest": {"NOT_FOUND": NO_REQUEST},
    "disconnectPartner": {"NOT_FOUND": NO_PARTNER},
    "removePartner": {"NOT_FOUND": NO_PARTNER},
    "blockPartner": {"NOT_FOUND": NO_PARTNER},
    "unblockPartner": {"NOT_FOUND": f'{{blockId: "partnerBlock_{UUID(int=1)}"}}'},
    "reconnectPartner": {
        "BAD_USER_INPUT": of_partner("CONNECTED"),
        "NOT_FOUND": NO_PARTNER,
        "LIMIT_EXCEEDED": of_partner("DISCONNECTED", asked=True),
    },
    "setSharing": {"NOT_FOUND": NO_PARTNER.replace("}", ", level: ALL}")},
    "selectOrganization": {"NOT_FOUND": f'{{organizationId: "{NO_ORGANIZATION}"}}'},
    "saveTool": {"BAD_USER_INPUT": '{id: "Not a slug"}'},
    "saveHairstyle": {"BAD_USER_INPUT": '{id: "new-style"}'},
    "saveHairColor": {"BAD_USER_INPUT": '{hexCode: "red"}'},
    "saveSkinColor": {"BAD_USER_INPUT": '{hexCode: "#123456", name: ""}'},
    "savePlan": {"BAD_USER_INPUT": '{id: "pro", name: "Free"}'},
    "saveProduct": {"BAD_USER_INPUT": '{id: "new-pack", name: "x"}'},
    "saveProductPrice": {
        "BAD_USER_INPUT": '{productId: "credits-50", provider: "none"}',
        "NOT_FOUND": '{productId: "none", provider: "sandbox"}',
    },
    "removeProduct": {},
    "removeProductPrice": {},
    "removeTool": {},
    "removeHairstyle": {},
    "removeHairColor": {},
    "removeSkinColor": {},
    "removePlan": {"INVALID_STATE": '{id: "free"}'},
    "setSwitch": {"BAD_USER_INPUT": '{name: AI_ENABLED, value: true, reason: ""}'},
    "setTranslation": {"BAD_USER_INPUT": '{locale: "de", key: "k", text: "t"}'},
    "setToolActive": {"NOT_FOUND": '{toolId: "no-such-tool", isActive: true}'},
    **developer_errors.PROVOKED,
    **discord_errors.PROVOKED,
    **identity_errors.PROVOKED,
    **billing_errors.PROVOKED,
    **purchase_errors.PROVOKED,
    **survey_errors.PROVOKED,
    **sync_errors.PROVOKED,
    **subscribing.PROVOKED,
    **store_errors.PROVOKED,
    **workflow_errors.PROVOKED,
    **campaign_errors.PROVOKED,
    **play_errors.PROVOKED,
    **referral_errors.PROVOKED,
    **chat_errors.PROVOKED,
}


def mutations() -> dict[str, tuple[GraphQLField, Mutate]]:
    """Every mutation with its declaration."""
    root = SCHEMA.mutation_type
    assert root is not None
    found = {}
    for name, field in root.fields.items():
        spec = spec_of(field)
        assert isinstance(spec, Mutate)
        found[name] = field, spec
    return found


def declared() -> dict[str, list[str]]:
    """The codes that each mutation declares."""
    return {name: [code.value for code in spec.errors] for name, (_, spec) in mutations().items()}


def demanded() -> list[tuple[str, str]]:
    """The mutations that demand something of the sign-in, each with the code that says so."""
    return [
        (name, code.value)
        for name, (_, spec) in mutations().items()
        for code in errors_of(spec.demands)
    ]


def is_of_input(mutation: str, path: list[str] | None) -> bool:
    """Whether a path leads to a field that the mutation's input has."""
    if not path or path[0] != "input" or len(path) == 1:
        return True
    argument = mutations()[mutation][0].args.get("input")
    return argument is not None and path[1] in get_named_type(argument.type).fields


def test_every_declared_code_has_a_provocation_and_no_other() -> None:
    provoked = [(name, code) for name, codes in PROVOKED.items() for code in codes]
    wanted = [(name, code) for name, codes in declared().items() for code in codes]
    assert sorted(wanted) == sorted(provoked + demanded())


async def with_authenticator(stage: Stage) -> Actor:
    """The user with a second factor, signed in with the first alone."""
    await stage.owner.execute(
        "insert into totp_factors (user_id, sealed_secret, confirmed_at) values ($1, '', now())",
        stage.actor.user_id,
    )
    return stage.actor


async def long_signed_in(stage: Stage) -> Actor:
    """The user, long after having signed in."""
    return replace(stage.actor, authenticated_at=0)


DEMANDED = {
    "FRESH_SIGN_IN_REQUIRED": long_signed_in,
    "SECOND_FACTOR_REQUIRED": with_authenticator,
}


def least_input(kind: GraphQLInputType) -> str:
    """The shortest value of an input type."""
    named = get_named_type(kind)
    if is_list_type(get_nullable_type(kind)):
        return "[]"
    if isinstance(named, GraphQLInputObjectType):
        fields = named.fields.items()
        return f"{{{', '.join(f'{n}: {least_input(f.type)}' for n, f in fields if is_required_input_field(f))}}}"
    if isinstance(named, GraphQLEnumType):
        return next(iter(named.values))
    values = {"Int": "1", "Boolean": "true", "JSON": "{}", "DateTime": '"2030-01-01T00:00:00Z"'}
    return values.get(named.name, '"x"')


@pytest.mark.parametrize(("mutation", "code"), demanded())
async def test_a_sign_in_is_demanded_before_anything_is_done(
    stage: Stage, mutation: str, code: str
) -> None:
    stage.actor = await DEMANDED[code](stage)
    field, _ = mutations()[mutation]
    given = least_input(field.args["input"].type) if "input" in field.args else ""
    assert await stage.codes(mutation, given) == [code]


@pytest.mark.parametrize(
    ("mutation", "code"), [(name, code) for name, codes in PROVOKED.items() for code in codes]
)
async def test_a_declared_code_comes_back_and_no_other(
    stage: Stage, mutation: str, code: str
) -> None:
    provocation = PROVOKED[mutation][code]
    given = provocation if isinstance(provocation, str) else await provocation(stage)
    codes = await stage.codes(mutation, given)
    assert code in codes
    assert set(codes) <= set(declared()[mutation])


def test_a_payload_says_which_errors_it_may_have() -> None:
    for name, codes in declared().items():
        payload = get_named_type(mutations()[name][0].type)
        assert isinstance(payload, GraphQLObjectType)
        said = payload.fields["errors"].description or ""
        own = re.search(rf"`{name}`: (.*?)\.", said) or re.search(r": (.*)\.$", said)
        assert (own[1].split(", ") if own else []) == codes, said
        assert own or said == "Always empty."


def test_a_schema_without_mutations_has_nothing_to_say() -> None:
    document_errors(build_schema("type Query { a: Int }"))
