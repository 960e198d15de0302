"""Which users a broadcast may be for: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from db.accounts.user_rules import problems_of_locale, written_locale
from db.broadcasts.segments import Segment
from db.core.errors import DomainError, bad_input

NAMED_AT_MOST = 100


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
