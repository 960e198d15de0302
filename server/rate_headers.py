"""Tells clients their budget in headers (draft-ietf-httpapi-ratelimit-headers).

`q` is what there is for a window of `w` seconds, `r` what remains of it, and `t` in how many
seconds all of it is there again. The unit is the cost of requests.
"""

from __future__ import annotations

from auth.query_rates import WINDOW_SECONDS, QueryRates
from graph.shared.context import Context


class RateHeaders:
    """The headers of one process's answers."""

    def __init__(self, queries: QueryRates) -> None:
        self._queries = queries
        self._policy = (
            f'"user";q={queries.per_user};w={WINDOW_SECONDS}, '
            f'"address";q={queries.per_address};w={WINDOW_SECONDS}'
        ).encode()
        self._lines = b"ratelimit-policy: " + self._policy + b"\r\nratelimit: %s\r\n"

    def lines(self, context: Context) -> bytes:
        """The headers as lines."""
        return self._lines % self._limit(context)

    def pairs(self, context: Context) -> tuple[tuple[bytes, bytes], ...]:
        """The headers as names and values."""
        return (b"ratelimit-policy", self._policy), (b"ratelimit", self._limit(context))

    def _limit(self, context: Context) -> bytes:
        name = b"address" if context.actor.user_id is None else b"user"
        remaining, reset_seconds = self._queries.left(context.actor, context.network)
        return b'"%s";r=%d;t=%d' % (name, remaining, reset_seconds)
