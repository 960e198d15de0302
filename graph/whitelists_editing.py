"""Changes of developers' products and their whitelists, and what a bot keeps of them as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from auth.roblox_groups import require_phrase
from db.core.commands import call_as_actor
from db.core.errors import ErrorCode, Problems, not_found
from db.core.retries import retried
from db.licences.keys import LicenceKeys
from db.whitelists import operations, sync, tables
from graph.engine.declare import (
    mutation,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import (
    Cursor,
    noted_uuid,
    uuid_from_global_id,
)
from graph.shared.scalars import JSON
from graph.whitelists import DeveloperProduct, WhitelistEntry, WhitelistSystem

_ROBLOX_ID = "A number at Roblox, in digits."
_DISCORD_ID = "A user's id at Discord, 17 to 20 digits."


@strawberry.input(description="A new product of a developer's.")
class CreateDeveloperProductInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    roblox_group_id: str = strawberry.field(description=_ROBLOX_ID)
    description: str | None = strawberry.field(
        default=None,
        description="At most 2,000 characters. Null is as good as leaving it out.",
    )


@strawberry.input(description="Whose group is to be proven.")
class ProveDeveloperProductInput:
    id: strawberry.ID = strawberry.field(description="The product's global id.")


@strawberry.input(description="Which product of a developer's to delete.")
class DeleteDeveloperProductInput:
    id: strawberry.ID = strawberry.field(description="The product's global id.")


@strawberry.input(description="Who may use a product, and until when.")
class SetWhitelistEntryInput:
    product_id: strawberry.ID = strawberry.field(description="The product's global id.")
    roblox_id: str = strawberry.field(description=_ROBLOX_ID)
    discord_id: str | None = strawberry.field(
        default=None, description=f"{_DISCORD_ID} Null is as good as leaving it out."
    )
    expires_at: datetime = strawberry.field(description="In the future.")


@strawberry.input(description="Whom to take off whitelists.")
class RemoveWhitelistEntriesInput:
    ids: list[strawberry.ID] = strawberry.field(description="Global ids of 1 to 1,000 entries.")


@strawberry.input(description="A new whitelist that a bot keeps as well.")
class CreateWhitelistSystemInput:
    name: str = strawberry.field(
        description="1 to 100 characters; the same name is the same whitelist."
    )
    description: str | None = strawberry.field(
        default=None,
        description="At most 2,000 characters. Null is as good as leaving it out.",
    )
    developer_product_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The global id of the product that it is about. Null is as good as leaving it "
        "out.",
    )


@strawberry.input(description="Which whitelist to delete.")
class DeleteWhitelistSystemInput:
    id: strawberry.ID = strawberry.field(description="The whitelist's global id.")


@strawberry.input(description="What one side of a whitelist wrote of somebody.")
class WhitelistChangeInput:
    external_id: str = strawberry.field(
        description="The side's own name for them, 1 to 64 characters, such as their id there."
    )
    changed_at: datetime = strawberry.field(
        description="When, by the side's clock; of two changes the later holds."
    )
    status: tables.WhitelistUserStatus = strawberry.field(
        default=tables.WhitelistUserStatus.ACTIVE, description="Whether they may."
    )
    username: str | None = strawberry.field(
        default=None, description="1 to 100 characters. Null empties it."
    )
    discord_id: str | None = strawberry.field(
        default=None, description=f"{_DISCORD_ID} Null empties it."
    )
    roblox_id: str | None = strawberry.field(
        default=None, description=f"{_ROBLOX_ID} Null empties it."
    )
    licence_key: str | None = strawberry.field(
        default=None,
        description="The licence key that they redeemed; only its hash is kept. Null leaves what "
        "there is.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="Until when. Null is without an end."
    )
    ban_reason: str | None = strawberry.field(
        default=None, description="Why, at most 500 characters. Null empties it."
    )
    details: JSON | None = strawberry.field(
        default=None, description="A JSON object, at most 4 KiB. Null empties it."
    )


@strawberry.input(description="What one side of a whitelist changed, and what it has seen.")
class SyncWhitelistInput:
    system_id: strawberry.ID = strawberry.field(description="The whitelist's global id.")
    side: str = strawberry.field(
        default="bot",
        description="Who is writing, 1 to 64 characters; always the same. Own changes are not told "
        "again.",
    )
    since: Cursor | None = strawberry.field(
        default=None,
        description="The `cursor` of the side's last sync. Without it, everybody is sent. Null is "
        "as good as leaving it out.",
    )
    changes: list[WhitelistChangeInput] = strawberry.field(
        default_factory=list,
        description="What the side changed since its last sync, at most 500. It sends them again, "
        "unchanged, until they are `accepted`.",
    )


@strawberry.type(description="Result of mutations of a product of a developer's.")
class DeveloperProductPayload(MutationPayload):
    developer_product: DeveloperProduct | None = strawberry.field(
        description="The product as it is now; null on errors."
    )


@strawberry.type(description="Result of `deleteDeveloperProduct` and `deleteWhitelistSystem`.")
class DeletedWhitelistPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what is gone; null on errors."
    )


@strawberry.type(description="Result of `setWhitelistEntry`.")
class WhitelistEntryPayload(MutationPayload):
    entry: WhitelistEntry | None = strawberry.field(
        description="The entry as it is now; null on errors."
    )


@strawberry.type(description="Result of `removeWhitelistEntries`.")
class RemoveWhitelistEntriesPayload(MutationPayload):
    removed_ids: list[strawberry.ID] | None = strawberry.field(
        description="Entries that are gone now; null on errors."
    )
    failed_ids: list[strawberry.ID] | None = strawberry.field(
        description="Those of which there were none of the caller's; null on errors."
    )


@strawberry.type(description="Result of `createWhitelistSystem`.")
class WhitelistSystemPayload(MutationPayload):
    whitelist_system: WhitelistSystem | None = strawberry.field(
        description="The whitelist as it is now; null on errors."
    )


@strawberry.type(description="Somebody on a whitelist, as a sync tells of them.")
class SyncedWhitelistUser:
    id: strawberry.ID = strawberry.field(description="Global id.")
    external_id: str = strawberry.field(description="The name that the bot gave them.")
    username: str | None = strawberry.field(description="What they are called.")
    discord_id: str | None = strawberry.field(description="Their id at Discord.")
    roblox_id: str | None = strawberry.field(description="Their number at Roblox.")
    status: tables.WhitelistUserStatus = strawberry.field(description="Whether they may.")
    expires_at: datetime | None = strawberry.field(description="Until when.")
    ban_reason: str | None = strawberry.field(description="Why they are banned.")
    details: JSON = strawberry.field(description="What the bot keeps of them.")
    changed_by: str = strawberry.field(description="Which side wrote them last.")
    updated_at: datetime = strawberry.field(description="When, by that side's clock.")


@strawberry.type(description="A change that need not be sent again.")
class AcceptedWhitelistChange:
    external_id: str = strawberry.field(description="Of whom it is.")
    outcome: str = strawberry.field(
        description="`APPLIED`; `KNOWN` when it was sent before; `LOST` when a later one holds."
    )


@strawberry.type(description="Result of `syncWhitelist`.")
class SyncWhitelistPayload(MutationPayload):
    accepted: list[AcceptedWhitelistChange] | None = strawberry.field(
        description="What became of each change, in their order; null on errors."
    )
    changes: list[SyncedWhitelistUser] | None = strawberry.field(
        description="What others wrote since, in order, at most 500 at a time; null on errors."
    )
    cursor: Cursor | None = strawberry.field(description="Pass it as the next sync's `since`.")
    has_more: bool | None = strawberry.field(
        description="Whether more has changed: sync again with `cursor` at once."
    )


async def create_developer_product(context: Context, input: CreateDeveloperProductInput) -> Outcome:
    """Makes a product of the caller's."""
    context.signed_in()
    command = operations.create_product(input.name, input.roblox_group_id, input.description)
    return Outcome(command, {"developer_product": RESULT})


async def prove_developer_product(context: Context, input: ProveDeveloperProductInput) -> Outcome:
    """Looks at Roblox whether the caller owns the group of a product of theirs."""
    actor = context.signed_in()
    product_id = uuid_from_global_id(input.id, "developerProduct", "input", "id")
    services = context.services
    found = await operations.group_to_prove(services.database, actor, product_id)
    if found is None:
        raise not_found("developer product", ("input", "id"))
    group_id, phrase = found
    await require_phrase(services.settings, group_id, phrase)
    command = operations.prove_product(product_id, phrase)
    return Outcome(command, {"developer_product": RESULT})


async def delete_developer_product(context: Context, input: DeleteDeveloperProductInput) -> Outcome:
    """Deletes a product of the caller's."""
    context.signed_in()
    product_id = uuid_from_global_id(input.id, "developerProduct", "input", "id")
    return Outcome(operations.delete_product(product_id), fields={"deleted_id": input.id})


async def set_whitelist_entry(context: Context, input: SetWhitelistEntryInput) -> Outcome:
    """Puts somebody on the whitelist of a product of the caller's."""
    context.signed_in()
    problems = Problems()
    product_id = noted_uuid(problems, input.product_id, "developerProduct", "input", "productId")
    command = operations.set_entry(
        problems,
        product_id,
        roblox_id=input.roblox_id,
        discord_id=input.discord_id,
        expires_at=input.expires_at,
    )
    return Outcome(command, {"entry": RESULT})


async def remove_whitelist_entries(context: Context, input: RemoveWhitelistEntriesInput) -> Payload:
    """Takes entries off the caller's whitelists."""
    actor = context.signed_in()
    known: dict[str, Any] = {}
    for one in input.ids:
        # What is no id at all is an entry that there is none of.
        key = Problems().of(uuid_from_global_id, one, "whitelistEntry")
        known[one] = key
    wanted = [key for key in known.values() if key is not None]
    command = operations.remove_entries(wanted, len(input.ids))
    removed = set(await retried(lambda: call_as_actor(context.services.database, actor, command)))
    context.services.wake()
    gone = [one for one, key in known.items() if key in removed]
    return Payload(
        {"removed_ids": gone, "failed_ids": [one for one in known if one not in set(gone)]}
    )


async def create_whitelist_system(context: Context, input: CreateWhitelistSystemInput) -> Outcome:
    """Makes a whitelist that a bot keeps as well."""
    context.signed_in()
    problems = Problems()
    product_id = None
    if input.developer_product_id is not None:
        path = ("input", "developerProductId")
        product_id = noted_uuid(problems, input.developer_product_id, "developerProduct", *path)
    command = sync.create_system(problems, input.name, input.description, product_id)
    return Outcome(command, {"whitelist_system": RESULT})


async def delete_whitelist_system(context: Context, input: DeleteWhitelistSystemInput) -> Outcome:
    """Deletes a whitelist of the caller's."""
    context.signed_in()
    system_id = uuid_from_global_id(input.id, "whitelistSystem", "input", "id")
    return Outcome(sync.delete_system(system_id), fields={"deleted_id": input.id})


async def sync_whitelist(context: Context, input: SyncWhitelistInput) -> Payload:
    """Takes what one side changed, and tells what the other did."""
    actor = context.signed_in()
    problems = Problems()
    system_id = noted_uuid(problems, input.system_id, "whitelistSystem", "input", "systemId")
    changes = [
        sync.WhitelistChange(
            external_id=one.external_id,
            changed_at=one.changed_at,
            status=one.status.value,
            username=one.username,
            discord_id=one.discord_id,
            roblox_id=one.roblox_id,
            licence_key=one.licence_key,
            expires_at=one.expires_at,
            ban_reason=one.ban_reason,
            details=one.details,
        )
        for one in input.changes
    ]
    keys = context.services.of(LicenceKeys.of)
    command = sync.sync_whitelist(problems, keys, system_id, input.side, input.since, changes)
    done = await retried(lambda: call_as_actor(context.services.database, actor, command))
    context.services.wake()
    return Payload(sync.told(done))


@strawberry.type
class WhitelistsEditingMutation:
    """Mutations on whitelists."""

    create_developer_product: DeveloperProductPayload | None = mutation(
        create_developer_product,
        CreateDeveloperProductInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_STATE,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.PLAN_REQUIRED,
        ),
        for_api_keys=True,
        description="Make a product of a Roblox group; one for each group. Not for guests.",
    )
    prove_developer_product: DeveloperProductPayload | None = mutation(
        prove_developer_product,
        ProveDeveloperProductInput,
        errors=(
            ErrorCode.NOT_FOUND,
            ErrorCode.PROVIDER_REFUSED,
            ErrorCode.PROVIDER_FAILED,
        ),
        for_api_keys=True,
        description="Prove whose group it is: write `proofPhrase` into the group's description at "
        "Roblox, then send this. Whoever proved the group before has not any more.",
    )
    delete_developer_product: DeletedWhitelistPayload | None = mutation(
        delete_developer_product,
        DeleteDeveloperProductInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Delete a product with its whitelist and its licences.",
    )
    set_whitelist_entry: WhitelistEntryPayload | None = mutation(
        set_whitelist_entry,
        SetWhitelistEntryInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.PLAN_LIMIT_REACHED,
            ErrorCode.PLAN_REQUIRED,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        for_api_keys=True,
        description="Put somebody on the whitelist of a product, or change until when. An entry "
        "that is there already does not count against the tier again.",
    )
    remove_whitelist_entries: RemoveWhitelistEntriesPayload | None = mutation(
        remove_whitelist_entries,
        RemoveWhitelistEntriesInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_api_keys=True,
        description="Take entries off the caller's whitelists.",
    )
    create_whitelist_system: WhitelistSystemPayload | None = mutation(
        create_whitelist_system,
        CreateWhitelistSystemInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.PLAN_REQUIRED,
        ),
        for_api_keys=True,
        description="Make a whitelist that a bot keeps as well.",
    )
    delete_whitelist_system: DeletedWhitelistPayload | None = mutation(
        delete_whitelist_system,
        DeleteWhitelistSystemInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Delete a whitelist with everybody on it.",
    )
    sync_whitelist: SyncWhitelistPayload | None = mutation(
        sync_whitelist,
        SyncWhitelistInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.CURSOR_EXPIRED,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        for_api_keys=True,
        description="Send what one side of a whitelist changed, and get what the other did. A sync "
        "that was cut off is sent again as it was.",
    )
