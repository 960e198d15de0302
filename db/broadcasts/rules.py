"""Which users a broadcast may be for: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from db.accounts.user_rules import problems_of_locale, written_locale
from db.core.errors import DomainError, bad_input

NAMED_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class Segment:
    """The users who meet all that is said; nothing said is everybody."""

    audience: str = "EVERYBODY"
    plan_ids: list[str] | None = None
    locales: list[str] | None = None
    active_since: datetime | None = None
    inactive_since: datetime | None = None

    @property
    def columns(self) -> dict[str, object]:
        """As a broadcast keeps it; language tags in their usual letters."""
        locales = None if self.locales is None else [written_locale(tag) for tag in self.locales]
        return {
            "audience": self.audience,
            "plan_ids": self.plan_ids,
            "locales": locales,
            "active_since": self.active_since and self.active_since.isoformat(),
            "inactive_since": self.inactive_since and self.inactive_since.isoformat(),
        }


def problems_of_segment(segment: Segment) -> Iterator[DomainError]:
    """What is wrong with a segment; a list that names nothing is an oversight."""
    named = (("planIds", segment.plan_ids), ("locales", segment.locales))
    for field, values in named:
        if values is not None and not 1 <= len(values) <= NAMED_AT_MOST:
            yield bad_input(f"{field} must name 1 to 100.", "input", "segment", field)
    if any(True for tag in segment.locales or () for _ in problems_of_locale(written_locale(tag))):
        yield bad_input(
            "locales must be language tags, such as en or pt-BR.", "input", "segment", "locales"
        )
    since, until = segment.active_since, segment.inactive_since
    if since is not None and until is not None and since >= until:
        yield bad_input(
            "activeSince must be before inactiveSince: nobody can be both.",
            "input",
            "segment",
            "activeSince",
        )
