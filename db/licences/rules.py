"""What licences may be: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from db.core.errors import DomainError, bad_input
from db.core.texts import problems_of_prose
from db.licences.tables import ACTIVATIONS_LIMIT

MOST_AT_ONCE = 1_000
LONGEST_DAYS = 36_500
REASON_CHARACTERS = 500
MACHINE_CHARACTERS = 200


def problems_of_batch(
    count: int,
    max_activations: int | None,
    expires_at: datetime | None,
    duration_days: int | None,
    now: datetime,
) -> Iterator[DomainError]:
    """What is wrong with a batch of new licences."""
    if not 1 <= count <= MOST_AT_ONCE:
        yield bad_input(f"count must be between 1 and {MOST_AT_ONCE:,}.", "input", "count")
    if max_activations is not None and not 1 <= max_activations <= ACTIVATIONS_LIMIT:
        yield bad_input(
            f"maxActivations must be between 1 and {ACTIVATIONS_LIMIT:,}.",
            "input",
            "maxActivations",
        )
    if expires_at is not None and expires_at <= now:
        yield bad_input("expiresAt must be in the future.", "input", "expiresAt")
    yield from problems_of_days(duration_days, "durationDays")


def problems_of_days(days: int | None, field: str) -> Iterator[DomainError]:
    """What is wrong with a number of days."""
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        yield bad_input(f"{field} must be between 1 and {LONGEST_DAYS:,}.", "input", field)


def problems_of_reason(reason: str | None) -> Iterator[DomainError]:
    """What is wrong with why somebody is banned."""
    if reason is not None and not 1 <= len(reason.strip()) <= REASON_CHARACTERS:
        yield bad_input(f"reason must have 1 to {REASON_CHARACTERS} characters.", "input", "reason")
    else:
        yield from problems_of_prose(reason, 2 * REASON_CHARACTERS, "input", "reason")


def problems_of_machine(machine_id: str | None) -> Iterator[DomainError]:
    """What is wrong with a machine's own name."""
    if machine_id is not None and not 1 <= len(machine_id) <= MACHINE_CHARACTERS:
        yield bad_input(
            f"machineId must have 1 to {MACHINE_CHARACTERS} characters.", "input", "machineId"
        )
