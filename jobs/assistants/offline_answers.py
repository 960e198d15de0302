"""Answers a question from a profile's data alone: what it says of the matter, by its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from db.chat.rules import SaidMessage

LABEL = "Answered without any AI, from what is kept about {name}."
_NOTHING = (
    "Nothing is kept that bears on this question. Analyse the profile or add what you know, then"
    " ask again."
)
_SOMEBODY = "this profile"
_MOST_FACTS = 6
_LONGEST_FACT = 400
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words of a question that say nothing of its matter.
_COMMON = """
the and for are was were what which who whom whose how why when where does did has have had can
could should would will may might about with from this that these those they them their there
she her hers him his you your yours our ours not any all but tell say says think know like
"""
# What a question is about, by its words, and where a profile's analysis has it.
_MATTERS = (
    (
        "opener openers message write text reply start conversation first",
        "To begin with, the analysis suggests",
        ("recommended_openers", "prompts.suggested_opener"),
    ),
    (
        "red flag flags warning concern concerns worry danger careful bad wrong",
        "What the analysis warns of",
        ("overall_analysis.red_flags", "red_flags", "concerns"),
    ),
    (
        "green good positive strength strengths nice best compatible",
        "What speaks for them",
        ("overall_analysis.green_flags", "green_flags", "strengths"),
    ),
    (
        "want wants looking agenda agendas intention intentions serious",
        "What they seem to want",
        ("psychological_profile.agendas", "relationship_style_inference"),
    ),
    (
        "date dates meet idea ideas restaurant",
        "For a date",
        ("date_suggestions", "ideas"),
    ),
)
_SUMMARIES = ("overall_analysis.summary", "summary", "psychological_profile.archetype_summary")


def answer_from(
    name: str | None, analysis: Mapping[str, Any], messages: Sequence[SaidMessage]
) -> str:
    """What the data has to say to the last message, labelled as no AI's."""
    label = LABEL.format(name=(name or "").strip() or _SOMEBODY)
    words = _words(messages[-1].text)
    for matter, beginning, places in _MATTERS:
        facts = _first(places, analysis) if words & set(matter.split()) else []
        if facts:
            return _written(label, f"{beginning}:", facts)
    everything = list(_facts(analysis))
    found = _about(words, everything) or _about(words, _said_before(messages))
    if found:
        return _written(label, "This bears on your question:", found)
    summary = _first(_SUMMARIES, analysis) or everything
    if summary:
        return _written(label, "Nothing bears on this directly. In short:", summary[:3])
    return f"{label}\n\n{_NOTHING}"


def _written(label: str, beginning: str, facts: Iterable[str]) -> str:
    lines = [f"- {fact[:_LONGEST_FACT]}" for fact in list(facts)[:_MOST_FACTS]]
    return "\n".join([label, "", beginning, *lines])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - frozenset(_COMMON.split())


def _said_before(messages: Sequence[SaidMessage]) -> list[str]:
    return [f"You wrote: {one.text}" for one in messages[:-1] if one.role == "USER"]


def _about(words: frozenset[str], facts: Iterable[str]) -> list[str]:
    """The facts that share words with the question, those that share most first."""
    shared = [(len(words & _words(fact)), fact) for fact in facts]
    return [fact for count, fact in sorted(shared, key=lambda one: -one[0]) if count]


def _first(places: Iterable[str], analysis: Mapping[str, Any]) -> list[str]:
    """What stands at the first of some places that has anything."""
    for place in places:
        found: Any = analysis
        for step in place.split("."):
            if isinstance(found, list):
                found = [one.get(step) for one in found if isinstance(one, dict)]
            else:
                found = found.get(step) if isinstance(found, dict) else None
        if facts := list(_facts(found)):
            return facts
    return []


def _facts(value: Any, name: str = "") -> Iterator[str]:
    """The texts and figures in a value, each with the name of where it stands."""
    if isinstance(value, dict):
        texts = [one for one in value.values() if isinstance(one, str) and one.strip()]
        if name and 1 < len(texts) == len(value):
            # A small object is one fact, such as an opener with its reason.
            yield "; ".join(" ".join(text.split()) for text in texts)
            return
        for key, inner in value.items():
            if key != "meta":
                yield from _facts(inner, str(key).replace("_", " "))
    elif isinstance(value, list):
        for inner in value:
            yield from _facts(inner, name)
    elif isinstance(value, str) and value.strip():
        said = " ".join(value.split())
        yield f"{name}: {said}" if name else said
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{name}: {value}" if name else str(value)
