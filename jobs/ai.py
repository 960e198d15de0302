"""Runs one chat's reply or analysis: data, assistant, what it writes told while it does, ledger."""

from __future__ import annotations

import asyncio
import hashlib
import random
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import structlog

from db.ai.operations import (
    RunCost,
    RunOutcome,
    StartedRun,
    WaitingRun,
    end_run_attempt,
    fail_run,
    finish_run,
    give_up_overdue_runs,
    run_is_cancelled,
    start_run,
)
from db.analyses.operations import AnalysisContext, read_analysis_context
from db.chat.operations import read_context
from db.core.errors import ErrorCode
from db.core.outages import passes_soon
from db.core.pool import Database
from db.generations.operations import take_provider_call
from jobs.assistants import choose_assistant
from jobs.assistants.analysis import picture_in
from jobs.assistants.base import AnalysisRequest, Assistant, ChatRequest
from jobs.assistants.bill import ModelBill
from jobs.assistants.pieces import storable_pieces
from jobs.assistants.writer import OpenReply, ReplyGone, ReplyLost, ReplyWriter
from jobs.core.declare import RetryLater, WorkerServices, every, job, listener
from jobs.providers.base import (
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    ProviderTimedOut,
)

# A run that still cannot even be begun after so many tries, about ten minutes, is given up.
JOB_ATTEMPTS = 16
AT_ONCE = 500
RETRY_DELAY_SECONDS = 1.0
LONGEST_RETRY_DELAY_SECONDS = 30.0
# An answer that was paid for waits this long, in all about 15 s, for a database that restarts.
FINISH_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
TOO_LONG = "The answer took too long. No credit was spent; ask again."
_FAILED = "The answer could not be written. No credit was spent; try again in a moment."
_BROKE_OFF = "The answer broke off. No credit was spent; ask again."
_GONE = "The profile was deleted. No credit was spent."
_EMPTY = "The AI provider had nothing to say. No credit was spent; ask something else."

log = structlog.get_logger(__name__)


class LimitedAssistant:
    """A worker's assistant, which answers no more at once than it may."""

    def __init__(self, services: WorkerServices) -> None:
        self.assistant: Assistant = choose_assistant(services.settings)
        self.calls = asyncio.Semaphore(self.assistant.limits.concurrent_calls)


class AiRunUnderWay:
    """One run by this worker; safe to repeat, whatever happened before."""

    def __init__(self, services: WorkerServices, run_id: UUID) -> None:
        self.run_id = run_id
        self._services = services
        self._limited = services.of(LimitedAssistant)
        self._answering: asyncio.Task[None] | None = None
        self._called_off = False
        self._bill = ModelBill()
        self._began: float | None = None
        self._first: float | None = None
        self._reply: OpenReply | None = None

    def call_off(self) -> None:
        """The user cancelled it: the provider is left alone."""
        self._called_off = True
        if self._answering is not None:
            self._answering.cancel()

    async def run(self) -> None:
        """Make one attempt; `RetryLater` when another is due, else the run has ended."""
        assistant, database = self._limited.assistant, self._services.database
        limits = assistant.limits
        begun = await start_run(
            database, self.run_id, assistant.name, limits.attempts, limits.calls_per_minute
        )
        self._services.wake()
        if begun is None:
            return
        if isinstance(begun, WaitingRun):
            seconds = begun.seconds + random.uniform(0, 1)  # noqa: S311
            raise RetryLater(seconds, "the provider rests, or its calls of this minute are used")
        try:
            self._answering = asyncio.create_task(self._answer(begun))
            await _result_of(self._answering)
        except ReplyGone:
            await self._end(begun, RunOutcome.CANCELLED, None)
            # Unless it was called off, what it was for is deleted: its credits go back.
            await fail_run(database, begun.id, ErrorCode.NOT_FOUND, _GONE, attempt=begun.attempt)
        except Exception as error:
            await self._not_made(begun, error)
        except asyncio.CancelledError:
            if not self._called_off:
                raise
            await self._end(begun, RunOutcome.CANCELLED, None)

    async def _answer(self, run: StartedRun) -> None:
        """The answer, kept and told while it is written, then recorded."""
        limits = self._limited.assistant.limits
        async with self._limited.calls:
            self._began = perf_counter()
            try:
                async with asyncio.timeout(limits.timeout_seconds):
                    if run.feature == "CHAT":
                        made: str | dict[str, Any] = await self._written(run)
                    else:
                        made = await self._analysed(run)
            except TimeoutError as error:
                raise ProviderTimedOut(TOO_LONG, detail="the attempt's time is over") from error
        await self._finish(run, made)

    async def _written(self, run: StartedRun) -> str:
        """The text of a reply, told piece by piece."""
        context = await read_context(self._services.database, run.id, run.context_tokens)
        if context is None:
            raise ReplyGone
        request = ChatRequest(
            name=context.name,
            analysis=context.analysis,
            locale=context.locale,
            messages=context.messages,
            model=run.model,
            max_output_tokens=run.max_output_tokens,
            user=_name_of(run),
        )
        reply = self._reply = self._services.of(ReplyWriter).open(run.id, run.attempt)
        pieces = []
        try:
            written = self._limited.assistant.reply(request, self._bill)
            async for told in storable_pieces(written):
                self._first = self._first or perf_counter()
                pieces.append(told)
                reply.add(told)
        except Exception:
            # What is on its way comes before the end.
            with suppress(ReplyGone, ReplyLost):
                await reply.settled()
            raise
        await reply.settled()
        text = "".join(pieces)
        if not text.strip():
            raise ProviderFailed(_EMPTY, may_pass=False, detail="no text")
        return text

    async def _analysed(self, run: StartedRun) -> dict[str, Any]:
        """The analysis of a profile."""
        database = self._services.database
        context = await read_analysis_context(database, run.id, run.context_tokens)
        if context is None:
            raise ReplyGone
        assistant = self._limited.assistant
        request = AnalysisRequest(
            name=context.name,
            known=context.known,
            messages=context.messages,
            picture=await self._picture(context),
            locale=context.locale,
            model=run.model,
            max_output_tokens=run.max_output_tokens,
            user=_name_of(run),
            may_call_again=partial(
                take_provider_call, database, assistant.name, assistant.limits.calls_per_minute
            ),
        )
        return await assistant.analyse(request, self._bill)

    async def _picture(self, context: AnalysisContext) -> tuple[str, bytes] | None:
        """The profile's small picture; an analysis goes on without one."""
        if context.thumbnail_path is None:
            return picture_in(context.thumbnail)
        try:
            return "image/jpeg", await self._services.storage.get(context.thumbnail_path)
        except FileNotFoundError:
            return None

    async def _finish(self, run: StartedRun, made: str | dict[str, Any]) -> None:
        for delay in (*FINISH_DELAYS_SECONDS, None):
            try:
                await finish_run(
                    self._services.database,
                    run,
                    self._cost(),
                    text=made if isinstance(made, str) else None,
                    made=made if isinstance(made, dict) else None,
                    made_offline=self._limited.assistant.is_offline,
                )
                return self._services.wake()
            except Exception as error:
                if delay is None or not passes_soon(error):
                    raise
                log.warning("answer not recorded yet", error=error, retry_seconds=delay)
                await asyncio.sleep(delay)
        return None

    async def _not_made(self, run: StartedRun, error: Exception) -> None:
        outcome = _outcome_of(error)
        await self._end(run, outcome, error)
        # What was told cannot be taken back, and another attempt would say something else.
        has_begun = self._reply is not None and self._reply.has_begun
        if outcome is RunOutcome.REFUSED:
            await self._fail(run, ErrorCode.PROVIDER_REFUSED, error)
        elif run.attempts_left > 0 and not has_begun and _may_pass(error):
            raise RetryLater(_retry_delay(run, error), _describe(error)) from error
        else:
            # Without the traceback: what its frames hold is what people have written.
            log.error("answer failed", run_id=str(run.id), reason=_describe(error))
            await self._fail(run, ErrorCode.PROVIDER_FAILED, error, has_begun=has_begun)

    async def _end(self, run: StartedRun, outcome: RunOutcome, error: Exception | None) -> None:
        described = _describe(error) if error else None
        await end_run_attempt(self._services.database, run, outcome, self._cost(), described)

    async def _fail(
        self, run: StartedRun, code: ErrorCode, error: Exception, *, has_begun: bool = False
    ) -> None:
        message = error.public_message if isinstance(error, ProviderError) else _FAILED
        await fail_run(
            self._services.database,
            run.id,
            code,
            _BROKE_OFF if has_begun else message,
            attempt=run.attempt,
        )
        self._services.wake()

    def _cost(self) -> RunCost:
        now = perf_counter()
        began = self._began or now
        return RunCost(
            provider=self._limited.assistant.name,
            milliseconds=round((now - began) * 1000),
            first_milliseconds=None if self._first is None else round((self._first - began) * 1000),
            usage=self._bill.usage(),
            cost_micro_usd=self._bill.cost_micro_usd,
            tokens=self._bill.tokens,
        )


def _name_of(run: StartedRun) -> str:
    """Whom it is for, as the provider is told: by it nobody is found."""
    return hashlib.sha256(run.user_id.bytes).hexdigest()[:32]


async def _result_of(answering: asyncio.Task[None]) -> None:
    """Waits for the task, which ends with whoever waits."""
    try:
        await answering
    finally:
        answering.cancel()


def _describe(error: Exception) -> str:
    """An error for admins: its kind, and its words when they were written to be read."""
    kind = type(error).__name__
    if not isinstance(error, ProviderError):
        return f"{kind} at {_place(error)}"
    detail = f" [{error.detail}]" if error.detail else ""
    return f"{kind}: {error.public_message}{detail}"


def _place(error: Exception) -> str:
    """Where an error was raised."""
    *_, last = traceback.extract_tb(error.__traceback__) or [None]
    return f"{Path(last.filename).name}:{last.lineno}" if last else "?"


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, ProviderFailed) or error.may_pass


def _outcome_of(error: Exception) -> RunOutcome:
    if isinstance(error, ProviderRefused):
        return RunOutcome.REFUSED
    return RunOutcome.TIMED_OUT if isinstance(error, ProviderTimedOut) else RunOutcome.FAILED


def _retry_delay(run: StartedRun, error: Exception) -> float:
    """Twice as long after each attempt, a little different for each; longer if it was asked for."""
    delay = min(RETRY_DELAY_SECONDS * 2.0 ** (run.attempt - 1), LONGEST_RETRY_DELAY_SECONDS)
    asked = error.retry_after_seconds if isinstance(error, ProviderFailed) else None
    return max(delay, asked or 0) * random.uniform(1, 1.2)  # noqa: S311


class AiRunsUnderWay(dict[str, AiRunUnderWay]):
    """A worker's runs, by their ids."""


async def give_up_run(services: WorkerServices, *, run_id: UUID, error: Exception) -> None:
    """No attempt could be begun: the run fails."""
    log.error("answer given up", run_id=str(run_id), error=type(error).__name__)
    await fail_run(services.database, run_id, ErrorCode.PROVIDER_FAILED, _FAILED)
    services.wake()


@job("run_ai", attempts=JOB_ATTEMPTS, when_dead=give_up_run)
async def run_ai(services: WorkerServices, *, run_id: UUID) -> None:
    """Make an attempt at a reply or an analysis."""
    runs = services.state(AiRunsUnderWay)
    run = runs[str(run_id)] = AiRunUnderWay(services, run_id)
    try:
        await run.run()
    finally:
        del runs[str(run_id)]


@listener("ai_run_cancelled")
async def call_off_cancelled_run(services: WorkerServices, payload: str) -> None:
    """Leave the provider alone when a user has called a run off: its row says whether."""
    run = services.state(AiRunsUnderWay).get(payload)
    if run is not None and await run_is_cancelled(services.database, run.run_id):
        run.call_off()


@every("* * * * *")
async def end_overdue_runs(database: Database) -> None:
    """End replies and analyses that took too long."""
    if ended := await give_up_overdue_runs(database, AT_ONCE):
        log.warning("overdue answers ended", runs=ended)
