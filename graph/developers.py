"""Developers in the schema: their tier, their keys, what they obfuscated and asked for."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Text,
    case,
    func,
    literal_column,
)

from auth.demands import FRESH_SIGN_IN
from auth.developer_keys import DeveloperKeys
from db.accounts import tables as account_tables
from db.core.errors import ErrorCode
from db.developers import operations, tables
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    embedded,
    expression,
    global_id,
    mutation,
    reference,
    rows,
    state_enum,
    viewer_row,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Connection, Node, slug_from_global_id, uuid_from_global_id

state_enum(tables.ObfuscationSource)


@strawberry.enum(description="How often an allowance begins anew.")
class AllowancePeriod(Enum):
    """Periods of allowances."""

    DAY = strawberry.enum_value("DAY", description="At 00:00 UTC.")
    WEEK = strawberry.enum_value("WEEK", description="On Sunday at 00:00 UTC.")


@backed_by(tables.DeveloperTier, prefix="developerTier")
class DeveloperTier(Node):
    """What a plan allows developers; a limit of -1 is none."""

    id: strawberry.ID = global_id("Global id; its slug is the plan's.")
    plan_id: strawberry.ID = reference(
        "id", "plan", description="The plan's global id, for `createSubscription`."
    )
    requests_per_minute: int = column(description="How many requests a key makes in a minute.")
    whitelist_entries: int = column(description="How many people on the whitelist of a product.")
    obfuscations: int = column(description="How many obfuscations of a period cost no credit.")
    obfuscation_period: AllowancePeriod = column(description="That period.")
    sort_order: int = column(description="Its rank, ascending.")


@backed_by(tables.DeveloperKey, prefix="developerKey")
class DeveloperKey(Node):
    """A secret with which a developer's programs speak to the API under /v1/."""

    id: strawberry.ID = global_id()
    name: str = column(description="What its developer calls it.")
    preview: str = column(description="The 10 characters that it begins with.")
    created_at: datetime = column(description="When it was made.")
    last_used_at: datetime | None = column(
        description="When it was used last, to a minute; null when it never was."
    )
    revoked_at: datetime | None = column(description="When it was ended; null while it works.")


@backed_by(tables.ObfuscationUse, prefix="obfuscationUse")
class ObfuscationUse(Node):
    """Code that was obfuscated once."""

    id: strawberry.ID = global_id()
    source: tables.ObfuscationSource = column(description="What paid for it.")
    created_at: datetime = column(description="When it was.")


@backed_by(tables.ApiRequest, prefix="apiRequest")
class ApiRequest(Node):
    """A request that a developer's key made."""

    id: strawberry.ID = global_id()
    request_id: str = column(description="As the answer named it.")
    method: str = column(description="The HTTP method.")
    endpoint: str = column(description="The route, without what was asked for.")
    status_code: int = column(description="The HTTP status of the answer.")
    created_at: datetime = column(description="When it was made.")


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


def _limit(kind: str, description: str) -> int:
    field: int = expression(
        lambda row: operations.TIER_LIMIT.of(row.c.plan_id, _text(kind), type_=Integer()),
        description=description,
    )
    return field


def _used(row: FromClause, kind: str) -> ColumnElement[int]:
    used: ColumnElement[int] = operations.USAGE.of(
        row.c.id, _text(kind), row.c.plan_id, type_=Integer()
    )
    return used


def _usage(kind: str, description: str) -> int:
    field: int = expression(lambda row: _used(row, kind), description=description)
    return field


def _allowance_left(row: FromClause) -> ColumnElement[int]:
    allowed = operations.TIER_LIMIT.of(row.c.plan_id, _text("OBFUSCATIONS"), type_=Integer())
    left = func.greatest(allowed - _used(row, "ALLOWANCE"), literal_column("0", Integer()))
    return case((allowed == literal_column("-1"), literal_column("-1", Integer())), else_=left)


@backed_by(account_tables.User)
class DeveloperLimits:
    """What a developer's tier allows; -1 for any number."""

    requests_per_minute: int = _limit("REQUESTS", "Requests of a key in a minute.")
    whitelist_entries: int = _limit("WHITELIST", "People on the whitelist of each product.")
    obfuscations: int = _limit("OBFUSCATIONS", "Obfuscations of a period that cost no credit.")


@backed_by(account_tables.User)
class DeveloperUsage:
    """What a developer has now."""

    products: int = _usage("PRODUCTS", "Products.")
    keys: int = _usage("KEYS", "Keys that work.")
    whitelist_entries: int = _usage("ENTRIES", "People on whitelists whose time is not over.")
    obfuscations: int = _usage("OBFUSCATIONS", "Obfuscations of this period, credits included.")


@backed_by(account_tables.User)
class Obfuscation:
    """How much a developer can obfuscate: the allowance first, then credits."""

    allowance: int = expression(
        _allowance_left, description="What is left of the period's allowance; -1 without limit."
    )
    used: int = _usage("ALLOWANCE", "What was used of it.")
    period_starts_at: datetime = expression(
        lambda row: operations.ALLOWANCE_START.of(row.c.plan_id, type_=DateTime(timezone=True)),
        description="When the period began.",
    )
    resets_at: datetime = expression(
        lambda row: operations.ALLOWANCE_END.of(row.c.plan_id, type_=DateTime(timezone=True)),
        description="When the next begins.",
    )
    credits: int = expression(
        lambda row: operations.CREDITS_LEFT.of(row.c.id, type_=Integer()),
        description="Credits of the wallet that can be spent now; one pays for one obfuscation.",
    )


@backed_by(account_tables.User, prefix="developer")
class Developer(Node):
    """The caller as a developer."""

    id: strawberry.ID = global_id()
    tier: str | None = expression(
        lambda row: operations.TIER_NAME.of(row.c.plan_id, type_=Text()),
        description="The slug of the tier: the plan's, or the first without one; null where this "
        "service has no tiers.",
    )
    limits: DeveloperLimits = embedded(description="What the tier allows.")
    usage: DeveloperUsage = embedded(description="How much of it is used.")
    obfuscation: Obfuscation = embedded(description="What can be obfuscated.")
    keys: Connection[DeveloperKey] = connection(
        DeveloperKey,
        NEWEST_FIRST,
        only=lambda key: key.c.revoked_at.is_(None),
        description="The keys that were not revoked, newest first.",
    )
    obfuscations: Connection[ObfuscationUse] = connection(
        ObfuscationUse, NEWEST_FIRST, description="What was obfuscated, newest first."
    )
    requests: Connection[ApiRequest] = connection(
        ApiRequest, NEWEST_FIRST, description="What keys asked for in 30 days, newest first."
    )


@strawberry.input(description="A new key of a developer's.")
class CreateDeveloperKeyInput:
    name: str = strawberry.field(
        default="Default", description="1 to 100 characters; no two that work share it."
    )
    tier: str | None = strawberry.field(
        default=None,
        description="The slug of the tier that the caller takes themselves to be on: PLAN_REQUIRED "
        "when it is another. Null is as good as leaving it out.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key, same input: the same developer's key and secret again. 1 to 255 "
        "characters, kept 30 days. Null is as good as leaving it out.",
    )


@strawberry.input(description="Which key of a developer's to end.")
class RevokeDeveloperKeyInput:
    id: strawberry.ID = strawberry.field(description="The key's global id.")


@strawberry.input(description="That code was obfuscated.")
class RecordObfuscationInput:
    idempotency_key: str = strawberry.field(
        description="Same key: counted once. 1 to 255 characters, kept 30 days."
    )


@strawberry.type(description="Result of `createDeveloperKey`.")
class DeveloperKeySecretPayload(MutationPayload):
    secret: str | None = strawberry.field(
        description="Send it as `X-API-Key`. It is shown this once; null on errors."
    )
    developer_key: DeveloperKey | None = strawberry.field(
        description="The key as it is now; null on errors."
    )


@strawberry.type(description="Result of `revokeDeveloperKey`.")
class DeveloperKeyPayload(MutationPayload):
    developer_key: DeveloperKey | None = strawberry.field(
        description="The key as it is now; null on errors."
    )


@strawberry.type(description="Result of `recordObfuscation`.")
class RecordObfuscationPayload(MutationPayload):
    obfuscation_use: ObfuscationUse | None = strawberry.field(
        description="What was counted; null on errors."
    )


async def create_developer_key(context: Context, input: CreateDeveloperKeyInput) -> Outcome:
    """Makes a key of the caller's."""
    actor = context.signed_in()
    keys = context.services.of(DeveloperKeys.of)
    key = keys.new_key(actor.user_id, input.idempotency_key)
    command = operations.create_key(
        name=input.name,
        tier=None if input.tier is None else slug_from_global_id(input.tier, "developerTier"),
        preview=key.preview,
        secret_hash=key.hash,
        idempotency_key=input.idempotency_key,
    )
    return Outcome(command, {"developer_key": RESULT}, {"secret": key.text})


async def revoke_developer_key(context: Context, input: RevokeDeveloperKeyInput) -> Outcome:
    """Ends a key of the caller's, here at once and on every node within seconds."""
    context.signed_in()
    key_id = uuid_from_global_id(input.id, "developerKey", "input", "id")
    command = operations.revoke_key(key_id)

    async def follow() -> None:
        context.services.of(DeveloperKeys.of).forget(key_id)

    command.after = follow
    return Outcome(command, {"developer_key": RESULT})


async def record_obfuscation(context: Context, input: RecordObfuscationInput) -> Outcome:
    """Counts an obfuscation of the caller's."""
    context.signed_in()
    command = operations.record_obfuscation(input.idempotency_key)
    return Outcome(command, {"obfuscation_use": RESULT})


@strawberry.type
class DevelopersQuery:
    """Queries on developers."""

    developer: Developer | None = viewer_row(
        description="The caller as a developer; null without a token."
    )
    developer_tiers: list[DeveloperTier] = rows(
        ("sort_order", "id"), description="Tiers of developers, by rank."
    )


@strawberry.type
class DevelopersMutation:
    """Mutations of developers."""

    create_developer_key: DeveloperKeySecretPayload | None = mutation(
        create_developer_key,
        CreateDeveloperKeyInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.PLAN_REQUIRED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        demands=FRESH_SIGN_IN,
        description="Make a key for the API under /v1/. Not for guests. At most 5 work at a time. "
        "Its secret is shown in this answer only.",
    )
    revoke_developer_key: DeveloperKeyPayload | None = mutation(
        revoke_developer_key,
        RevokeDeveloperKeyInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="End a key, on every node within 5 seconds. Ending it again changes nothing.",
    )
    record_obfuscation: RecordObfuscationPayload | None = mutation(
        record_obfuscation,
        RecordObfuscationInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.DAILY_LIMIT_REACHED,
            ErrorCode.PLAN_REQUIRED,
        ),
        for_api_keys=True,
        description="Count an obfuscation, once it has succeeded: by the allowance of the period, "
        "then by a credit of the wallet.",
    )
