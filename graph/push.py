"""Push tokens in the schema: where a user's devices are reached."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from sqlalchemy import ColumnElement, FromClause, false, func

from auth.push_tokens import PushTokens, token_hash
from auth.reauthentication import ids_of_session
from db.core.errors import ErrorCode
from db.push import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    global_id,
    mutation,
    session_expression,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node


@strawberry.enum(description="What a device that gets push notifications is.")
class PushPlatform(Enum):
    """The platforms that there are providers for."""

    IOS = strawberry.enum_value(
        "IOS",
        description="An iPhone or iPad: a device token of APNs in hexadecimal digits, or a "
        "registration token of Firebase Cloud Messaging.",
    )
    ANDROID = strawberry.enum_value(
        "ANDROID", description="A registration token of Firebase Cloud Messaging."
    )
    WEB = strawberry.enum_value(
        "WEB", description="A browser: a registration token of Firebase Cloud Messaging."
    )


def is_asking(token: FromClause, asking: ColumnElement[object]) -> ColumnElement[object]:
    """Whether the session that asks registered a token."""
    return func.coalesce(token.c.session_id == asking, false())


@backed_by(tables.PushToken, prefix="pushToken")
class PushToken(Node):
    """A device that gets the user's notifications. The token itself is told to nobody."""

    id: strawberry.ID = global_id()
    platform: PushPlatform = column(description="What the device is.")
    created_at: datetime = column(description="When it was first registered.")
    registered_at: datetime = column(description="When it was registered last.")
    is_current: bool = session_expression(
        is_asking, description="Whether the session that asks registered it."
    )


extend(
    User,
    push_tokens=connection(
        PushToken,
        NEWEST_FIRST,
        description="The devices that get the user's notifications, newest first: at most 20, for "
        "as long as the sessions that registered them.",
    ),
)


@strawberry.input(description="A device that wants the caller's notifications.")
class RegisterPushTokenInput:
    platform: PushPlatform = strawberry.field(description="What the device is.")
    token: str = strawberry.field(
        description="What APNs or Firebase gave the app, 8 to 4,096 printable ASCII characters."
    )


@strawberry.input(description="A device that wants no more notifications.")
class RemovePushTokenInput:
    token: str = strawberry.field(description="The token that was registered.")


@strawberry.type(description="Result of `registerPushToken`.")
class RegisterPushTokenPayload(MutationPayload):
    push_token: PushToken | None = strawberry.field(
        description="The registration as it is now; null on errors."
    )


@strawberry.type(description="Result of `removePushToken`.")
class RemovePushTokenPayload(MutationPayload):
    removed: bool | None = strawberry.field(description="Whether it is gone; null on errors.")


async def register_push_token(context: Context, input: RegisterPushTokenInput) -> Outcome:
    """Registers a token for the caller's session; the same one again is the same registration."""
    _, session_id = ids_of_session(context.signed_in())
    operations.check_token(input.token)
    found_by, sealed = context.services.of(PushTokens.of).seal(input.token)
    platform = tables.DevicePlatform(input.platform.name)
    command = operations.register(
        session_id, platform, input.token, token_hash=found_by, sealed=sealed
    )
    return Outcome(command, {"push_token": RESULT})


async def remove_push_token(context: Context, input: RemovePushTokenInput) -> Outcome:
    """Removes a token of the caller's, from whichever session."""
    context.signed_in()
    return Outcome(operations.remove(token_hash(input.token)), fields={"removed": True})


@strawberry.type
class PushMutation:
    """Mutations on push tokens."""

    register_push_token: RegisterPushTokenPayload | None = mutation(
        register_push_token,
        RegisterPushTokenInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        description="Have a device get the caller's notifications, until the session that asks "
        "ends. Apps do this at each start: registering again changes nothing but the time, and the "
        "token of another account on the same device becomes the caller's.",
    )
    remove_push_token: RemovePushTokenPayload | None = mutation(
        remove_push_token,
        RemovePushTokenInput,
        errors=(ErrorCode.NOT_FOUND,),
        description="Have a device get no more notifications. Signing out does it, too.",
    )
