"""Attempts that were refused because there were too many, noted in the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Protocol

from auth.failed_attempts import FailedAttempts
from db.audit.actions import AuditAction
from db.core.actor import Actor
from db.core.errors import RateLimited


class NotesFailures(Protocol):
    """A service that counts failures."""

    _failures: FailedAttempts


def notes_limits[Service: NotesFailures, **P, Result](
    what: str,
) -> Callable[
    [Callable[Concatenate[Service, P], Awaitable[Result]]],
    Callable[Concatenate[Service, P], Coroutine[Any, Any, Result]],
]:
    """Has a method of a service note each attempt at `what` that is refused with RATE_LIMITED.

    They are counted by network and minute as failures are, so that a flood is a line. The entry is
    the actor's, where the method is given one; whose account a stranger tried is not looked up.
    """

    def noting(
        attempt: Callable[Concatenate[Service, P], Awaitable[Result]],
    ) -> Callable[Concatenate[Service, P], Coroutine[Any, Any, Result]]:
        @wraps(attempt)
        async def run(self: Service, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            try:
                return await attempt(self, *args, **kwargs)
            except RateLimited:
                actor = next((one for one in args if isinstance(one, Actor)), None)
                user_id = actor.user_id if actor else None
                self._failures.note(user_id, AuditAction.RATE_LIMITED, what)
                raise

        return run

    return noting
