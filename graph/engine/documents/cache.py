"""A least-recently-used cache bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class ByteBoundedCache[Key: Hashable, Value]:
    """Keeps the most recently used values whose sizes sum to at most `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: Key) -> Value | None:
        """The value, now the most recently used, or nothing."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Stores a value and forgets the least recently used ones that no longer fit."""
        previous = self._entries.pop(key, None)
        if previous is not None:
            self.size_bytes -= previous[1]
        if size_bytes > self._limit_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        self._shrink()

    def resize(self, key: Key, size_bytes: int) -> None:
        """Notes that a value has grown; one that is no longer kept may grow as it likes."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = (entry[0], size_bytes)
            self.size_bytes += size_bytes - entry[1]
            self._shrink()

    def _shrink(self) -> None:
        while self.size_bytes > self._limit_bytes:
            _, (_, dropped_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= dropped_bytes

    def __len__(self) -> int:
        return len(self._entries)
