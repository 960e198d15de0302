"""Archetypes: which pictures of a person fit a profile best, and whether it is balanced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, pstdev

MISSING = 50.0
# Others are shown with the best that come so close to it.
NEAR, MOST_SHOWN = 0.05, 3
BALANCED_BELOW = 15.0
# How much each trait counts, by archetype; the weights of one add up to 1, so that none is ahead.
ARCHETYPES: Mapping[str, Mapping[str, float]] = {
    "SENSUALIST": {"SENSATION": 0.7, "CONNECTION": 0.3},
    "ROMANTIC": {"CONNECTION": 0.8, "VERBAL": 0.2},
    "EXPLORER": {"EXPLORATION": 0.7, "SE": 0.3},
    "STORYTELLER": {"VERBAL": 0.7, "EXPLORATION": 0.3},
    "CONFIDANT": {"CONNECTION": 0.5, "VERBAL": 0.5},
    "CAPTAIN": {"LEAD": 0.8, "POWER": 0.4, "YIELD": -0.2},
    "MUSE": {"YIELD": 0.8, "POWER": 0.4, "LEAD": -0.2},
    "SHAPESHIFTER": {"SWITCH": 0.7, "POWER": 0.3},
    "STRATEGIST": {"POWER": 0.6, "VERBAL": 0.4},
    "FIREBRAND": {"SE": 0.6, "SENSATION": 0.4},
    "SLOW_BURNER": {"CONNECTION": 0.8, "SENSATION": 0.5, "SE": -0.3},
    "PERFORMER": {"EXPLORATION": 0.4, "VERBAL": 0.3, "SE": 0.3},
}
DIALS: Mapping[str, tuple[str, ...]] = {
    "ADVENTURE": ("EXPLORATION",),
    "CONNECTION": ("CONNECTION",),
    "INTENSITY": ("SENSATION", "SE"),
    "CONFIDENCE": ("LEAD", "VERBAL"),
}


@dataclass(frozen=True)
class Archetypes:
    """Those that are shown, the best first, and whether the dials are close to one another."""

    shown: tuple[str, ...]
    is_balanced: bool


def archetypes_of(traits: Mapping[str, float | None]) -> Archetypes:
    """The archetypes of a person, by traits from 0 to 100; one that is missing counts as 50."""
    known = {name: MISSING if value is None else value for name, value in traits.items()}
    scores = {
        name: max(sum(known.get(trait, MISSING) * weight for trait, weight in weights.items()), 0)
        for name, weights in ARCHETYPES.items()
    }
    ranked = sorted(scores, key=lambda name: -scores[name])
    least = scores[ranked[0]] * (1 - NEAR)
    shown = tuple(name for name in ranked if scores[name] >= least)[:MOST_SHOWN]
    return Archetypes(shown, is_balanced(known))


def is_balanced(traits: Mapping[str, float]) -> bool:
    """Whether the four dials spread less than 15 around their mean."""
    dials = [fmean(traits.get(trait, MISSING) for trait in parts) for parts in DIALS.values()]
    return pstdev(dials) < BALANCED_BELOW
