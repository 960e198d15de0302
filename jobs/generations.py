"""Runs one generation: photo from storage, provider, result into storage, ledger and history."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from uuid import UUID, uuid5

import structlog

from db.core.errors import ErrorCode
from db.core.outages import passes_soon
from db.core.pool import Database
from db.files.storage import EXTENSIONS, Storage, generation_path
from db.generations.operations import (
    AttemptFailure,
    MadeGeneration,
    RunnableGeneration,
    Wait,
    asked_for,
    end_attempt,
    fail_generation,
    finish_generation,
    give_up_overdue_generations,
    is_cancelled,
    recorded_result_path,
    start_generation,
    take_provider_call,
)
from db.uploads.operations import known_files
from jobs.core.declare import RetryLater, WorkerServices, every, job, listener
from jobs.credits import expire_holds
from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    LimitedProvider,
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    ProviderTimedOut,
    Stopwatch,
)

# A generation that still cannot even be begun after so many tries, about ten minutes, is given up.
JOB_ATTEMPTS = 16
AT_ONCE = 500
FILE_ATTEMPTS = 8
RETRY_DELAY_SECONDS = 1.0
LONGEST_RETRY_DELAY_SECONDS = 60.0
# A result that was paid for waits this long, in all about 15 s, for a database that restarts.
FINISH_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)

_FAILED = "The generation could not be made. No credit was spent; try again in a moment."

log = structlog.get_logger(__name__)


class StorageFailed(Exception):
    """The storage did not give the photo or take the result; the provider is not to blame."""


def result_path(generation: RunnableGeneration, attempt: int, content_type: str) -> str:
    """Where an attempt puts its result: never where another attempt, perhaps fenced, puts its."""
    name = uuid5(generation.id, f"attempt {attempt}")
    return generation_path(generation.user_id, name, content_type)


class GenerationRun:
    """One run of a generation by this worker; safe to repeat, whatever happened before."""

    def __init__(self, services: WorkerServices, generation_id: UUID) -> None:
        self.generation_id = generation_id
        self._services = services
        self._making: asyncio.Task[MadeGeneration] | None = None
        self._called_off = False

    def call_off(self) -> None:
        """The user cancelled the generation: the provider is left alone."""
        self._called_off = True
        if self._making is not None:
            self._making.cancel()

    async def run(self) -> None:
        """Make one attempt; `RetryLater` when another is due, else the generation has ended."""
        services = self._services
        asked = await asked_for(services.database, self.generation_id)
        if asked is None:
            return
        provider = services.providers.of(asked.tool_id)
        limits = provider.limits
        begun = await start_generation(
            services.database,
            self.generation_id,
            provider.name,
            limits.attempts,
            limits.calls_per_minute,
        )
        services.wake()
        if begun is None:
            return
        if isinstance(begun, Wait):
            # Those that wait come back one after the other.
            seconds = begun.seconds + random.uniform(0, 1)  # noqa: S311
            raise RetryLater(seconds, "the provider rests, or its calls of this minute are used")
        watch = Stopwatch()
        try:
            making = _made(services, provider, begun, asked.names, watch)
            self._making = asyncio.create_task(making)
            made = await _result_of(self._making)
        except Exception as error:
            await self._not_made(begun, provider, watch, error)
        except asyncio.CancelledError:
            if not self._called_off:
                raise
            await self._end(begun, provider, watch, AttemptFailure.CANCELLED, None)
        else:
            await _finish_with_retries(services, begun, made)
            await _forget_earlier_attempts(services.storage, begun)

    async def _not_made(
        self,
        generation: RunnableGeneration,
        provider: LimitedProvider,
        watch: Stopwatch,
        error: Exception,
    ) -> None:
        outcome = _outcome_of(error)
        await self._end(generation, provider, watch, outcome, error)
        if outcome is AttemptFailure.REFUSED:
            await self._fail(generation, ErrorCode.PROVIDER_REFUSED, error, None)
        elif generation.attempts_left > 0 and _may_pass(error):
            delay = _retry_delay(generation, provider, error)
            raise RetryLater(delay, describe(error)) from error
        else:
            log.error(
                "generation failed",
                generation_id=str(generation.id),
                provider=provider.name,
                reason=describe(error),
                exc_info=error,
            )
            await self._fail(generation, ErrorCode.PROVIDER_FAILED, error, describe(error))

    async def _end(
        self,
        generation: RunnableGeneration,
        provider: LimitedProvider,
        watch: Stopwatch,
        outcome: AttemptFailure,
        error: Exception | None,
    ) -> None:
        took = error if isinstance(error, ProviderError) else ProviderError("")
        await end_attempt(
            self._services.database,
            generation,
            provider.name,
            outcome,
            watch.milliseconds,
            describe(error) if error else None,
            took.usage,
            took.cost_micro_usd,
        )

    async def _fail(
        self,
        generation: RunnableGeneration,
        code: ErrorCode,
        error: Exception,
        dead_error: str | None,
    ) -> None:
        message = error.public_message if isinstance(error, ProviderError) else _FAILED
        await fail_generation(
            self._services.database,
            generation.id,
            code,
            message,
            attempt=generation.attempt,
            dead_error=dead_error,
        )
        self._services.wake()


async def _result_of(making: asyncio.Task[MadeGeneration]) -> MadeGeneration:
    """The task's result; it ends with whoever waits for it."""
    try:
        return await making
    finally:
        making.cancel()


def describe(error: Exception) -> str:
    """An error for admins: its kind, and its words when they were written to be read."""
    kind = type(error).__name__
    if not isinstance(error, ProviderError):
        return kind
    detail = f" [{error.detail}]" if error.detail else ""
    return f"{kind}: {error.public_message}{detail}"


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, ProviderFailed) or error.may_pass


def _outcome_of(error: Exception) -> AttemptFailure:
    match error:
        case ProviderRefused():
            return AttemptFailure.REFUSED
        case ProviderTimedOut():
            return AttemptFailure.TIMED_OUT
        case StorageFailed():
            return AttemptFailure.STORAGE_FAILED
        case _:
            return AttemptFailure.FAILED


def _retry_delay(
    generation: RunnableGeneration, provider: LimitedProvider, error: Exception
) -> float:
    """Twice as long after each attempt, a little different for each; longer if it was asked for."""
    before = max(provider.limits.attempts - generation.attempts_left - 1, 0)
    delay = min(RETRY_DELAY_SECONDS * 2.0**before, LONGEST_RETRY_DELAY_SECONDS)
    asked = error.retry_after_seconds if isinstance(error, ProviderFailed) else None
    return max(delay, asked or 0) * random.uniform(1, 1.2)  # noqa: S311


async def _made(
    services: WorkerServices,
    provider: LimitedProvider,
    generation: RunnableGeneration,
    names: Mapping[str, str],
    watch: Stopwatch,
) -> MadeGeneration:
    try:
        image = await services.storage.get(generation.upload_path)
        mask = generation.mask_path and await services.storage.get(generation.mask_path)
    except Exception as error:
        raise StorageFailed from error
    request = GenerationRequest(
        tool_id=generation.tool_id,
        parameters=generation.parameters,
        image=image,
        content_type=generation.upload_content_type,
        mask=mask or None,
        names=names,
        may_call_again=partial(
            take_provider_call, services.database, provider.name, provider.limits.calls_per_minute
        ),
    )
    outcome = await provider.generate(request, watch)
    path = await _stored(services.storage, generation, outcome)
    return MadeGeneration(
        result=outcome.analysis,
        result_path=path,
        result_content_type=outcome.content_type if path else None,
        made_offline=outcome.made_offline,
        provider=provider.name,
        latency_milliseconds=watch.milliseconds,
        usage=outcome.usage,
        cost_micro_usd=outcome.cost_micro_usd,
        is_preview=outcome.is_preview,
        result_bytes=len(outcome.image) if path and outcome.image else 0,
    )


async def _stored(
    storage: Storage, generation: RunnableGeneration, outcome: GenerationOutcome
) -> str | None:
    if outcome.image is None or outcome.content_type is None:
        return None
    path = result_path(generation, generation.attempt, outcome.content_type)
    try:
        await storage.put(path, outcome.image)
    except Exception as error:
        raise StorageFailed from error
    return path


async def _forget_earlier_attempts(storage: Storage, generation: RunnableGeneration) -> None:
    """Delete what attempts whose workers died may have left in storage."""
    for attempt in range(1, generation.attempt):
        for content_type in EXTENSIONS:
            await storage.delete(result_path(generation, attempt, content_type))


async def _finish_with_retries(
    services: WorkerServices, generation: RunnableGeneration, made: MadeGeneration
) -> None:
    for delay in FINISH_DELAYS_SECONDS:
        try:
            return await _finish(services, generation, made)
        except Exception as error:
            if not passes_soon(error):
                raise
            log.warning("generation not recorded yet", error=error, retry_seconds=delay)
            await asyncio.sleep(delay)
    return await _finish(services, generation, made)


async def _finish(
    services: WorkerServices, generation: RunnableGeneration, made: MadeGeneration
) -> None:
    finished = await finish_generation(services.database, generation, made)
    services.wake()
    if finished or made.result_path is None:
        return
    # It may be recorded all the same: by our own try before, whose answer was lost.
    if await recorded_result_path(services.database, generation.id) != made.result_path:
        await services.storage.delete(made.result_path)


class RunsUnderWay(dict[str, GenerationRun]):
    """A worker's runs, by the ids of their generations."""


async def give_up(services: WorkerServices, *, generation_id: UUID, error: Exception) -> None:
    """No attempt could be begun: the generation fails, and its job is kept for an admin."""
    await fail_generation(
        services.database,
        generation_id,
        ErrorCode.PROVIDER_FAILED,
        _FAILED,
        dead_error=type(error).__name__,
    )
    services.wake()


@job("run_generation", attempts=JOB_ATTEMPTS, when_dead=give_up)
async def run_generation(services: WorkerServices, *, generation_id: UUID) -> None:
    """Make an attempt at a generation."""
    runs = services.state(RunsUnderWay)
    run = runs[str(generation_id)] = GenerationRun(services, generation_id)
    try:
        await run.run()
    finally:
        del runs[str(generation_id)]


async def report_picture_left(*, path: str, error: Exception) -> None:
    """Says that a picture nobody shows is still there; the nightly sweep removes it."""
    log.error("generation.picture_left", path=path, error=type(error).__name__)


@job("remove_picture", attempts=FILE_ATTEMPTS, when_dead=report_picture_left)
async def remove_picture(database: Database, storage: Storage, *, path: str) -> None:
    """Remove the picture of a generation that was deleted, unless another one shows it."""
    if not await known_files(database, [path]):
        await storage.delete_picture(path)


@listener("generation_cancelled")
async def call_off_cancelled(services: WorkerServices, payload: str) -> None:
    """Leave the provider alone when a user has called a generation off: its row says whether."""
    run = services.state(RunsUnderWay).get(payload)
    if run is not None and await is_cancelled(services.database, run.generation_id):
        run.call_off()


@every("* * * * *")
async def end_overdue_work(database: Database) -> None:
    """End generations that took too long, then release every other hold whose time is over."""
    ended = await give_up_overdue_generations(database, AT_ONCE)
    expired = await expire_holds(database)
    if ended or expired:
        log.warning("overdue work ended", generations=ended, holds=expired)
