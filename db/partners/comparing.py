"""A comparison of two partners as rows: each of the two has their own, told from their side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from db.partners.rules import (
    ACTIVITY_WEIGHT,
    CONFLICT_COST,
    DOMAIN_WEIGHT,
    POWER_WEIGHT,
    TRUTH_WEIGHT,
    Comparison,
    Side,
    SurveyedItem,
    compatibility,
    counterparts,
)

Rows = dict[str, Any]


def compared(read: Mapping[str, Any]) -> tuple[Rows, Rows]:
    """The rows of the first and of the second, of what `app.read_comparison()` gives."""
    items = [
        SurveyedItem(**{**item, "limit_keys": tuple(item["limit_keys"])}) for item in read["items"]
    ]
    found = compatibility(items, _side(read["first"]), _side(read["second"]))
    meets = counterparts(items)
    first, second = read["first"]["profile_id"], read["second"]["profile_id"]
    return (
        {**_rows(found, first, second, is_first=True), "items": _items(found)},
        {**_rows(found, second, first, is_first=False), "items": _items(_turned(found, meets))},
    )


def _turned(found: Comparison, meets: Mapping[str, str]) -> Comparison:
    """The lists of items as the second of the two has them."""
    return replace(
        found,
        compatible=tuple(meets[item] for item in found.compatible),
        first_only=found.second_only,
        second_only=found.first_only,
    )


def _side(read: Mapping[str, Any]) -> Side:
    measures = read["measures"]
    return Side(
        orientation=read["orientation"],
        confidence=read["confidence"],
        domains=read["domains"],
        answers=read["answers"],
        excitation=measures.get("SE", 0.0) / 100,
        caution=measures.get("SIS_C", 0.0) / 100,
        limits=frozenset(read["limits"]),
    )


def _rows(found: Comparison, own: str, partners: str, *, is_first: bool) -> Rows:
    return {
        "own_profile_id": own,
        "partner_profile_id": partners,
        "score": found.score,
        "word": found.word,
        "parts": [{**part, "sort_order": place} for place, part in enumerate(_parts(found))],
        "conflicts": [
            {
                "limit_key": conflict.limit_key,
                "is_own": conflict.of_first is is_first,
                # What the other one is eager for is theirs to show.
                "item_ids": [] if conflict.of_first is is_first else conflict.item_ids,
            }
            for conflict in found.conflicts
        ],
    }


def _parts(found: Comparison) -> list[Rows]:
    """The totals, whose points add up to the score before it is rounded; domains; sections."""
    weighted = {
        "POWER": (found.power, POWER_WEIGHT),
        "DOMAINS": (found.domains, DOMAIN_WEIGHT),
        "ACTIVITIES": (found.activities, ACTIVITY_WEIGHT),
        "TRUTH": (found.truth, TRUTH_WEIGHT),
    }
    added = {
        "EXCITATION": found.excitation,
        "CAUTION": found.caution,
        "CONFLICTS": -CONFLICT_COST * len(found.conflicts),
    }
    totals = [_total(name, share, share * weight) for name, (share, weight) in weighted.items()]
    totals += [_total(name, None, points) for name, points in added.items()]
    domains = [_part("DOMAIN", name, share) for name, share in found.by_domain.items()]
    return totals + domains + [_part("SECTION", *one) for one in found.by_section.items()]


def _total(name: str, share: float | None, points: float) -> Rows:
    return {**_part("TOTAL", name, share), "points": round(points * 100, 2) + 0.0}


def _part(kind: str, name: str, share: float | None) -> Rows:
    return {"kind": kind, "name": name, "score": None if share is None else round(share * 100, 2)}


def _items(found: Comparison) -> list[Rows]:
    kinds = {
        "MUTUAL": found.mutual,
        "GROWTH": found.growth,
        "TOPIC": found.topics,
        "COMPATIBLE": found.compatible,
        "OWN_ONLY": found.first_only,
        "PARTNER_ONLY": found.second_only,
    }
    return [{"kind": kind, "item_id": item} for kind, ids in kinds.items() for item in ids]
