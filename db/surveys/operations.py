"""Commands on surveys, boundaries, demographics and consents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from db.core.commands import FunctionCall, PythonCommand, SqlFunction, call, call_as_service
from db.core.errors import DomainError, Problems, bad_input, refuse_any
from db.core.pool import Database, Transaction
from db.core.texts import written_name
from db.credits.rules import problems_of_key
from db.surveys.inputs import accepted_answers, is_boundary_key, problems_of_demographics
from db.surveys.rules import ProfileScores, ScoredItem, profile_of, unanswered
from db.surveys.tables import SurveyRunStatus

RUNS_AT_ONCE = 500
_START = SqlFunction[UUID]("app.start_survey", "uuid", wanted="text", wanted_form="text")
_SAVE = SqlFunction[UUID](
    "app.save_survey_answers",
    "uuid",
    wanted="uuid",
    answers="jsonb",
    idempotency_key="text",
    fingerprint="bytea",
)
_READ_RUN = SqlFunction[dict[str, Any]]("app.read_survey_run", "jsonb", wanted="uuid")
_MAKE_PROFILE = SqlFunction[UUID]("app.make_survey_profile", "uuid", wanted="uuid", scores="jsonb")
_ABANDON = SqlFunction[UUID]("app.abandon_survey", "uuid", wanted="uuid")
_ABANDON_STALE = SqlFunction[int]("app.abandon_stale_surveys", "integer", at_most="integer")
_SET_BOUNDARY = SqlFunction[UUID](
    "app.set_boundary", "uuid", wanted_item="text", wanted_kind="text"
)
_UPDATE_DEMOGRAPHICS = SqlFunction[UUID]("app.update_demographics", "uuid", given="jsonb")
_RECORD_CONSENT = SqlFunction[UUID](
    "app.record_consent", "uuid", wanted="text", wanted_version="text"
)
_WITHDRAW_CONSENT = SqlFunction[UUID]("app.withdraw_consent", "uuid", wanted="text")

# Of a user, for expressions of larger statements.
HAS_CONSENTED = SqlFunction[bool]("app.has_consented", "boolean", owner_id="uuid")
HAS_DEMOGRAPHICS = SqlFunction[bool]("app.has_demographics", "boolean", owner_id="uuid")
HAS_SURVEY_PROFILE = SqlFunction[bool]("app.has_survey_profile", "boolean", owner_id="uuid")


def start(survey_id: str, form: str) -> FunctionCall[UUID]:
    """Begins a run of a survey, or goes on with the one in progress; gives it."""
    return _START(wanted=survey_id, wanted_form=form)


def save_answers(
    problems: Problems,
    run_id: UUID | None,
    answers: Sequence[tuple[str, Any]],
    idempotency_key: str,
) -> FunctionCall[UUID]:
    """Saves answers in a run that is in progress; gives the run.

    What is wrong is told together with the `problems` found before.
    """
    checked = list(accepted_answers(answers))
    problems.add(one for one in checked if isinstance(one, DomainError))
    problems.add(problems_of_key(idempotency_key))
    problems.refuse()
    saved = orjson.dumps([str(run_id), checked], option=orjson.OPT_SORT_KEYS)
    return _SAVE(
        wanted=run_id,
        answers=checked,
        idempotency_key=idempotency_key,
        fingerprint=hashlib.sha256(saved).digest(),
    )


def submit(run_id: UUID) -> PythonCommand[UUID]:
    """Makes the next version of the profile of a run; gives it, and the same one again."""

    async def run(transaction: Transaction) -> UUID:
        read = await call(transaction, _READ_RUN(wanted=run_id))
        if read["status"] == SurveyRunStatus.SUBMITTED:
            return UUID(read["profile_id"])
        items = [ScoredItem(**item) for item in read["items"]]
        refuse_any(_unanswered(items, read))
        scores = profile_of(items, read["form"], read["answers"])
        return await call(transaction, _MAKE_PROFILE(wanted=run_id, scores=stored_profile(scores)))

    return PythonCommand(run)


def _unanswered(items: Sequence[ScoredItem], read: Mapping[str, Any]) -> list[DomainError]:
    if read["status"] != SurveyRunStatus.IN_PROGRESS:
        return []
    missing = unanswered(items, read["form"], read["answers"])
    listed = ", ".join(missing)
    return [bad_input(f"Answer {listed} first.", "input", "runId")] if missing else []


def stored_profile(scores: ProfileScores) -> dict[str, Any]:
    """A profile by the columns' names, its scores as rows."""
    return {
        "power_orientation": scores.power.orientation,
        "power_confidence": scores.power.confidence,
        "power_level": scores.power.level,
        "top_percent": scores.power.top_percent,
        "archetypes": scores.archetypes.shown,
        "is_balanced": scores.archetypes.is_balanced,
        "tags": scores.tags,
        "domains": [
            {"domain": name, "score": score, "sort_order": place}
            for place, (name, score) in enumerate(scores.domains.items())
        ],
        "measures": [
            {"measure": name, "score": one.score, "level": one.level, "sort_order": place}
            for place, (name, one) in enumerate(scores.measures.items())
        ],
        "boundaries": scores.boundaries,
    }


def abandon(run_id: UUID) -> FunctionCall[UUID]:
    """Gives a run up; gives it."""
    return _ABANDON(wanted=run_id)


async def abandon_stale(database: Database) -> int:
    """Gives some runs up that nobody went on with for 30 days; returns how many."""
    return await call_as_service(database, _ABANDON_STALE(at_most=RUNS_AT_ONCE))


def set_boundary(item_id: str, kind: str) -> FunctionCall[UUID]:
    """Sets a boundary of the caller's; gives it."""
    if not is_boundary_key(item_id):
        raise bad_input("No survey has such an item or limit.", "input", "itemId")
    return _SET_BOUNDARY(wanted_item=item_id, wanted_kind=kind)


def update_demographics(problems: Problems, given: Mapping[str, Any]) -> FunctionCall[UUID]:
    """Changes what is given of the caller's demographics; gives the caller.

    What is wrong is told together with the `problems` found before.
    """
    # What is null has been noted before.
    there = {name: value for name, value in given.items() if value is not None}
    problems.add(problems_of_demographics(there))
    problems.refuse()
    if "name" in there:
        there["name"] = written_name(there["name"])
    return _UPDATE_DEMOGRAPHICS(given=there)


def record_consent(document_id: str, version: str) -> FunctionCall[UUID]:
    """Records that the caller agrees to a version of a document; gives the consent."""
    return _RECORD_CONSENT(wanted=document_id, wanted_version=version)


def withdraw_consent(document_id: str) -> FunctionCall[UUID]:
    """Withdraws the caller's consent to a document, whatever its version; gives the newest."""
    return _WITHDRAW_CONSENT(wanted=document_id)
