"""Sync in the schema: a device sends what it changed offline, and is told what others changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import Text, literal_column

from db.chat.tables import ChatMessageStatus, ChatRole
from db.core.errors import DomainError, ErrorCode
from db.sync import operations, tables
from db.sync.changes import (
    ProfileChange,
    RefusedChanges,
    SyncMessage,
    SyncStrategy,
    placed,
)
from db.sync.pictures import with_pictures
from db.sync.tables import SyncConflictStatus
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    expression,
    global_id,
    mutation,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import NO_ROW, Cursor, Node, uuid_from_global_id
from graph.shared.scalars import JSON
from graph.shared.switches import require_sync
from graph.shared.thumbnails import show_pictures, thumbnails
from graph.uploads import picture_url

state_enum(SyncConflictStatus)


@strawberry.enum(
    name="SyncStrategy",
    description="Which version holds where two were written without knowledge of each other. "
    "Whatever loses is kept for 30 days, and can be brought back with `resolveConflict`.",
)
class SyncStrategyChoice(Enum):
    """Strategies (from Aura)."""

    LAST_WRITE_WINS = strawberry.enum_value(
        "LAST_WRITE_WINS", description="The later one, by the devices' clocks."
    )
    SERVER_WINS = strawberry.enum_value("SERVER_WINS", description="What the server has.")
    CLIENT_WINS = strawberry.enum_value("CLIENT_WINS", description="What the device sends.")
    MANUAL = strawberry.enum_value(
        "MANUAL", description="What the server has, until the user chooses."
    )


@strawberry.enum(description="What of a profile a conflict is about.")
class SyncFieldGroup(Enum):
    """Field groups; each has a version of its own."""

    NAME = strawberry.enum_value("NAME", description="`name`.")
    THUMBNAIL = strawberry.enum_value("THUMBNAIL", description="`thumbnail`.")
    ANALYSIS = strawberry.enum_value("ANALYSIS", description="`analysis`.")
    CHAT = strawberry.enum_value(
        "CHAT", description="Messages that were sent to a profile which was deleted."
    )
    PROFILE = strawberry.enum_value("PROFILE", description="The whole profile, which was deleted.")
    DELETION = strawberry.enum_value(
        "DELETION", description="That it was deleted; it was changed later."
    )


@strawberry.enum(description="Whose version lost.")
class SyncSide(Enum):
    """Sides of a conflict."""

    SERVER = strawberry.enum_value("SERVER", description="What the server had.")
    CLIENT = strawberry.enum_value("CLIENT", description="What the device sent.")


@strawberry.enum(description="Which version is to hold.")
class ConflictChoice(Enum):
    """What the user chooses."""

    CURRENT = strawberry.enum_value("CURRENT", description="What is there stays.")
    LOST = strawberry.enum_value(
        "LOST", description="What lost comes back; what gives way to it is kept in turn."
    )


@backed_by(tables.SyncConflict, prefix="syncConflict")
class SyncConflict(Node):
    """A version that lost against another one: kept for 30 days, to be brought back."""

    id: strawberry.ID = global_id()
    profile_id: strawberry.ID = expression(
        lambda conflict: literal_column("'profile_'", Text).concat(
            conflict.c.profile_id.cast(Text)
        ),
        description="The global id of the profile, which may be gone.",
    )
    field_group: SyncFieldGroup = column(description="What it is about.")
    loser: SyncSide = column(description="Whose version lost.")
    device_id: str = column(description="The device that met it; empty when it was no sync.")
    value: JSON | None = column(
        description="The version that lost; of a picture in storage, its name there."
    )
    status: SyncConflictStatus = column(description="Where it stands.")
    kept: ConflictChoice | None = column(description="What the user chose.")
    created_at: datetime = column(description="When it was met.")
    resolved_at: datetime | None = column(description="When the user chose.")

    @computed(
        "thumbnail_path",
        description="A signed link to the picture that lost, good for an hour; null without one.",
    )
    def thumbnail_url(self: Any) -> str | None:
        """Signs the link when the row is read."""
        return picture_url(self.thumbnail_path, "image/jpeg", None)


extend(
    User,
    sync_conflicts=connection(
        SyncConflict,
        NEWEST_FIRST,
        description="What lost conflicts, and what deleted profiles held, newest first.",
    ),
)


@strawberry.input(description="A message of the chat about a profile; it is never changed.")
class SyncedMessageInput:
    id: str = strawberry.field(
        description="The id that the device gave it, 1 to 64 characters, such as a UUID: sent "
        "again, it is the same message."
    )
    role: ChatRole = strawberry.field(description="Who says it.")
    text: str = strawberry.field(description="At most 128 KiB.")
    created_at: datetime | None = strawberry.field(
        default=None, description="When it was said; the time of `clock` when left out."
    )


@strawberry.input(description="What a device did to a profile at one moment.")
class ProfileChangeInput:
    local_id: int | None = strawberry.field(
        default=None,
        description="The device's own number for the profile. What it has made is known by it; "
        "sending it again makes no second profile.",
    )
    id: strawberry.ID | None = strawberry.field(
        default=None, description="The profile's global id, once the device knows it."
    )
    clock: str = strawberry.field(
        description="When, by the device's hybrid logical clock: milliseconds, a colon and a "
        "counter, as in `1764316800000:0`. A device never writes the same twice, and goes on from "
        "the later of its own and the server's. What is more than a minute ahead of the server "
        "counts as written now."
    )
    since: Cursor | None = strawberry.field(
        default=None,
        description="The cursor that the device had when it made the change; the sync's own when "
        "left out. What came behind it, the device had not seen.",
    )
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 255 characters; null empties it."
    )
    thumbnail: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A picture as base64, as in `createProfile`; null takes it away.",
    )
    analysis: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="A JSON object, at most 256 KiB. It may be left out, but not be null.",
    )
    created_at: datetime | None = strawberry.field(
        default=None,
        description="When a new profile was made; the time of `clock` when left out.",
    )
    messages: list[SyncedMessageInput] = strawberry.field(
        default_factory=list, description="What was said in the chat about the profile."
    )
    deleted: bool = strawberry.field(
        default=False, description="Whether the device deleted the profile."
    )


@strawberry.input(description="What a device changed, and what it has seen.")
class SyncProfilesInput:
    device_id: str = strawberry.field(
        description="The device's own id, 1 to 128 printable characters, such as a UUID; always "
        "the same, and the one of `redeemReferralCode` and `signInAnonymously`."
    )
    since: Cursor | None = strawberry.field(
        default=None,
        description="The `cursor` of the device's last sync. Without it, all profiles are sent. "
        "Null is as good as leaving it out.",
    )
    strategy: SyncStrategyChoice = strawberry.field(
        default=SyncStrategyChoice.LAST_WRITE_WINS, description="How conflicts are settled."
    )
    changes: list[ProfileChangeInput] = strawberry.field(
        default_factory=list,
        description="What the device changed since its last sync, at most 500, in the order in "
        "which it did: of two changes to one profile the later in the list holds, even where the "
        "device's clock was put back between them. They are no more than a "
        "request takes: 1 MiB and 15,000 values, so some 200 with their analyses. It sends them "
        "again, unchanged, until they are `accepted` or `refused`.",
    )


@strawberry.type(description="A profile as a sync tells of it.")
class SyncedProfile:
    id: strawberry.ID = strawberry.field(description="The profile's global id.")
    local_id: int | None = strawberry.field(
        description="The device's own number for it; null when another device made it."
    )
    deleted: bool = strawberry.field(
        description="Whether it is gone; all else but `id` is null then."
    )
    name: str | None = strawberry.field(description="What the user calls them.")
    thumbnail: str | None = strawberry.field(
        description="The small picture as base64, behind `data:image/jpeg;base64,`. It is read "
        "from storage for those who ask for it: clients that can, ask for `thumbnailUrl`."
    )
    thumbnail_url: str | None = strawberry.field(
        description="A signed link to the small picture, good for an hour; null without one in "
        "storage."
    )
    analysis: JSON | None = strawberry.field(description="The analysis.")
    chat_history: JSON | None = strawberry.field(
        description="The chat's messages as `createProfile` took them."
    )
    device_id: str | None = strawberry.field(
        description="The device whose sync changed it last; null when something else did."
    )
    created_at: datetime | None = strawberry.field(description="When it was made.")
    updated_at: datetime | None = strawberry.field(description="When it last changed.")


@strawberry.type(description="A message as a sync tells of it. It may come before its profile.")
class SyncedMessage:
    id: strawberry.ID = strawberry.field(description="The message's global id.")
    profile_id: strawberry.ID = strawberry.field(description="The profile's global id.")
    client_id: str | None = strawberry.field(description="The id that a device gave it.")
    role: ChatRole = strawberry.field(description="Who says it.")
    status: ChatMessageStatus = strawberry.field(description="Where it stands.")
    text: str = strawberry.field(description="What it says.")
    created_at: datetime = strawberry.field(description="When it was said; a chat's order.")


@strawberry.type(description="A change that need not be sent again.")
class AcceptedChange:
    local_id: int | None = strawberry.field(description="The device's own number, as it was sent.")
    id: strawberry.ID | None = strawberry.field(
        description="The profile's global id. Null when the server knows no such profile of the "
        "caller's, as when it was deleted more than 90 days ago: without `id`, it is made anew."
    )
    clock: str = strawberry.field(description="The change's clock, as it was sent.")


@strawberry.type(
    description="What is wrong with a change, of which nothing was taken. Sent again as it is, it "
    "is refused again; without what `path` names, it is taken."
)
class RefusedChange:
    local_id: int | None = strawberry.field(description="The device's own number, as it was sent.")
    id: strawberry.ID | None = strawberry.field(description="The global id, as it was sent.")
    clock: str = strawberry.field(description="The change's clock, as it was sent.")
    code: str = strawberry.field(
        description="`BAD_USER_INPUT`, `INVALID_IMAGE`, `EMPTY_FILE`, `NOT_FOUND` for an `id` that "
        "names no profile, or `QUOTA_EXCEEDED`: it is taken once there is room."
    )
    message: str = strawberry.field(description="What is wrong, for people.")
    path: list[str] = strawberry.field(
        description="Where in the request, such as `input`, `changes`, `7`, `name`."
    )


@strawberry.type(description="A version that lost against another one.")
class ProfileConflict:
    id: strawberry.ID = strawberry.field(description="For `resolveConflict`.")
    profile_id: strawberry.ID = strawberry.field(description="The profile's global id.")
    local_id: int | None = strawberry.field(description="The device's own number, as it was sent.")
    clock: str = strawberry.field(description="The clock of the change that met the conflict.")
    field_group: SyncFieldGroup = strawberry.field(description="What it is about.")
    loser: SyncSide = strawberry.field(description="Whose version lost.")
    value: JSON | None = strawberry.field(
        description="The version that lost; of a picture in storage, its name there."
    )
    thumbnail_url: str | None = strawberry.field(
        description="A signed link to the picture that lost, good for an hour; null without one."
    )
    status: SyncConflictStatus = strawberry.field(description="Where it stands.")


@strawberry.type(description="Result of `syncProfiles`.")
class SyncProfilesPayload(MutationPayload):
    changes: list[SyncedProfile] | None = strawberry.field(
        description="What others changed since, in the order of the changes, at most 500 at a "
        "time. Before them, the profiles of which what the device sends does not hold, as they are."
    )
    messages: list[SyncedMessage] | None = strawberry.field(
        description="What was said since in chats, by others and by the assistant, in the order in "
        "which the server learned of it."
    )
    accepted: list[AcceptedChange] | None = strawberry.field(
        description="The changes that the server has, whether they hold or lost a conflict."
    )
    refused: list[RefusedChange] | None = strawberry.field(
        description="What is wrong with changes that were not taken; the others were."
    )
    conflicts: list[ProfileConflict] | None = strawberry.field(
        description="The conflicts that the changes met."
    )
    cursor: Cursor | None = strawberry.field(description="Pass it as the next sync's `since`.")
    has_more: bool | None = strawberry.field(
        description="Whether more has changed: sync again with `cursor` at once."
    )
    clock: str | None = strawberry.field(
        description="The server's clock. A device goes on from it where it is ahead of its own."
    )


async def sync_profiles(context: Context, input: SyncProfilesInput) -> Payload:
    """Takes a device's changes and tells what others changed."""
    actor = context.signed_in()
    require_sync(context)
    refused: RefusedChanges = {}
    changes = [_change(refused, n, given) for n, given in enumerate(input.changes)]
    operations.refuse_sync(input.device_id, input.since, changes)
    packed = operations.good_changes(changes, refused)
    assert actor.user_id is not None, "somebody is signed in"
    taken = await with_pictures(
        thumbnails(context), actor.user_id, packed, refused, context.network
    )
    strategy = SyncStrategy[input.strategy.name]
    sync = operations.sync_of(input.device_id, input.since, strategy, taken)
    done = await operations.sync_profiles(context.services.database, actor, sync)
    if done["refused"]:
        # What exceeds a quota is tried one by one.
        await context.services.mutations.slow_down(actor, context.network)
    for one in done["refused"]:
        problem = DomainError(ErrorCode(one["code"]), one["message"], ("input",))
        refused[one["n"]] = [placed(problem, one["n"])]
    await show_pictures(context, done)
    return Payload({**_fields(done), "refused": list(_refused(refused, input.changes))})


def _refused(
    refused: RefusedChanges, changes: Sequence[ProfileChangeInput]
) -> Iterator[dict[str, Any]]:
    for n, problems in sorted(refused.items()):
        named = {name: getattr(changes[n], name) for name in ("local_id", "id", "clock")}
        for one in problems:
            yield {**named, "code": one.code.value, "message": one.message, "path": one.path}


def _change(refused: RefusedChanges, n: int, given: ProfileChangeInput) -> ProfileChange:
    groups = {
        name: getattr(given, name)
        for name in ("name", "thumbnail", "analysis")
        if getattr(given, name) is not strawberry.UNSET
    }
    profile_id = None
    if given.id is not None:
        try:
            profile_id = uuid_from_global_id(given.id, "profile", "input", "id")
        except DomainError as problem:
            profile_id, refused[n] = NO_ROW, [placed(problem, n)]
    return ProfileChange(
        local_id=given.local_id,
        id=profile_id,
        clock=given.clock,
        since=given.since,
        deleted=given.deleted,
        created_at=given.created_at,
        groups=groups,
        messages=[
            SyncMessage(one.id, one.role.value, one.text, one.created_at) for one in given.messages
        ],
    )


def _fields(done: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "changes": [
            one
            | {
                "id": _profile_id(one["id"]),
                "thumbnail_url": picture_url(one["thumbnail_path"], "image/jpeg", None),
            }
            for one in done["changes"]
        ],
        "messages": [
            one | {"id": f"chatMessage_{one['id']}", "profile_id": _profile_id(one["profile_id"])}
            for one in done["messages"]
        ],
        "accepted": [one | {"id": _profile_id(one["id"])} for one in done["accepted"]],
        "conflicts": list(_conflicts(done["conflicts"])),
        "cursor": done["cursor"],
        "has_more": done["has_more"],
        "clock": done["clock"],
    }


def _conflicts(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in found:
        yield one | {
            "id": f"syncConflict_{one['id']}",
            "profile_id": _profile_id(one["profile_id"]),
            "thumbnail_url": picture_url(one["thumbnail_path"], "image/jpeg", None),
        }


def _profile_id(key: str | None) -> str | None:
    return None if key is None else f"profile_{key}"


@strawberry.input(description="Which conflict to settle, and how.")
class ResolveConflictInput:
    id: strawberry.ID = strawberry.field(description="The conflict's global id.")
    keep: ConflictChoice = strawberry.field(description="Which version is to hold.")


@strawberry.type(description="Result of `resolveConflict`.")
class ResolveConflictPayload(MutationPayload):
    conflict: SyncConflict | None = strawberry.field(description="The conflict as it is now.")


async def resolve_conflict(context: Context, input: ResolveConflictInput) -> Outcome:
    """Settles a conflict of the caller's."""
    context.signed_in()
    conflict_id = uuid_from_global_id(input.id, "syncConflict", "input", "id")
    return Outcome(operations.resolve_conflict(conflict_id, input.keep.name), {"conflict": RESULT})


@strawberry.type
class SyncMutation:
    """Mutations of sync."""

    sync_profiles: SyncProfilesPayload | None = mutation(
        sync_profiles,
        SyncProfilesInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.CURSOR_EXPIRED,
            ErrorCode.SYNC_DISABLED,
        ),
        for_api_keys=True,
        description="Send what a device changed offline, and get what others changed. Changes hold "
        "for each field group by themselves. A sync that was cut off is sent again as it was.",
    )
    resolve_conflict: ResolveConflictPayload | None = mutation(
        resolve_conflict,
        ResolveConflictInput,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.QUOTA_EXCEEDED),
        for_api_keys=True,
        description="Choose between what holds and what lost; also where a strategy has decided. "
        "All devices get it with their next sync.",
    )
