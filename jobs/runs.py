"""Makes the calls of runs: dialling, following a call that is under way, and what it left."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from db.core.pool import Database
from db.files.storage import Storage, recording_path
from db.runs.operations import (
    CallToMake,
    RunState,
    begin_call,
    check_silent_calls,
    find_run,
    note_call,
    note_collected,
    redial_call,
    report_call,
)
from db.runs.tables import RunStatus
from jobs.core.declare import RetryLater, WorkerServices, every, job
from jobs.telephony import (
    CallNotPlaced,
    CallRecord,
    CallRefused,
    CallRequest,
    Telephony,
    choose_telephony,
)

# Beyond these, about ten minutes, a call that cannot be placed is given up.
PLACING_ATTEMPTS = 16
FOLLOWING_ATTEMPTS = 50
COLLECTING_ATTEMPTS = 12
SILENT_AT_ONCE = 500
# Providers work out the price of a call after its end.
COST_RETRY_SECONDS = 60.0
COST_COMES_WITHIN = timedelta(hours=1)
# What is further away took no place in its campaign's pace (`app.take_pace`).
LONGEST_PAUSE_SECONDS = 2.0
_NOT_PLACED = "The call could not be placed. Try again later."
_LOST = "Nothing was heard of this call any more."

log = structlog.get_logger(__name__)


async def give_up_call(services: WorkerServices, *, run_id: UUID, error: Exception) -> None:
    """The call fails, and its line is another's."""
    log.error("call not placed", run_id=str(run_id), error=type(error).__name__)
    await report_call(services.database, run_id, None, RunStatus.FAILED, 0, _NOT_PLACED)
    services.wake()


@job("place_call", attempts=PLACING_ATTEMPTS, when_dead=give_up_call)
async def place_call(services: WorkerServices, *, run_id: UUID) -> None:
    """Dial a run's number, once; then follow the call, where the provider does not tell of it."""
    telephony = services.of(choose_telephony)
    call = await begin_call(services.database, run_id, telephony.name)
    services.wake()
    if call is not None:
        await _await_turn(call)
        await _place(services, telephony, call)
    if not telephony.tells:
        await _follow(services, telephony, run_id)


async def _await_turn(call: CallToMake) -> None:
    """Wait for the call's place in the pace of its campaign."""
    wait_seconds = (call.dialled_at - datetime.now(UTC)).total_seconds()
    if wait_seconds > LONGEST_PAUSE_SECONDS:
        raise RetryLater(wait_seconds, "the campaign's pace, or its hours")
    if wait_seconds > 0:
        await asyncio.sleep(wait_seconds)


async def _place(services: WorkerServices, telephony: Telephony, call: CallToMake) -> None:
    request = CallRequest(call.run_id, call.phone_number, call.variables, call.definition)
    if call.was_dialled:
        age_seconds = (datetime.now(UTC) - call.dialled_at).total_seconds()
        if age_seconds < telephony.settles_seconds:
            raise RetryLater(telephony.settles_seconds - age_seconds, "another worker may dial")
        found = await telephony.find(request, call.dialled_at)
        if await note_call(services.database, call.run_id, found) is not None:
            return
        if not await redial_call(services.database, call):
            return
    try:
        placed = await telephony.place(request)
    except CallNotPlaced as error:
        raise RetryLater(error.retry_after_seconds, str(error)) from error
    except CallRefused as error:
        await report_call(services.database, call.run_id, None, RunStatus.FAILED, 0, str(error))
        services.wake()
        return
    await note_call(services.database, call.run_id, [placed])


@job("follow_call", attempts=FOLLOWING_ATTEMPTS)
async def follow_call(services: WorkerServices, *, run_id: UUID) -> None:
    """Ask the provider how far a call has come."""
    run = await find_run(services.database, run_id)
    if run is not None and run.provider_call_id is None:
        await _report_lost(services, run)
    else:
        await _follow(services, services.of(choose_telephony), run_id)


async def _report_lost(services: WorkerServices, run: RunState) -> None:
    call_id = run.provider_call_id
    await report_call(services.database, run.id, call_id, RunStatus.FAILED, 0, _LOST)
    services.wake()


async def _follow(services: WorkerServices, telephony: Telephony, run_id: UUID) -> None:
    run = await find_run(services.database, run_id)
    if run is None or run.has_ended or run.provider_call_id is None:
        return
    report = await telephony.look(run.provider_call_id)
    if report is None:
        await _report_lost(services, run)
        return
    await report_call(
        services.database,
        run_id,
        run.provider_call_id,
        report.status,
        report.duration_seconds,
        report.reason,
    )
    services.wake()
    if report.next_seconds is not None:
        raise RetryLater(report.next_seconds, "the call goes on")


async def report_not_collected(*, run_id: UUID, error: Exception) -> None:
    """The call has ended all the same; what it cost is not known."""
    log.error("call not collected", run_id=str(run_id), error=type(error).__name__)


@job("collect_call", attempts=COLLECTING_ATTEMPTS, when_dead=report_not_collected)
async def collect_call(services: WorkerServices, *, run_id: UUID) -> None:
    """Fetch what an ended call cost and left, and keep it, once."""
    run = await find_run(services.database, run_id)
    if run is None or not run.has_ended or run.is_collected or run.provider_call_id is None:
        return
    telephony = services.of(choose_telephony)
    record = await telephony.record(run.provider_call_id, run.duration_seconds)
    if record.cost_micro_usd is None and _may_cost_come(run):
        raise RetryLater(COST_RETRY_SECONDS, "the provider does not know yet what the call cost")
    path = await _stored(services.storage, run, record)
    await note_collected(
        services.database,
        run_id,
        cost_micro_usd=record.cost_micro_usd,
        usage=record.usage,
        transcript=record.transcript,
        recording_path=path,
    )
    services.wake()


def _may_cost_come(run: RunState) -> bool:
    return run.ended_at is not None and datetime.now(UTC) - run.ended_at < COST_COMES_WITHIN


async def _stored(storage: Storage, run: RunState, record: CallRecord) -> str | None:
    if record.recording is None:
        return None
    path = recording_path(run.organization_id, run.id)
    await storage.put(path, record.recording)
    return path


@every("* * * * *")
async def ask_after_calls(database: Database) -> None:
    """Have the provider asked about calls of which nothing was heard for half an hour."""
    if asked := await check_silent_calls(database, SILENT_AT_ONCE):
        log.warning("calls were silent", calls=asked)
