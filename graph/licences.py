"""Licences in the schema: made, given, redeemed, verified, banned, extended and handed on."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, FromClause, Text, case, cast, literal_column

from db.core.commands import call_as_actor
from db.core.errors import ErrorCode, Problems, bad_input, not_found
from db.core.retries import retried
from db.core.row_ids import new_row_id
from db.licences import operations, tables
from db.licences.keys import LicenceKeys, written_key
from db.licences.operations import LicenceBatch, LicensedProduct
from db.vault.watching import VaultKeys
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    expression,
    global_id,
    live,
    mutation,
    opened,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.licence_checks import LicenceChecks, LicenceCheckStatus
from graph.shared.mutations import MutationPayload
from graph.shared.relay import (
    Cursor,
    Node,
    noted_uuid,
    slug_from_global_id,
    split_global_id,
)
from graph.whitelists import DeveloperProduct

state_enum(tables.LicenceStatus)
state_enum(tables.LicenceSource)
state_enum(LicenceCheckStatus)

_PRODUCT = "The global id of a product, of a store's or of a developer's."
_DISCORD_ID = "A user's id at Discord, 17 to 20 digits."
_ROBLOX_ID = "A number at Roblox, in digits."
_KEY = "Four groups of four characters, in any case, with or without dashes."


def _product_id(row: FromClause) -> ColumnElement[str]:
    is_developers = row.c.developer_product_id.is_not(None)
    developers = literal_column("'developerProduct_'", Text()).concat(
        cast(row.c.developer_product_id, Text())
    )
    stores = literal_column("'product_'", Text()).concat(row.c.product_id)
    return case((is_developers, developers), else_=stores)


def _roblox_id(row: FromClause) -> ColumnElement[str]:
    return cast(row.c.roblox_id, Text())


@backed_by(tables.Licence, prefix="licence")
class Licence(Node):
    """The right to use a product, by a key that is redeemed once."""

    id: strawberry.ID = global_id()
    product_id: strawberry.ID = expression(_product_id, description="The product's global id.")
    status: tables.LicenceStatus = column(description="Where it stands.")
    source: tables.LicenceSource = column(description="How it came to be.")
    key: str | None = opened(
        tables.Licence.key_sealed,
        description="Its key, for whoever owns or sells it; null for a moment after a sale.",
    )
    key_end: str | None = column(
        description="The last four characters of its key; null for a moment after a sale."
    )
    max_activations: int | None = column(
        description="How many machines may use it; null for any number."
    )
    activation_count: int = column(description="How many do.")
    duration_days: int | None = column(
        description="How long it lasts from when it is redeemed; null without an end."
    )
    expires_at: datetime | None = column(description="Until when it is good; null without an end.")
    discord_id: str | None = column(description="For whom at Discord it was redeemed.")
    roblox_id: str | None = expression(
        _roblox_id, description="For whom at Roblox it was redeemed."
    )
    redeemed_at: datetime | None = column(description="When it was redeemed; null before.")
    banned_at: datetime | None = column(description="When it was banned; null unless it is.")
    ban_reason: str | None = column(description="Why.")
    created_at: datetime = column(description="When it was made.")
    updated_at: datetime = column(description="When it last changed.")


extend(
    User,
    licences=connection(
        Licence, NEWEST_FIRST, key="owner_id", description="Licences of the user's, newest first."
    ),
    issued_licences=connection(
        Licence,
        NEWEST_FIRST,
        key="seller_id",
        description="Licences of products that the user sells, newest first.",
    ),
)
extend(
    DeveloperProduct,
    licences=connection(
        Licence,
        NEWEST_FIRST,
        key="developer_product_id",
        description="Its licences, newest first.",
    ),
)


@strawberry.input(description="New licences of a product.")
class CreateLicencesInput:
    product_id: strawberry.ID = strawberry.field(description=_PRODUCT)
    count: int = strawberry.field(default=1, description="How many, 1 to 1,000.")
    max_activations: int | None = strawberry.field(
        default=None,
        description="How many machines may use one, 1 to 10,000; what the product says, or any "
        "number, when left out. Null is as good as leaving it out.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="Until when they are good. Null is as good as leaving it out.",
    )
    duration_days: int | None = strawberry.field(
        default=None,
        description="How many days one lasts from when it is redeemed, 1 to 36,500. Null is as "
        "good as leaving it out.",
    )
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same licences and keys again. 1 to 255 characters, "
        "kept 30 days."
    )


@strawberry.input(description="A key to redeem, and for whom.")
class RedeemLicenceInput:
    key: str = strawberry.field(description=_KEY)
    discord_id: str | None = strawberry.field(
        default=None, description=f"{_DISCORD_ID} Null is as good as leaving it out."
    )
    roblox_id: str | None = strawberry.field(
        default=None, description=f"{_ROBLOX_ID} Null is as good as leaving it out."
    )


@strawberry.input(description="What to verify: a key, or a place on a product's whitelist.")
class VerifyLicenceInput:
    key: str | None = strawberry.field(
        default=None, description=f"{_KEY} Null is as good as leaving it out."
    )
    roblox_id: str | None = strawberry.field(
        default=None,
        description="In the place of a key: who is looked for on the whitelist of a developer's "
        "product. Null is as good as leaving it out.",
    )
    product_id: strawberry.ID | None = strawberry.field(
        default=None,
        description=f"{_PRODUCT} A key may be verified without it. Null is as good as leaving it "
        "out.",
    )
    machine_id: str | None = strawberry.field(
        default=None,
        description="The name of the machine that uses the key, 1 to 200 characters: it is counted "
        "against what the licence allows. Null is as good as leaving it out.",
    )


@strawberry.input(description="A licence to ban, or whose ban to lift.")
class BanLicenceInput:
    id: strawberry.ID = strawberry.field(description="The licence's global id.")
    banned: bool = strawberry.field(default=True, description="Whether it is banned then.")
    reason: str | None = strawberry.field(
        default=None, description="1 to 500 characters. Null is as good as leaving it out."
    )


@strawberry.input(description="Until when a licence is good.")
class ExtendLicenceInput:
    id: strawberry.ID = strawberry.field(description="The licence's global id.")
    days: int | None = strawberry.field(
        default=None,
        description="So many days more, 1 to 36,500, from its end, or from now when that is over. "
        "Null is as good as leaving it out.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="Until this, in the place of `days`; without either it has no end. Null is as "
        "good as leaving it out.",
    )


@strawberry.input(description="Whose a licence is to be.")
class TransferLicenceInput:
    id: strawberry.ID = strawberry.field(description="The licence's global id.")
    username: str | None = strawberry.field(
        default=None,
        description="Of the user who gets it; it stays whose it is when left out. Null is as good "
        "as leaving it out.",
    )
    discord_id: str | None = strawberry.field(
        default=None,
        description=f"{_DISCORD_ID} Nobody there without it. Null is as good as leaving it out.",
    )
    roblox_id: str | None = strawberry.field(
        default=None,
        description=f"{_ROBLOX_ID} Nobody there without it. Null is as good as leaving it out.",
    )


@strawberry.type(description="A licence that was made, with its key.")
class NewLicence:
    id: strawberry.ID = strawberry.field(description="Its global id.")
    key: str = strawberry.field(description="Its key.")


@strawberry.type(description="Result of `createLicences`.")
class CreateLicencesPayload(MutationPayload):
    licences: list[NewLicence] | None = strawberry.field(
        description="The licences with their keys; null on errors."
    )


@strawberry.type(description="Result of mutations of a licence.")
class LicencePayload(MutationPayload):
    licence: Licence | None = strawberry.field(
        description="The licence as it is now; null on errors."
    )


@strawberry.type(description="Result of `verifyLicence`.")
class VerifyLicencePayload(MutationPayload):
    valid: bool | None = strawberry.field(
        description="Whether the product may be used; null on errors."
    )
    status: LicenceCheckStatus | None = strawberry.field(
        description="What was found; null on errors."
    )
    expires_at: datetime | None = strawberry.field(description="Until when; null without an end.")
    activations: int | None = strawberry.field(
        description="How many machines use the licence; null for a whitelist."
    )
    max_activations: int | None = strawberry.field(
        description="How many may; null for any number, and for a whitelist."
    )


def _product(problems: Problems, given: str) -> LicensedProduct:
    """A product of either kind."""
    path = ("input", "productId")
    if split_global_id(given)[0] == "developerProduct":
        return LicensedProduct(
            developer_product_id=noted_uuid(problems, given, "developerProduct", *path)
        )
    return LicensedProduct(product_id=slug_from_global_id(given, "product"))


async def create_licences(context: Context, input: CreateLicencesInput) -> Payload:
    """Makes licences of a product of the caller's, with their keys."""
    actor = context.signed_in()
    assert actor.user_id is not None
    problems = Problems()
    product = _product(problems, input.product_id)
    batch = LicenceBatch(input.count, input.max_activations, input.expires_at, input.duration_days)
    operations.check_batch(problems, batch, input.idempotency_key)
    keys = context.services.of(LicenceKeys.of)
    made = keys.made_for(actor.user_id, input.idempotency_key, input.count)
    stored = {(licence_id := new_row_id()): keys.sealed(licence_id, key) for key in made}
    command = operations.create_licences(product, batch, stored, input.idempotency_key)
    ids = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    told = [
        {"id": f"licence_{licence}", "key": key} for licence, key in zip(ids, made, strict=True)
    ]
    return Payload({"licences": told})


async def redeem_licence(context: Context, input: RedeemLicenceInput) -> Outcome:
    """Redeems a key, once."""
    context.signed_in()
    written = written_key(input.key)
    if written is None:
        raise not_found("licence key", ("input", "key"))
    await context.services.of(VaultKeys.of).refuse_missing()
    hashes = context.services.of(LicenceKeys.of).found_by(written)
    command = operations.redeem_licence(hashes, input.discord_id, input.roblox_id)
    return Outcome(command, {"licence": RESULT})


async def verify_licence(context: Context, input: VerifyLicenceInput) -> Payload:
    """Tells whether a licence holds, or whether somebody is on a whitelist."""
    problems = Problems()
    if (input.key is None) == (input.roblox_id is None):
        problems.add([bad_input("Give key or robloxId, one of them.", "input", "key")])
    product = LicensedProduct()
    if input.product_id is not None:
        product = _product(problems, input.product_id)
    elif input.roblox_id is not None:
        problems.add([bad_input("robloxId is looked for on productId.", "input", "productId")])
    problems.refuse()
    checks = context.services.of(LicenceChecks.of)
    if input.key is not None:
        # A key of the API may guess for itself; who has none is counted by their address.
        by = context.network if context.actor.grant is None else context.actor.user_text
        checked = await checks.check_key(input.key, product, input.machine_id, by)
        if input.machine_id is not None and checked.holds is None:
            # One that was new is counted, which is all that verifying may change.
            context.services.wake()
        context.answer_holds = checked.holds
    else:
        number = operations.roblox_number_of(str(input.roblox_id))
        product_id: UUID | None = product.developer_product_id
        if product_id is None:
            raise not_found("developer product", ("input", "productId"))
        checked = await checks.check_roblox_id(number, product_id=product_id)
    fields: dict[str, Any] = {
        "valid": checked.is_valid,
        "status": checked.status,
        "expires_at": checked.expires_at,
        "activations": checked.activations,
        "max_activations": checked.max_activations,
    }
    return Payload(fields)


async def ban_licence(context: Context, input: BanLicenceInput) -> Outcome:
    """Bans a licence that the caller sells, or lifts its ban."""
    context.signed_in()
    problems = Problems()
    licence_id = noted_uuid(problems, input.id, "licence", "input", "id")
    command = operations.ban_licence(
        problems, licence_id, is_banned=input.banned, reason=input.reason
    )

    async def follow() -> None:
        # Here at once; other processes read of it in the log of changes.
        context.services.of(LicenceChecks.of).forget(str(licence_id))

    command.after = follow
    return Outcome(command, {"licence": RESULT})


async def extend_licence(context: Context, input: ExtendLicenceInput) -> Outcome:
    """Has a licence that the caller sells end at another time."""
    context.signed_in()
    problems = Problems()
    licence_id = noted_uuid(problems, input.id, "licence", "input", "id")
    command = operations.extend_licence(
        problems, licence_id, days=input.days, expires_at=input.expires_at
    )
    return Outcome(command, {"licence": RESULT})


async def transfer_licence(context: Context, input: TransferLicenceInput) -> Outcome:
    """Hands a licence on, or binds it to other ids."""
    context.signed_in()
    problems = Problems()
    licence_id = noted_uuid(problems, input.id, "licence", "input", "id")
    command = operations.transfer_licence(
        problems,
        licence_id,
        username=input.username,
        discord_id=input.discord_id,
        roblox_id=input.roblox_id,
    )
    return Outcome(command, {"licence": RESULT})


_MOVING = (ErrorCode.BAD_USER_INPUT, ErrorCode.NOT_FOUND)


@strawberry.type
class LicencesMutation:
    """Mutations on licences."""

    create_licences: CreateLicencesPayload | None = mutation(
        create_licences,
        CreateLicencesInput,
        errors=(
            *_MOVING,
            ErrorCode.INVALID_STATE,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.LIMIT_EXCEEDED,
        ),
        for_api_keys=True,
        description="Make licences of a product that the caller sells. A product has at most "
        "100,000.",
    )
    redeem_licence: LicencePayload | None = mutation(
        redeem_licence,
        RedeemLicenceInput,
        errors=(*_MOVING, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        description="Redeem a licence's key, once: for the caller, or, by its seller and their "
        "bot, for somebody at Discord or Roblox. Of any number that redeem it at once one does. "
        "Sent again for the same it changes nothing.",
    )
    verify_licence: VerifyLicencePayload | None = mutation(
        verify_licence,
        VerifyLicenceInput,
        errors=(*_MOVING, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        while_read_only=True,
        unmetered=True,
        ignores_dead_token=True,
        description="Tell whether a key's licence holds, or whether somebody is on a whitelist. "
        "Needs no session. A ban is known on every node within a second.",
    )
    ban_licence: LicencePayload | None = mutation(
        ban_licence,
        BanLicenceInput,
        errors=_MOVING,
        for_api_keys=True,
        description="Ban a licence of a product that the caller sells, or lift its ban.",
    )
    extend_licence: LicencePayload | None = mutation(
        extend_licence,
        ExtendLicenceInput,
        errors=_MOVING,
        for_api_keys=True,
        description="Have a licence of a product that the caller sells end later, or never.",
    )
    transfer_licence: LicencePayload | None = mutation(
        transfer_licence,
        TransferLicenceInput,
        errors=(*_MOVING, ErrorCode.INVALID_STATE),
        for_api_keys=True,
        description="Hand a licence of the caller's on to another user, or bind it to other ids; "
        "the machines that used it are forgotten.",
    )


@strawberry.type(description="A licence that was made, changed or deleted with its product.")
class LicencesChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    licence: Licence | None = strawberry.field(
        description="The licence right after the change; null when it was deleted, and in the "
        "first item, which only gives the cursor. Its `key` is as it is when the item is sent."
    )
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of a licence that was deleted; null otherwise."
    )


@strawberry.type
class LicencesSubscription:
    """Subscriptions on licences."""

    licences_changed: LicencesChanged = live(
        "licence.changed",
        "licence",
        starts_empty=True,
        gone="deletedId",
        description="Licences that the caller owns or sells as they are made, change and are "
        "deleted, each change once and in order, behind one null item.",
    )
