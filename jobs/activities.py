"""Has an AI write activities for a play session; where it does not, those of the bank are drawn."""

from __future__ import annotations

import json
import random
from uuid import UUID

import structlog

from db.activities.operations import WritingAttempt, asked_activities, keep_written
from db.activities.written import ActivityRequest, Written, answer_schema, checked_activities
from db.core.pool import Database
from db.generations.operations import take_provider_call
from jobs.core.declare import RetryLater, WorkerServices, job
from jobs.providers.activity_prompt import activity_prompt
from jobs.providers.base import (
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    ProviderTimedOut,
    Stopwatch,
    Writer,
    WritingOutcome,
    WritingRequest,
)

# Tries that our own or the database's errors end; those of the provider are counted in the log.
JOB_ATTEMPTS = 5
# A request is tried so many times, whatever came of it.
TRIES = 3
TIMEOUT_SECONDS = 30.0
TEMPERATURE = 0.6
RETRY_SECONDS = 2.0
# Players do not wait for longer: what comes later is for nobody.
LONGEST_PAUSE_SECONDS = 60.0
MOST_CHARACTERS = 16_000
NOTHING = Written((), ())

log = structlog.get_logger(__name__)


async def report_none_written(*, session_id: UUID, number: int, error: Exception) -> None:
    """The bank has activities, so there is nothing to make good."""
    log.error(
        "activities.not_written",
        session_id=str(session_id),
        number=number,
        error=type(error).__name__,
    )


@job("write_activities", attempts=JOB_ATTEMPTS, when_dead=report_none_written)
async def write_activities(services: WorkerServices, *, session_id: UUID, number: int) -> None:
    """Make an attempt; `RetryLater` when another is due."""
    writer, database = services.providers.writer, services.database
    if writer is None:
        return
    asked = await asked_activities(database, session_id, number, TRIES)
    if asked is None or not asked.count:
        return
    if not await take_provider_call(database, writer.name, writer.calls_per_minute):
        pause = LONGEST_PAUSE_SECONDS * random.uniform(0.5, 1)  # noqa: S311
        raise RetryLater(pause, "the provider's calls of this minute are used")
    request = WritingRequest(
        activity_prompt(asked), answer_schema(asked), TEMPERATURE, TIMEOUT_SECONDS
    )
    watch, outcome = Stopwatch(), WritingOutcome("", {}, 0)
    failure: ProviderError | None = None
    with watch:
        try:
            outcome = await writer.write(request)
        except ProviderError as error:
            failure = error
        except Exception as error:
            failure = ProviderFailed("", detail=type(error).__name__)
    attempt = _attempt(writer, asked, request, outcome, failure, watch)
    kept = await _kept(database, session_id, asked, attempt)
    if not kept and _may_pass(failure):
        raise RetryLater(_pause(failure), "nothing of an answer could be used")


def _attempt(
    writer: Writer,
    asked: ActivityRequest,
    request: WritingRequest,
    outcome: WritingOutcome,
    failure: ProviderError | None,
    watch: Stopwatch,
) -> WritingAttempt:
    took = failure or outcome
    return WritingAttempt(
        provider=writer.name,
        model=writer.model,
        level=asked.level,
        prompt=request.prompt[:MOST_CHARACTERS],
        answer=None if failure else _stored(outcome.text),
        outcome=_word(failure),
        duration_milliseconds=watch.milliseconds,
        usage=took.usage | ({"error": failure.detail} if failure and failure.detail else {}),
        cost_micro_usd=took.cost_micro_usd,
    )


def _stored(text: str) -> str:
    """A text as Postgres takes it: without the sign 0, and without halves of signs."""
    return text[:MOST_CHARACTERS].replace("\0", "").encode("utf-8", "replace").decode()


async def _kept(
    database: Database, session_id: UUID, asked: ActivityRequest, attempt: WritingAttempt
) -> int:
    """Checks and keeps what was written; gives how many activities there are that were not."""
    written = _checked(asked, attempt.answer) if attempt.answer is not None else NOTHING
    kept = await keep_written(database, session_id, attempt, written)
    log.info(
        "activities written",
        session_id=str(session_id),
        outcome=attempt.outcome,
        kept=kept,
        refused=len(written.reasons),
    )
    return kept


def _checked(asked: ActivityRequest, answer: str) -> Written:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return Written((), ({"place": 0, "problems": ["the answer is not one whole JSON value"]},))
    return checked_activities(asked, found.get("activities") if isinstance(found, dict) else None)


def _word(failure: ProviderError | None) -> str:
    match failure:
        case None:
            return "ANSWERED"
        case ProviderRefused():
            return "REFUSED"
        case ProviderTimedOut():
            return "TIMED_OUT"
        case _:
            return "FAILED"


def _may_pass(failure: ProviderError | None) -> bool:
    if isinstance(failure, ProviderFailed):
        wait = failure.retry_after_seconds or 0
        return failure.may_pass and wait <= LONGEST_PAUSE_SECONDS
    return failure is None


def _pause(failure: ProviderError | None) -> float:
    asked = failure.retry_after_seconds if isinstance(failure, ProviderFailed) else None
    return max(RETRY_SECONDS, asked or 0) * random.uniform(1, 1.2)  # noqa: S311
