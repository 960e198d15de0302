"""API keys in the schema: made, listed, rotated and revoked by their user or organization."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import strawberry

from auth.api_keys import ApiKeys, NewSecret
from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN
from db.accounts.devices import device_name
from db.api_keys import operations, tables
from db.core.actor import Scope
from db.core.errors import ErrorCode, Problems
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    global_id,
    mutation,
    related_row,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.organizations import Organization, OrganizationRole
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node, noted_uuid, uuid_from_global_id
from settings import get_settings


@strawberry.enum(description="What an API key may be used for.")
class ApiKeyScope(Enum):
    """The scopes of keys; none reaches what is about accounts, or for admins."""

    READ = strawberry.enum_value("READ", description="Queries and subscriptions, as its user.")
    WRITE = strawberry.enum_value(
        "WRITE",
        description="Mutations on profiles, uploads, generations, credits and notifications; of an "
        "organization's key, on its workflows, calls and campaigns. Not those on accounts, "
        "sessions, API keys and members, nor those for admins.",
    )


@backed_by(tables.ApiKey, prefix="apiKey")
class ApiKey(Node):
    """A secret with which a server or a bot acts, as a user or in an organization."""

    id: strawberry.ID = global_id()
    name: str = column(description="What its owner calls it.")
    prefix: str = column(
        description="The 8 characters behind `tgk_` in its secret, to tell keys apart by."
    )
    scopes: list[ApiKeyScope] = column(description="What it may be used for.")
    created_at: datetime = column(description="When it was made.")
    expires_at: datetime | None = column(description="Until when it works; null: without an end.")
    last_used_at: datetime | None = column(
        description="When it was used last, to a minute; null when it never was."
    )
    rotated_at: datetime | None = column(description="When it got its secret; null for its first.")
    previous_prefix: str | None = column(
        description="The prefix of the secret before the last rotation; null when there is none "
        "that still works, or worked until a short while ago."
    )
    previous_expires_at: datetime | None = column(description="Until when that secret works.")
    revoked_at: datetime | None = column(description="When it was ended; null while it works.")

    role: OrganizationRole | None = column(
        description="What it is in its organization; null for a user's."
    )
    organization: Organization | None = related_row(
        "organization_id", description="Whose it is and where alone it acts; null for a user's."
    )

    @computed("requests_per_minute", description="How many requests it may make in a minute.")
    def requests_per_minute(self: Any) -> int:
        """The operator's word on this key, else the setting."""
        return int(self.requests_per_minute or get_settings().api_key_requests_per_minute)


extend(
    User,
    api_keys=connection(
        ApiKey,
        NEWEST_FIRST,
        only=lambda key: key.c.revoked_at.is_(None),
        description="The user's API keys that were not revoked, newest first.",
    ),
)
extend(
    Organization,
    api_keys=connection(
        ApiKey,
        NEWEST_FIRST,
        key="organization_id",
        only=lambda key: key.c.revoked_at.is_(None),
        description="Its API keys that were not revoked, newest first. Empty for who is neither "
        "owner nor admin.",
    ),
)


@strawberry.input(description="A new API key.")
class CreateApiKeyInput:
    name: str = strawberry.field(description="1 to 100 characters, such as the server's name.")
    scopes: list[ApiKeyScope] = strawberry.field(description="What it may be used for.")
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="Until when it works; without an end when left out. Null is as good as "
        "leaving it out.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: the same API key and secret again. 1 to 255 characters, "
        "kept 30 days. Null is as good as leaving it out.",
    )


@strawberry.input(description="A new API key of an organization.")
class CreateOrganizationApiKeyInput(CreateApiKeyInput):
    organization_id: strawberry.ID = strawberry.field(description="The organization's global id.")
    role: OrganizationRole = strawberry.field(
        default=OrganizationRole.MEMBER,
        description="What it may do there: ADMIN, MEMBER or VIEWER. Owners give any of these, "
        "admins those below their own.",
    )


@strawberry.input(description="Which API key gets another secret.")
class RotateApiKeyInput:
    id: strawberry.ID = strawberry.field(description="The key's global id.")
    overlap_hours: int = strawberry.field(
        default=24,
        description="How long the secret before goes on working, 0 to 168. The one before that "
        "ends at once.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="Until when the key works; as before when left out. Null is as good as leaving "
        "it out.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: rotated once, and the same secret again. 1 to 255 "
        "characters, kept 30 days. Null is as good as leaving it out.",
    )


@strawberry.input(description="Which API key to end.")
class RevokeApiKeyInput:
    id: strawberry.ID = strawberry.field(description="The key's global id.")


@strawberry.type(
    description="Result of `createApiKey`, `createOrganizationApiKey` and `rotateApiKey`."
)
class ApiKeySecretPayload(MutationPayload):
    secret: str | None = strawberry.field(
        description="Send it as `Authorization: Bearer …`. It is shown this once; null on errors."
    )
    api_key: ApiKey | None = strawberry.field(description="The key as it is now; null on errors.")


@strawberry.type(description="Result of `revokeApiKey`.")
class ApiKeyPayload(MutationPayload):
    api_key: ApiKey | None = strawberry.field(description="The key as it is now; null on errors.")


async def create_api_key(context: Context, input: CreateApiKeyInput) -> Outcome:
    """Makes an API key of the caller's."""
    secret = _new_secret(context, "create", input.idempotency_key)
    command = operations.create(
        name=input.name,
        scopes=[Scope(scope.name) for scope in input.scopes],
        expires_at=input.expires_at,
        idempotency_key=input.idempotency_key,
        prefix=secret.prefix,
        secret_hash=secret.hash,
        device=device_name(context.user_agent),
    )
    return Outcome(command, {"api_key": RESULT}, {"secret": secret.text})


async def create_organization_api_key(
    context: Context, input: CreateOrganizationApiKeyInput
) -> Outcome:
    """Makes an API key of an organization."""
    problems = Problems()
    secret = _new_secret(context, "create-for-organization", input.idempotency_key)
    path = ("input", "organizationId")
    command = operations.create_for_organization(
        problems,
        noted_uuid(problems, input.organization_id, "organization", *path),
        role=input.role.name,
        name=input.name,
        scopes=[Scope(scope.name) for scope in input.scopes],
        expires_at=input.expires_at,
        idempotency_key=input.idempotency_key,
        prefix=secret.prefix,
        secret_hash=secret.hash,
    )
    return Outcome(command, {"api_key": RESULT}, {"secret": secret.text})


def _new_secret(context: Context, purpose: str, idempotency_key: str | None) -> NewSecret:
    api_keys = context.services.of(ApiKeys.of)
    return api_keys.new_secret(context.signed_in().user_id, purpose, idempotency_key)


async def rotate_api_key(context: Context, input: RotateApiKeyInput) -> Outcome:
    """Gives an API key of the caller's another secret."""
    problems, secret = Problems(), _new_secret(context, "rotate", input.idempotency_key)
    command = operations.rotate(
        problems,
        noted_uuid(problems, input.id, "apiKey", "input", "id"),
        overlap=timedelta(hours=input.overlap_hours),
        expires_at=input.expires_at,
        idempotency_key=input.idempotency_key,
        prefix=secret.prefix,
        secret_hash=secret.hash,
    )
    return Outcome(command, {"api_key": RESULT}, {"secret": secret.text})


async def revoke_api_key(context: Context, input: RevokeApiKeyInput) -> Outcome:
    """Ends an API key of the caller's, here at once and on every node within seconds."""
    context.signed_in()
    key_id = uuid_from_global_id(input.id, "apiKey", "input", "id")
    command = operations.revoke(key_id)

    async def follow() -> None:
        context.services.of(ApiKeys.of).forget(key_id)

    command.after = follow
    return Outcome(command, {"api_key": RESULT})


@strawberry.type
class ApiKeysMutation:
    """Mutations on API keys."""

    create_api_key: ApiKeySecretPayload | None = mutation(
        create_api_key,
        CreateApiKeyInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.LIMIT_EXCEEDED, ErrorCode.IDEMPOTENCY_CONFLICT),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Make an API key that acts as the caller within its scopes. Not for guests. At "
        "most 50 work at a time. Its secret is shown in this answer only.",
    )
    create_organization_api_key: ApiKeySecretPayload | None = mutation(
        create_organization_api_key,
        CreateOrganizationApiKeyInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Make an API key that acts in an organization and nowhere else, in its role "
        "and within its scopes. It stays when who made it leaves, takes no seat, and ends with the "
        "organization. For owners and admins. At most 50 work at a time. Its secret is shown in "
        "this answer only.",
    )
    rotate_api_key: ApiKeySecretPayload | None = mutation(
        rotate_api_key,
        RotateApiKeyInput,
        errors=(ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        description="Give an API key another secret, one's own or one of the organization. The one "
        "before works for some hours more, so that servers can change over.",
    )
    revoke_api_key: ApiKeyPayload | None = mutation(
        revoke_api_key,
        RevokeApiKeyInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="End an API key, one's own or one of the organization, with all its secrets, "
        "on every node and in open subscriptions "
        "within 5 seconds. Ending it again changes nothing.",
    )
