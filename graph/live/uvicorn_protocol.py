"""Uvicorn's WebSocket protocol, minus its patience with peers that never read what was sent."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

FLUSH_SECONDS = 5.0


class FlushOrAbortProtocol(WebSocketsSansIOProtocol):
    """Closing a transport waits for its buffer to be read, which a stuck peer never does.

    Give it as `ws=` in uvicorn's configuration.
    """

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with this socket: what is unsent gets a last moment."""
        super().on_task_complete(task)
        if self.transport.get_write_buffer_size():
            self.loop.call_later(FLUSH_SECONDS, self.transport.abort)
