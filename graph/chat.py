"""Chats in the schema: messages about a profile, and replies told while they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import strawberry

from db.chat import operations, tables
from db.core.errors import ErrorCode, Problems
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    connection,
    embedded,
    global_id,
    live_growth,
    mutation,
    reference,
    related_row,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.engine.specs import Growth
from graph.profiles import Profile
from graph.shared.context import Context
from graph.shared.inputs import stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, noted_uuid, uuid_from_global_id
from graph.shared.switches import require_ai

ENDED = frozenset(
    status.value
    for status in tables.ChatMessageStatus
    if status not in {tables.ChatMessageStatus.QUEUED, tables.ChatMessageStatus.RUNNING}
)
for _states in (tables.ChatRole, tables.ChatMessageStatus):
    state_enum(_states)


@backed_by(tables.ChatMessage)
class ChatMessageError:
    """Why a reply failed."""

    code: ErrorCode = column("error_code", description="For programs to read.")
    message: str = column("error_message", description="For people to read.")


@backed_by(tables.ChatMessage, prefix="chatMessage")
class ChatMessage(Node):
    """A message of the chat about a profile: the user's, or the reply to one."""

    id: strawberry.ID = global_id()
    profile_id: strawberry.ID = reference(
        "profile_id", "profile", description="The profile's global id."
    )
    role: tables.ChatRole = column(description="Who says it.")
    status: tables.ChatMessageStatus = column(description="Where it stands.")
    text: str = column(
        description="What is said. Of a reply nothing while it is being written, then all of it; "
        "`chatReply` tells it meanwhile. Of one that broke off or was called off, what was written."
    )
    credits_charged: int = column(description="Credits spent on it.")
    made_offline: bool = column(description="Whether the reply was made without any AI.")
    error: ChatMessageError | None = embedded(
        lambda row: row.c.error_code.is_not(None), description="Why it failed; null otherwise."
    )
    client_id: str | None = column(description="The id that a device gave it; null without one.")
    created_at: datetime = column(description="When it was sent.")
    finished_at: datetime | None = column(
        description="When the reply ended; null before, and for what is no reply."
    )


extend(
    Profile,
    chat_messages=connection(
        ChatMessage,
        NEWEST_FIRST,
        key="profile_id",
        description="The messages of the chat about it, newest first.",
    ),
)
extend(
    ChatMessage,
    question=related_row(
        "question_id",
        returns=ChatMessage | None,
        description="What it replies to; null for a message of the user's.",
    ),
)


@stored_in(
    tables.ChatMessage, beside=("idempotency_key",), description="A message about a profile."
)
class SendChatMessageInput:
    profile_id: strawberry.ID = strawberry.field(description="The profile's global id.")
    text: str = strawberry.field(description="1 to 4,000 characters.")
    idempotency_key: str = strawberry.field(
        description="Same key, same input: the same reply again, paid once. 1 to 255 characters, "
        "kept 30 days."
    )


@strawberry.type(description="Result of `sendChatMessage`.")
class SendChatMessagePayload(MutationPayload):
    message: ChatMessage | None = strawberry.field(
        description="The reply, QUEUED; follow it with `chatReply`. Its `question` was sent."
    )


@strawberry.input(description="A reply that is not wanted any more.")
class CancelChatReplyInput:
    id: strawberry.ID = strawberry.field(description="The reply's global id.")


@strawberry.type(description="Result of `cancelChatReply`.")
class CancelChatReplyPayload(MutationPayload):
    message: ChatMessage | None = strawberry.field(
        description="The reply as it is now: CANCELLED, or as it ended before."
    )


async def send_chat_message(context: Context, input: SendChatMessageInput) -> Outcome:
    """Keeps the message, holds credits, and has a worker reply."""
    context.signed_in()
    require_ai(context)
    problems = Problems()
    profile_id = noted_uuid(problems, input.profile_id, "profile", "input", "profileId")
    command = operations.send_message(
        problems, profile_id=profile_id, text=input.text, idempotency_key=input.idempotency_key
    )
    return Outcome(command, {"message": RESULT})


async def cancel_chat_reply(context: Context, input: CancelChatReplyInput) -> Outcome:
    """Calls a reply off."""
    context.signed_in()
    reply_id = uuid_from_global_id(input.id, "chatMessage", "input", "id")
    return Outcome(operations.cancel_reply(reply_id), {"message": RESULT})


@strawberry.type
class ChatMutation:
    """Mutations on chats."""

    send_chat_message: SendChatMessagePayload | None = mutation(
        send_chat_message,
        SendChatMessageInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.NOT_FOUND,
            ErrorCode.INVALID_STATE,
            ErrorCode.AI_DISABLED,
            ErrorCode.LIMIT_EXCEEDED,
            ErrorCode.QUOTA_EXCEEDED,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.DAILY_LIMIT_REACHED,
            ErrorCode.IDEMPOTENCY_CONFLICT,
        ),
        for_api_keys=True,
        description="Ask something about a profile. Credits are held for the reply, spent by what "
        "it took, and given back when it fails. A chat has one reply at a time, a user three; "
        "INVALID_STATE while the last one of this chat is being written.",
    )
    cancel_chat_reply: CancelChatReplyPayload | None = mutation(
        cancel_chat_reply,
        CancelChatReplyInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_api_keys=True,
        description="Call off a reply. What is written by now stays and is paid for; before its "
        "first word nothing is. One that has ended stays as it is.",
    )


@strawberry.type(description="A reply, and what was written since the item before.")
class ChatReply:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    delta: str = strawberry.field(
        description="What comes next in the reply; empty when only its status has changed. In the "
        "first item without `after`, all that is there by then: joined, the deltas are the text."
    )
    message: ChatMessage = strawberry.field(description="The reply as it was then.")


# The arguments exist to be declared.
def watch_chat_reply(
    self: Any,  # noqa: ARG001
    message_id: Annotated[  # noqa: ARG001
        strawberry.ID, strawberry.argument(description="The reply's global id.")
    ],
    after: Annotated[  # noqa: ARG001
        Cursor | None,
        strawberry.argument(
            description="Continue behind this cursor; CURSOR_EXPIRED after 7 days."
        ),
    ] = None,
) -> AsyncIterator[Any]:
    """The arguments of `chatReply`; the engine itself streams."""
    raise AssertionError("the engine streams")  # pragma: no cover


@strawberry.type
class ChatSubscription:
    """Subscriptions on chats."""

    chat_reply: ChatReply = live_growth(
        "chat.reply",
        "message",
        Growth("delta", operations.WRITTEN, ENDED),
        watch=watch_chat_reply,
        description="A reply of the caller's while it is written: what there is now, then each "
        "piece once and in order, until `message.status` says that it has ended: then the stream "
        "completes. Whoever comes back with the last cursor goes on where they were; nothing is "
        "written or paid twice.",
    )
