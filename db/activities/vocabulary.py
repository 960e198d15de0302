"""The words that activities are described with, and what the filters of a draw compare."""

from __future__ import annotations

from db.surveys.tables import DOMAINS, LIMIT_KEYS

__all__ = [
    "ANATOMY",
    "AUDIENCES",
    "DOMAINS",
    "KINDS",
    "LEVELS",
    "LIMIT_KEYS",
    "POWER_ROLES",
    "PREFERENCE_KEYS",
    "SOURCES",
]

KINDS = ("TRUTH", "DARE")
# G is for everybody, R respects hard and soft limits, X hard ones.
LEVELS = ("G", "R", "X")
# SOLO is for who plays alone, COUPLES for two, GROUPS for three and more, ALL for any number: of
# these, who plays alone is given what names nobody beside them.
AUDIENCES = ("SOLO", "COUPLES", "GROUPS", "ALL")
ANATOMY = ("penis", "vagina", "breasts")
POWER_ROLES = ("NEUTRAL", "TOP", "BOTTOM", "SWITCH")
SOURCES = ("BUNDLED", "IMPORTED", "ADMIN", "AI")

# Of the survey: those of a pair have two items, `a` for what is done to somebody (or what they
# show), `b` for what they do (or watch).
_PAIRS = (*range(1, 19), 22, 23, 24, 25)
_SINGLE = (19, 20, 21, *range(26, 37))
PREFERENCE_KEYS = frozenset(
    [f"B{number}{side}" for number in _PAIRS for side in "ab"]
    + [f"B{number}" for number in _SINGLE]
    + [f"A{number}" for number in range(1, 17)]
)
