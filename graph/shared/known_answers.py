"""Answers that a process keeps until something about them changes, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from uuid import UUID

# Of a licence that more machines use, the others are asked for each time.
MACHINES_KNOWN = 100


@dataclass(slots=True)
class KnownAnswer[Found]:
    """What was found, what it is about, and until when it is taken for true."""

    found: Found
    entity: UUID
    until: float
    machines: set[bytes] = field(default_factory=set)

    def know_machine(self, machine: bytes) -> None:
        """Notes a machine that was counted."""
        if len(self.machines) < MACHINES_KNOWN:
            self.machines.add(machine)


class KnownAnswers[Found]:
    """Answers by what was asked; beyond `most` that which was not asked for the longest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, KnownAnswer[Found]] = OrderedDict()
        self._by_entity: dict[UUID, set[Hashable]] = {}

    def get(self, asked: Hashable, now: float) -> KnownAnswer[Found] | None:
        """The answer, if it is known and not too old."""
        known = self._known.get(asked)
        if known is None or known.until <= now:
            return None
        self._known.move_to_end(asked)
        return known

    def keep(self, asked: Hashable, answer: KnownAnswer[Found]) -> None:
        """Keeps an answer in the place of what was known."""
        self._drop(asked)
        self._known[asked] = answer
        self._by_entity.setdefault(answer.entity, set()).add(asked)
        if len(self._known) > self._most:
            self._drop(next(iter(self._known)))

    def forget(self, entity: UUID) -> None:
        """Drops what is about a row that has changed."""
        for asked in self._by_entity.pop(entity, ()):
            del self._known[asked]

    def clear(self) -> None:
        """Drops everything."""
        self._known.clear()
        self._by_entity.clear()

    def _drop(self, asked: Hashable) -> None:
        known = self._known.pop(asked, None)
        if known is None:
            return
        of_entity = self._by_entity[known.entity]
        of_entity.discard(asked)
        if not of_entity:
            del self._by_entity[known.entity]

    def __len__(self) -> int:
        return len(self._known)
