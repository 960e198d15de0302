"""What a text says beyond its labels: levels, limits, matters and parts of a body.

Labels are a model's word, and a text whose words say more than its labels, or nothing of them, is
not shown. That some harmless one is refused costs nothing. The terms, which are English, are in
`terms.toml`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Single letters with something between them, three and more: s p a n k, s.p.a.n.k.
_SPACED = re.compile(r"(?<!\w)[^\W\d_](?:[\W_]{1,3}[^\W\d_](?!\w)){2,}")
_INVISIBLE = "Cf", "Cc", "Mn", "Me"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)?")
_TERMS = tomllib.loads((Path(__file__).parent / "terms.toml").read_text(encoding="utf-8"))


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    """Any of some terms, each from the beginning of a word on."""
    listed = "|".join(terms)
    for name in ("somebody", "seat"):
        listed = listed.replace(f"<{name}>", _TERMS[name])
    return re.compile(rf"(?<!\w)(?:{listed})")


def _patterns(section: str) -> Mapping[str, re.Pattern[str]]:
    return {name: _pattern(terms) for name, terms in _TERMS[section].items()}


_REFUSED = _patterns("refused")
_OF_LEVEL: Mapping[str, tuple[str, ...]] = {
    "G": ("harmful", "erotic", "explicit"),
    "R": ("harmful", "explicit", "not_of_adults"),
    "X": ("harmful", "not_of_adults"),
}
_LIMITS, _ANATOMY, _ITEMS = _patterns("limits"), _patterns("anatomy"), _patterns("items")
_MATTERS = {
    name: (frozenset(one["items"]), one.get("only_truths", False), _pattern(one["terms"]))
    for name, one in _TERMS["matters"].items()
}
_HIDDEN: Mapping[str, list[str]] = _TERMS["hidden"]
_ENGLISH, _OTHERS = frozenset(_TERMS["english"]), frozenset(_TERMS["others"])
_FEWEST_ENGLISH = 0.2
_TYPOGRAPHIC = frozenset("‘’“”–—…½°")


def plain(text: str) -> str:
    """A text in one form: without accents, case, odd forms of letters, and what divides letters."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(sign for sign in folded if unicodedata.category(sign) not in _INVISIBLE)
    joined = _SPACED.sub(lambda found: re.sub(r"[\W_]", "", found[0]), seen.replace("’", "'"))
    return " ".join(joined.split())


def problems_of_language(text: str) -> Iterator[str]:
    """What shows that a text is not written in plain English."""
    signs = {*unicodedata.normalize("NFC", text)} - _TYPOGRAPHIC
    if not all(map(_is_plain, signs)):
        yield "has signs that English is not written with"
        return
    words = _WORD.findall(re.sub(r"\{\w+\}", " ", text).casefold().replace("’", "'"))
    if any(re.search(r"\d", word) and not _ORDINAL.fullmatch(word) for word in words):
        yield "has words of letters and figures"
    known = sum(word.partition("'")[0] in _ENGLISH for word in words)
    if known < _FEWEST_ENGLISH * len(words) or not _OTHERS.isdisjoint(words):
        yield "does not read as English"


def _is_plain(sign: str) -> bool:
    """A sign of ASCII, or such a letter with an accent."""
    return sign.isascii() or (sign.isalpha() and unicodedata.normalize("NFD", sign)[0].isascii())


def limits_in(text: str) -> frozenset[str]:
    """The limits that a text speaks of."""
    said = plain(text)
    squeezed = re.sub(r"[^a-z]", "", said)
    return frozenset(
        key
        for key, terms in _LIMITS.items()
        if terms.search(said) or any(hidden in squeezed for hidden in _HIDDEN.get(key, ()))
    )


def refused_term(text: str, level: str) -> str | None:
    """A word that a level does not have; nothing when there is none."""
    said = plain(text)
    found = (_REFUSED[name].search(said) for name in _OF_LEVEL[level])
    return next((one[0] for one in found if one), None)


def anatomy_in(text: str) -> frozenset[str]:
    """The parts of a body that a text speaks of."""
    said = plain(text)
    return frozenset(part for part, terms in _ANATOMY.items() if terms.search(said))


def _question(key: str) -> str:
    """The question of an item: `B3` of `B3a`."""
    return key.rstrip("ab")


def unnamed_matters(text: str, kind: str, keys: Iterable[str]) -> Iterator[str]:
    """What a text speaks of while it names no item that asks for it."""
    said, named = plain(text), {_question(key) for key in keys}
    for matter, (items, only_truths, terms) in _MATTERS.items():
        is_open = not named.isdisjoint(items) and not (only_truths and kind != "TRUTH")
        if not is_open and terms.search(said):
            yield matter


def speaks_of_any(text: str, keys: Iterable[str]) -> bool:
    """Whether a text has words of one of some items or limits."""
    said, limits = plain(text), limits_in(text)
    terms = (_ITEMS.get(_question(key)) for key in keys if key not in limits)
    return not limits.isdisjoint(keys) or any(one.search(said) for one in terms if one)
