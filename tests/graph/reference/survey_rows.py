"""Surveys, profiles and demographics of the data that both ways of answering look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg

from db.core.actor import Actor

from .people import LASTING, TIMESTAMPS, add, known

SURVEY = "awkward-0.1"
# No whole numbers among floats: Postgres writes 1 for what Python writes as 1.0.
DOMAINS = ("POWER", "CONNECTION", "EXPLORATION", "VERBAL")
DOCUMENT = "awkward-terms"


async def add_surveys(owner: asyncpg.Connection) -> None:
    """Makes a survey and two versions of a document; one is not in force yet."""
    names = {"title_key": "title", "description_key": "description"}
    await add(owner, "surveys", id=SURVEY, version="0.1", sort_order=-1, **names)
    for n, kind in enumerate(("SCALE", "YES_MAYBE_NO", "CHECKLIST")):
        await add(
            owner,
            "survey_items",
            survey_id=SURVEY,
            item_id=f"{'ABC'[n]}1",
            question=f"{'ABC'[n]}1",
            section="arousal",
            kind=kind,
            text_key=f"survey.item.{n}",
            options=("impact", "anal") if n == 2 else (),
            is_short=n == 0,
            sort_order=n,
        )
    for n, effective_at in enumerate((TIMESTAMPS[0], LASTING[0])):
        await add(
            owner,
            "legal_documents",
            document_id=DOCUMENT,
            version=str(n),
            title="Terms",
            body="Be kind. 日本語",
            is_required=False,
            effective_at=effective_at,
            sort_order=n,
        )


async def add_survey_rows(owner: asyncpg.Connection, user: Actor) -> None:
    """Makes a user's: two runs of which one was submitted, its profile, and what they say."""
    whose = {"user_id": user.user_id}
    for n in range(2):
        await add(
            owner, "survey_runs", id=known(user, "run", n), **whose, survey_id=SURVEY,
            form=("FULL", "SHORT")[n], created_at=TIMESTAMPS[n], saved_at=LASTING[n],
        )  # fmt: skip
        if n == 0:
            await owner.execute(
                "update survey_runs set status = 'SUBMITTED', ended_at = $2 where id = $1",
                known(user, "run", n), LASTING[1],
            )  # fmt: skip
    for n, (value, score) in enumerate((("3", 1 / 3), ('"MAYBE"', 0.5), ('["anal"]', None))):
        await owner.execute(
            "insert into survey_answers (user_id, run_id, survey_id, item_id, value, score)"
            " values ($1, $2, $3, $4, $5, $6)",
            user.user_id, known(user, "run", 0), SURVEY, f"{'ABC'[n]}1", value, score,
        )  # fmt: skip
    profile = known(user, "survey profile", 0)
    await add(
        owner, "survey_profiles", id=profile, **whose, run_id=known(user, "run", 0),
        survey_id=SURVEY, version=1, power_orientation="SWITCH", power_confidence=0.3333,
        power_level="MODERATE", top_percent=50, archetypes=("EXPLORER", "MUSE"), is_balanced=True,
        tags=(), created_at=TIMESTAMPS[1],
    )  # fmt: skip
    of_profile = {**whose, "profile_id": profile}
    for n, domain in enumerate(DOMAINS, start=1):
        await add(
            owner, "survey_domain_scores", **of_profile, domain=domain, score=n * 25, sort_order=n
        )
    for n, (measure, level) in enumerate((("SE", "HIGH"), ("TRUTH", None))):
        await add(
            owner, "survey_measures", **of_profile, measure=measure, score=(n and 12.5) or None,
            level=level, sort_order=n,
        )  # fmt: skip
    for n, kind in enumerate(("HARD", "SOFT", "NONE")):
        await add(
            owner, "boundaries", id=known(user, "boundary", n), **of_profile, item_id=f"B{n}a",
            kind=kind, source="SET", changed_at=TIMESTAMPS[n],
        )  # fmt: skip
    await add(
        owner, "demographics", **whose, name="日本語", gender="WOMAN", orientation="GAY",
        relationship="OPEN", anatomy_self=("vagina", "breasts"), anatomy_preference=("penis",),
        updated_at=TIMESTAMPS[2],
    )  # fmt: skip
    await add(
        owner, "consents", id=known(user, "consent", 0), **whose, document_id=DOCUMENT, version="0",
        created_at=TIMESTAMPS[0],
    )  # fmt: skip
    await add(owner, "sharing_choices", **whose, level="DEMOGRAPHICS", chosen_at=TIMESTAMPS[0])


def survey_ids(user: Actor) -> dict[str, list[str]]:
    """The global ids of them, by type."""
    return {
        "Survey": [f"survey_{SURVEY}"],
        "SurveyRun": [f"surveyRun_{known(user, 'run', n)}" for n in range(2)],
        "SurveyProfile": [f"surveyProfile_{known(user, 'survey profile', 0)}"],
        "Boundary": [f"boundary_{known(user, 'boundary', n)}" for n in range(3)],
        "Demographics": [f"demographics_{user.user_id}"],
        "Consent": [f"consent_{known(user, 'consent', 0)}"],
        "LegalDocument": [f"legalDocument_{DOCUMENT}:{n}" for n in range(2)],
    }


def _along(direction: Callable[[float], float], sign: int) -> Callable[[Mapping[str, Any]], float]:
    def place(point: Mapping[str, Any]) -> float:
        share = sign * point["score"] / 100
        return round(share * direction(math.radians(72 * point["sort_order"])), 4)

    return place


# What the declarations say in SQL, said again in Python.
SURVEY_EXPRESSIONS: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
    ("SurveyProfile", "archetype"): lambda profile: profile["archetypes"][0],
    ("RadarPoint", "labelKey"): lambda point: f"survey.domain.{point['domain'].lower()}",
    ("RadarPoint", "angle"): lambda point: 72 * point["sort_order"],
    ("RadarPoint", "x"): _along(math.sin, 1),
    ("RadarPoint", "y"): _along(math.cos, -1),
    ("SurveyBar", "labelKey"): lambda bar: f"survey.measure.{bar['measure'].lower()}",
}
