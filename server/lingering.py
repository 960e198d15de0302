"""Closes a connection so that its last answer is read; answers malformed requests in JSON.

Closing on bytes that nobody has read resets the connection, and takes the answer away from a
client that is still sending (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio

import orjson
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from db.core.errors import DomainError, ErrorCode
from graph.shared.errors import top_level

# After its last answer a client is looked at this often; one that was silent at two of these, or
# has been sending for so long, is cut off.
LOOK_SECONDS = 1.0
LINGER_SECONDS = 30.0
_OVERDUE = STATUS_LINE[408]


def refusal(status: int, error: DomainError, *lines: bytes) -> bytes:
    """A whole last answer, for what never reaches the application."""
    body = orjson.dumps({"errors": [top_level(error)]})
    head = (
        STATUS_LINE[status] + b"content-type: application/json; charset=utf-8\r\n",
        b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n",
        *(line + b"\r\n" for line in lines),
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body),
    )
    return b"".join((*head, body))


def bad_request(message: str) -> bytes:
    """The answer to what is no request, or two at once."""
    return refusal(400, DomainError(ErrorCode.BAD_USER_INPUT, message))


REQUEST_TIMEOUT = refusal(
    408, DomainError(ErrorCode.BAD_USER_INPUT, "The request did not arrive in time.")
)
HEAD_TOO_LARGE = refusal(
    431, DomainError(ErrorCode.LIMIT_EXCEEDED, "The headers of the request are too large.")
)


class LingeringTransport:
    """A connection's transport for an answer that may be over before its request is.

    Closing it ends what is sent at once; what still comes is thrown away for a while.
    """

    __slots__ = (
        "_ends_at",
        "_flow",
        "_is_overdue",
        "_loop",
        "_silent_looks",
        "_transport",
        "is_open",
    )

    def __init__(
        self, transport: asyncio.Transport, flow: FlowControl, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._flow = flow
        self._loop = loop
        self._is_overdue = False
        self._ends_at = 0.0
        self._silent_looks = 0
        self.is_open = True

    def write(self, data: bytes) -> None:
        """Sends; who was too slow is told so, and gets no more time."""
        self._is_overdue |= data.startswith(_OVERDUE)
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return not self.is_open or self._transport.is_closing()

    def close(self) -> None:
        """Closes once the client has closed, fallen silent or had its time."""
        if self.is_closing():
            return
        self.is_open = False
        if self._is_overdue or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._flow.resume_reading()
        self._ends_at = self._loop.time() + LINGER_SECONDS
        self._loop.call_later(LOOK_SECONDS, self._look)

    def heard(self) -> None:
        """The client has sent more, which is thrown away."""
        self._silent_looks = 0

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        self._silent_looks += 1
        # Two, since a busy process looks before it reads.
        is_silent = self._silent_looks >= 2 and not self._transport.get_write_buffer_size()
        if is_silent or self._loop.time() >= self._ends_at:
            self._transport.abort()
        else:
            self._loop.call_later(LOOK_SECONDS, self._look)
