"""Whether two fit here as they did in the prototype: its stored scores against ours, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.imports.attuned.rules import answers_of, object_of, whole
from db.partners.rules import Side, SurveyedItem, compatibility
from db.surveys.rules import CHECKLIST, ScoredItem, profile_of, score_of, unanswered

# The prototype took how surely somebody leads or follows for 1 always, which is up to 4.5 points.
TOLERATED_POINTS = 5
FORM = "FULL"


def side_of(items: Sequence[ScoredItem], profile: Mapping[str, Any]) -> Side | None:
    """One of the two, by a row of `profiles` with its `submission`; nothing without its answers."""
    submission = object_of(profile.get("submission"))
    taken = answers_of(items, submission.get("payload_json"), profile.get("boundaries"))
    if not taken.values or unanswered(items, FORM, taken.values):
        return None
    scores = profile_of(items, FORM, taken.values)
    limits = [taken.values.get(item.item_id, ()) for item in items if item.kind == CHECKLIST]
    return Side(
        orientation=scores.power.orientation,
        confidence=scores.power.confidence,
        domains=scores.domains,
        answers={name: score_of(value) or 0.0 for name, value in taken.values.items()},
        excitation=(scores.measures["SE"].score or 0.0) / 100,
        caution=(scores.measures["SIS_C"].score or 0.0) / 100,
        limits=frozenset(limit for checked in limits for limit in checked),
    )


def compared(
    items: Sequence[ScoredItem], surveyed: Sequence[SurveyedItem], result: Mapping[str, Any]
) -> tuple[int, int] | None:
    """The score that was stored of two and ours; nothing where one of the two has no answers."""
    stored = whole(result.get("overall_percentage"))
    one, other = (side_of(items, object_of(result.get(name))) for name in ("one", "other"))
    if stored is None or one is None or other is None:
        return None
    return stored, compatibility(surveyed, one, other).score


def is_kept(stored: int, ours: int) -> bool:
    """Whether two fit as before."""
    return abs(stored - ours) <= TOLERATED_POINTS
