"""Hybrid logical clocks, and what a device may send: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from db.accounts.rules import check_device_id
from db.chat.tables import TEXT_LIMIT_BYTES
from db.core.errors import DomainError, bad_input
from db.profiles.rules import problems_of_profile
from db.sync.changes import ProfileChange, RefusedChanges, placed

MOST_CHANGES = 500
MESSAGE_ID_CHARACTERS = 64
# How far a device's clock may be ahead of the server's before the server's counts instead.
AHEAD_MILLISECONDS = 60_000

_COUNTER_BITS = 16
_CLOCK = re.compile(r"([0-9]{1,14}):([0-9]{1,5})")
_CURSOR = re.compile(r"[0-9a-f]{16}-[0-9]{1,18}(-[0-9]{1,18})?")


@dataclass(frozen=True, slots=True, order=True)
class HybridClock:
    """A moment of a hybrid logical clock: milliseconds, and a count of what fell into the same.

    It is written `1764316800000:0`. Source: Kulkarni et al., Logical Physical Clocks, 2014.
    """

    milliseconds: int
    counter: int = 0

    @classmethod
    def parse(cls, text: str) -> HybridClock:
        """The clock that a text writes; refused is what no clock writes."""
        match = _CLOCK.fullmatch(text)
        if match is None or int(match[2]) >= 1 << _COUNTER_BITS:
            raise bad_input(
                "clock is milliseconds, a colon and a counter, as in 1764316800000:0.",
                "input",
                "clock",
            )
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def unpack(cls, packed: int) -> HybridClock:
        """The clock in the number that the database keeps."""
        return cls(packed >> _COUNTER_BITS, packed & ((1 << _COUNTER_BITS) - 1))

    def packed(self) -> int:
        """One number, in the order of the clocks."""
        return self.milliseconds << _COUNTER_BITS | self.counter

    def __str__(self) -> str:
        """As clients write it."""
        return f"{self.milliseconds}:{self.counter}"


PackedChange = dict[str, Any]


def packed_changes(changes: Sequence[ProfileChange], refused: RefusedChanges) -> list[PackedChange]:
    """The changes as the database takes them, but for those with something wrong.

    What that is, is added to `refused`; a change that is there already is left out, too.
    """
    packed = []
    for n, change in enumerate(changes):
        problems = [placed(problem, n) for problem in problems_of_change(change)]
        if problems:
            refused.setdefault(n, []).extend(problems)
        if n in refused:
            continue
        packed.append(
            {
                "n": n,
                "id": change.id,
                "local_id": change.local_id,
                "clock": HybridClock.parse(change.clock).packed(),
                "since": change.since,
                "deleted": change.deleted,
                "created_at": change.created_at,
                "groups": {name.upper(): value for name, value in change.groups.items()},
                "messages": [asdict(message) for message in change.messages],
            }
        )
    return packed


def problems_of_change(change: ProfileChange) -> Iterator[DomainError]:
    """What is wrong with one change, each under its field's name."""
    if change.id is None and change.local_id is None:
        yield bad_input("A change names its profile by id or localId.", "input", "localId")
    try:
        HybridClock.parse(change.clock)
    except DomainError as problem:
        yield problem
    if change.since is not None:
        yield from problems_of_cursor(change.since)
    if "analysis" in change.groups and change.groups["analysis"] is None:
        yield bad_input("analysis cannot be null; leave it out instead.", "input", "analysis")
    yield from problems_of_profile(
        {name: value for name, value in change.groups.items() if name != "thumbnail"}
    )
    for n, message in enumerate(change.messages):
        at = ("input", "messages", str(n))
        if not 0 < len(message.id) <= MESSAGE_ID_CHARACTERS:
            yield bad_input(
                f"A message's id has 1 to {MESSAGE_ID_CHARACTERS} characters.", *at, "id"
            )
        if len(message.text.encode()) > TEXT_LIMIT_BYTES:
            yield bad_input("A message may have at most 128 KiB of text.", *at, "text")


def problems_of_sync(device_id: str, since: str | None, count: int) -> Iterator[DomainError]:
    """What is wrong with a sync as a whole."""
    try:
        check_device_id(device_id)
    except DomainError as problem:
        yield problem
    if since is not None:
        yield from problems_of_cursor(since)
    if count > MOST_CHANGES:
        yield bad_input(
            f"A sync takes at most {MOST_CHANGES} changes; send the rest with the next one.",
            "input",
            "changes",
        )


def problems_of_cursor(text: str) -> Iterator[DomainError]:
    """Whether a text has the form of this server's cursors; the database knows the rest."""
    if not _CURSOR.fullmatch(text):
        yield bad_input(
            "This is not a cursor of a sync. Pass the last sync's `cursor` unchanged, or leave it"
            " out to begin anew.",
            "input",
            "since",
        )
