"""Revoked sessions whose access tokens have not expired, and who is notified of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)


class RevokedSessions:
    """The revoked sessions whose access tokens may still be alive, and who wants to know."""

    def __init__(self, remember_seconds: float) -> None:
        self.remember_seconds = remember_seconds
        self._forget_at: dict[UUID, float] = {}
        self._listeners: list[Callable[[UUID], None]] = []

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._forget_at

    def __len__(self) -> int:
        return len(self._forget_at)

    def add(self, session_id: UUID) -> None:
        """Refuse this session's tokens from now on and tell the listeners, once."""
        if session_id in self._forget_at:
            return
        self._forget_at[session_id] = time.monotonic() + self.remember_seconds
        for listener in tuple(self._listeners):
            try:
                listener(session_id)
            except Exception:
                log.exception("session_revoked_listener_failed")

    def on_revoked(self, listener: Callable[[UUID], None]) -> Callable[[], None]:
        """Call `listener(session_id)` on the event loop at each revocation; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def forget_old(self) -> None:
        """Drop those whose last access token has expired by now."""
        now = time.monotonic()
        for session_id in [key for key, at in self._forget_at.items() if at < now]:
            del self._forget_at[session_id]
