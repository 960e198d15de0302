"""Writes the answers of GraphQL over HTTP: in one piece where nothing is in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from graph.shared.context import CONTEXT_KEY, RESPOND_KEY, Context
from server.media_types import JSON_TYPE, RESPONSE_TYPE
from server.public_answers import NOT_KEPT, Pairs
from server.rate_headers import RateHeaders

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
NOT_MODIFIED = 304
CONTENT_TYPES = {media: media + b"; charset=utf-8" for media in (JSON_TYPE, RESPONSE_TYPE)}
SAME_HEADERS = ((b"x-content-type-options", b"nosniff"),)
# An answer's headers as lines, for who writes it in one piece.
LINES = {
    media: b"".join(
        b"%s: %s\r\n" % pair
        for pair in (
            (b"content-type", CONTENT_TYPES[media]),
            *NOT_KEPT,
            *SAME_HEADERS,
            (b"x-request-id", b"%s"),
        )
    )
    for media in CONTENT_TYPES
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and the headers that it has beyond those of all."""

    status: int
    body: bytes
    media: bytes
    request_id: str
    headers: Pairs = ()
    caching: Pairs = NOT_KEPT


class Answers:
    """Sends the answers of one process, each with the budget of whoever asked."""

    def __init__(self, rates: RateHeaders) -> None:
        self._rates = rates

    async def send(
        self, scope: MutableMapping[str, Any], send: Send, answer: Answer, *, is_plain: bool
    ) -> None:
        """Sends an answer; one that `is_plain` has no headers that others add."""
        context: Context | None = scope.get(CONTEXT_KEY)
        if context is None:
            await _respond(send, answer, ())
            return
        respond = scope.get(RESPOND_KEY) if is_plain and context.room is None else None
        if respond is not None:
            lines = LINES[answer.media] % answer.request_id.encode() + self._rates.lines(context)
            if respond(lines, answer.body):
                return
        # Whoever has it from a cache has another budget.
        pairs = self._rates.pairs(context) if answer.caching is NOT_KEPT else ()
        if context.room is None:
            await _respond(send, answer, pairs)
        else:
            await _respond_within(context, send, answer, pairs)


async def _respond_within(context: Context, send: Send, answer: Answer, pairs: Pairs) -> None:
    """Sends an answer that may be large; its room is free again when the client has read it."""
    assert context.room is not None
    context.is_reading = False
    context.room.shrink(len(answer.body))
    try:
        await _respond(send, answer, pairs, ends=False)
        # This waits until the client has read what came before.
        await send({"type": "http.response.body"})
    finally:
        context.leave_room()


async def _respond(send: Send, answer: Answer, pairs: Pairs, *, ends: bool = True) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", CONTENT_TYPES[answer.media]),
                # The length of a 304 would be that of the answer it stands for (RFC 9110, 8.6).
                *((length,) if answer.status != NOT_MODIFIED else ()),
                *answer.caching,
                *SAME_HEADERS,
                (b"x-request-id", answer.request_id.encode()),
                *answer.headers,
                *pairs,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body, "more_body": not ends})
