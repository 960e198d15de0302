"""What a device sends in a sync, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from db.core.errors import DomainError


class SyncStrategy(StrEnum):
    """Which of two versions holds that were written without knowledge of each other."""

    LAST_WRITE_WINS = "LAST_WRITE_WINS"
    SERVER_WINS = "SERVER_WINS"
    CLIENT_WINS = "CLIENT_WINS"
    MANUAL = "MANUAL"


@dataclass(frozen=True, slots=True)
class SyncMessage:
    """A message of a chat, by the id that its device gave it."""

    id: str
    role: str
    text: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What a device did to one profile at one moment.

    `groups` are the field groups it wrote, each with its value; the profile is named by `id`, or by
    the device's own `local_id`. `since` is the cursor that the device had then.
    """

    local_id: int | None
    id: UUID | None
    clock: str
    since: str | None
    deleted: bool
    created_at: datetime | None
    groups: Mapping[str, Any]
    messages: Sequence[SyncMessage] = ()


# What is wrong with changes, by their places among those of the sync.
RefusedChanges = dict[int, list[DomainError]]


def placed(problem: DomainError, n: int) -> DomainError:
    """The same problem, found in one of the changes."""
    return DomainError(
        problem.code, problem.message, ("input", "changes", str(n), *problem.path[1:])
    )
