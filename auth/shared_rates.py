"""Rate limits that all processes of a deployment share, without asking anybody for permission.

Each process decides by what it knows, and tells the others once a second what was used of limits
that are in danger. So nobody waits for a limit, no request writes anything, and who spreads what
they do over several processes gets at most a second's use more than there is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections import Counter
from collections.abc import Callable, Hashable

import orjson

from auth.networks import RateLimit
from settings import Settings

# Of a limit, what one process must have used in a second before others hear of it.
TOLD_SHARE = 0.01
# A report fits into a notification of Postgres, which takes 8,000 bytes.
REPORT_BYTES = 7_000
MOST_TOLD = 200
# Nobody can repeat an old one.
REPORT_LIFE_SECONDS = 30
_SIGNATURE_BYTES = 16


class SharedRateLimit(RateLimit[Hashable]):
    """A rate limit whose uses are counted for the other processes, too.

    Only keys that are texts are told; others stay in their process.
    """

    def __init__(
        self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(size, seconds, clock)
        self.size = size
        self._used: Counter[str] = Counter()

    def use(self, key: Hashable, count: int = 1) -> float:
        """Takes some of a key's: 0, or in how many seconds there will be as many."""
        wait = super().use(key, count)
        if not wait and type(key) is str:
            self._used[key] += count
        return wait

    def give_back(self, key: Hashable, count: int = 1) -> None:
        """Puts back what was not used in the end."""
        super().give_back(key, count)
        if type(key) is str:
            self._used[key] -= count

    def take_used(self) -> list[tuple[str, int]]:
        """What was used since the last call and is worth telling, the most first."""
        used, self._used = self._used, Counter()
        enough = max(1, int(self.size * TOLD_SHARE))
        return [(key, count) for key, count in used.most_common(MOST_TOLD) if count >= enough]

    def used_elsewhere(self, key: str, count: int) -> None:
        """Another process let so many happen: what is left is less by as many."""
        self.force(key, min(count, self.size))


class SharedRates:
    """The shared limits of one process, and the reports on them.

    A report is signed, since whoever may send a notification could close others out with it.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._limits: dict[str, SharedRateLimit] = {}

    @classmethod
    def of(cls, settings: Settings) -> SharedRates:
        """Those of a deployment's processes."""
        return cls(settings.secret("refresh-token-key").encode())

    @classmethod
    def alone(cls) -> SharedRates:
        """Those of a process that tells nobody."""
        return cls(b"")

    def limit(
        self,
        name: str,
        size: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> SharedRateLimit:
        """A new limit, by a name that is the same in every process."""
        self._limits[name] = limit = SharedRateLimit(size, seconds, clock)
        return limit

    def report(self) -> str | None:
        """What the other processes should know by now; nothing when there is nothing to tell."""
        lines: list[tuple[str, str, int]] = []
        left = REPORT_BYTES * 3 // 4
        for name, limit in self._limits.items():
            for key, count in limit.take_used():
                left -= len(name) + 6 * len(key) + 24
                if left > 0:
                    lines.append((name, key, count))
        if not lines:
            return None
        told = orjson.dumps([int(time.time()), lines])
        return base64.b64encode(self._signature(told) + told).decode()

    def hear(self, report: str) -> None:
        """Takes in the report of another process; what is not one is nothing to it."""
        try:
            raw = base64.b64decode(report, validate=True)
        except (binascii.Error, ValueError):
            return
        signature, told = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(told)):
            return
        told_at, lines = orjson.loads(told)
        if abs(time.time() - told_at) > REPORT_LIFE_SECONDS:
            return
        for name, key, count in lines:
            if (limit := self._limits.get(name)) is not None:
                limit.used_elsewhere(key, count)

    def _signature(self, told: bytes) -> bytes:
        return hmac.digest(self._key, b"rate-report:" + told, "sha256")[:_SIGNATURE_BYTES]
