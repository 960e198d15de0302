"""Commands of chats, and what workers read and write of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.chat.rules import SaidMessage, problems_of_message, shown_messages
from db.core.actor import SERVICE
from db.core.commands import FunctionCall, SqlFunction
from db.core.errors import Problems
from db.core.pool import Database
from db.credits.rules import problems_of_key

_SEND = SqlFunction[UUID](
    "app.send_chat_message",
    "uuid",
    profile_id="uuid",
    message="text",
    idempotency_key="text",
)
_CANCEL = SqlFunction[UUID]("app.cancel_chat_reply", "uuid", wanted="uuid")
_APPEND = SqlFunction[Any](
    "app.append_chat_chunks",
    "table(reply uuid)",
    replies="uuid[]",
    attempts="integer[]",
    numbers="integer[]",
    texts="text[]",
)
_CONTEXT = SqlFunction[Any](
    "app.chat_context",
    "record(profile jsonb, locale text, messages jsonb)",
    wanted="uuid",
    at_most="integer",
)
# What there is of a reply by now: what a subscriber without a cursor begins with.
WRITTEN = SqlFunction[str]("app.chat_written", "text", wanted="uuid")
_MOST_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of a reply, by the attempt that writes it."""

    reply_id: UUID
    attempt: int
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class ChatContext:
    """What a reply is made of: the profile, the user's language, the chat up to the question."""

    name: str | None
    analysis: dict[str, Any]
    locale: str
    messages: Sequence[SaidMessage]


def send_message(
    problems: Problems, *, profile_id: UUID, text: str, idempotency_key: str
) -> FunctionCall[UUID]:
    """Sends a message about a profile of the caller's; gives the reply.

    What is wrong is told together with the `problems` found before.
    """
    problems.add(problems_of_message(text))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    return _SEND(profile_id=profile_id, message=text, idempotency_key=idempotency_key)


def cancel_reply(reply_id: UUID) -> FunctionCall[UUID]:
    """Calls a reply of the caller's off; gives it."""
    return _CANCEL(wanted=reply_id)


async def append_chunks(database: Database, chunks: Sequence[Chunk]) -> set[UUID]:
    """Keeps the next pieces of some replies and tells them; gives the replies that go on.

    It is safe to repeat.
    """
    called = _APPEND(
        replies=[chunk.reply_id for chunk in chunks],
        attempts=[chunk.attempt for chunk in chunks],
        numbers=[chunk.number for chunk in chunks],
        texts=[chunk.text for chunk in chunks],
    )
    async with database.pools[SERVICE.role].connection() as connection:
        rows = await connection.raw.fetch(called.sql, *called.values)
    return {row["reply"] for row in rows}


async def read_context(
    database: Database, reply_id: UUID, context_tokens: int
) -> ChatContext | None:
    """What a reply is made of, its chat no longer than the tokens allow; None once it is gone."""
    called = _CONTEXT(wanted=reply_id, at_most=_MOST_MESSAGES)
    async with database.pools[SERVICE.role].connection() as connection:
        row = await connection.raw.fetchrow(called.sql, *called.values)
    if row is None or row["profile"] is None:
        return None
    said = [SaidMessage(one["role"], one["text"]) for one in row["messages"]]
    profile = row["profile"]
    analysis = profile["analysis"] if isinstance(profile["analysis"], dict) else {}
    return ChatContext(
        profile["name"], analysis, row["locale"] or "en", shown_messages(said, context_tokens)
    )
