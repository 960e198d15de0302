"""Until when everything that was committed has been told of."""

from __future__ import annotations

from collections import deque

from graph.live.event_log import Head

# Reads follow each other every few milliseconds; so far apart ones are kept.
APART_SECONDS = 0.02
MOST_KEPT = 512


class Horizon:
    """As of when nothing is untold, by what each read of the log saw as its newest event.

    A read gives what no open transaction can come before any more, and at most a batch. So being
    read is not enough: what was the newest event at a read must have been given, too.
    """

    def __init__(self) -> None:
        self.known_until: float | None = None
        # When a read began that saw something which it could not give, and its newest event.
        self._waiting: deque[tuple[float, int]] = deque(maxlen=MOST_KEPT)

    def note(self, began_at: float, head: Head, *, is_all: bool) -> None:
        """A read that began then has given all that could be given, or, a part of it."""
        if not is_all:
            return
        if not head.unsettled:
            self.known_until = began_at
            self._waiting.clear()
            return
        while self._waiting and self._waiting[0][1] < head.xmin:
            self.known_until = self._waiting.popleft()[0]
        if not self._waiting or began_at - self._waiting[-1][0] >= APART_SECONDS:
            self._waiting.append((began_at, head.newest))

    def forget(self) -> None:
        """Nothing is known: another history begins."""
        self.known_until = None
        self._waiting.clear()
