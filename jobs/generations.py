"""Runs one generation: photo from storage, provider, result into storage, ledger and history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog

from db.actor import SERVICE
from db.errors import DomainError, ErrorCode
from db.generations.operations import (
    RunnableGeneration,
    fail_generation,
    finish_generation,
    recorded_result_path,
    start_generation,
)
from db.outages import cannot_serve
from db.pool import Database
from db.storage import Storage, generation_path
from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    Provider,
    ProviderFailed,
    ProviderRefused,
)

PROVIDER_TIMEOUT_SECONDS = 120.0
# A result that was paid for waits this long, in all about 15 s, for a database that restarts.
FINISH_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)

_FAILED = "The generation could not be made. No credit was spent; try again in a moment."

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GenerationServices:
    """What running a generation needs; `wake` tells this process that events were committed."""

    database: Database
    storage: Storage
    provider: Provider
    wake: Callable[[], None]
    provider_timeout_seconds: float = PROVIDER_TIMEOUT_SECONDS


async def run_generation(
    services: GenerationServices, generation_id: UUID, *, attempts_left: int = 0
) -> None:
    """Run a generation to its end; safe to call again, whatever happened before.

    While attempts are left, everything but a refusal is raised, so that the caller tries again;
    on the last attempt it becomes the generation's failure.
    """
    async with services.database.transaction(SERVICE) as transaction:
        generation = await start_generation(transaction, generation_id)
    services.wake()
    if generation is None:
        return
    try:
        outcome = await _made(services, generation)
        result_path = await _stored(services, generation, outcome)
    except ProviderRefused as refusal:
        await _fail(services, generation_id, ErrorCode.PROVIDER_REFUSED, refusal.public_message)
    except Exception as error:
        if attempts_left > 0:
            raise
        log.exception("generation failed", generation_id=str(generation_id))
        message = error.public_message if isinstance(error, ProviderFailed) else _FAILED
        await _fail(services, generation_id, ErrorCode.PROVIDER_FAILED, message)
    else:
        await _finish_patiently(services, generation_id, outcome, result_path)


async def _made(services: GenerationServices, generation: RunnableGeneration) -> GenerationOutcome:
    image = await services.storage.get(generation.upload_path)
    request = GenerationRequest(
        tool_id=generation.tool_id,
        parameters=generation.parameters,
        image=image,
        content_type=generation.upload_content_type,
    )
    async with asyncio.timeout(services.provider_timeout_seconds):
        outcome = await services.provider.generate(request)
    log.info("generation made", generation_id=str(generation.id), usage=outcome.usage)
    return outcome


async def _stored(
    services: GenerationServices, generation: RunnableGeneration, outcome: GenerationOutcome
) -> str | None:
    if outcome.image is None or outcome.content_type is None:
        return None
    path = generation_path(generation.user_id, generation.id, outcome.content_type)
    await services.storage.put(path, outcome.image)
    return path


async def _finish_patiently(
    services: GenerationServices,
    generation_id: UUID,
    outcome: GenerationOutcome,
    result_path: str | None,
) -> None:
    for delay in FINISH_DELAYS_SECONDS:
        try:
            return await _finish(services, generation_id, outcome, result_path)
        except Exception as error:
            if not _passes(error):
                raise
            log.warning("generation not recorded yet", error=repr(error), retry_seconds=delay)
            await asyncio.sleep(delay)
    return await _finish(services, generation_id, outcome, result_path)


def _passes(error: Exception) -> bool:
    """Whether the database will soon take what it refused: it is away, busy, or had a deadlock."""
    if isinstance(error, DomainError):
        return error.code is ErrorCode.SERVICE_UNAVAILABLE
    return cannot_serve(error) or isinstance(error, asyncpg.TransactionRollbackError)


async def _finish(
    services: GenerationServices,
    generation_id: UUID,
    outcome: GenerationOutcome,
    result_path: str | None,
) -> None:
    async with services.database.transaction(SERVICE) as transaction:
        finished = await finish_generation(
            transaction,
            generation_id,
            result=outcome.analysis,
            result_path=result_path,
            result_content_type=outcome.content_type if result_path else None,
            made_offline=outcome.made_offline,
        )
        # Another worker may have finished it with this very file.
        recorded = await recorded_result_path(transaction, generation_id)
    services.wake()
    if not finished and result_path is not None and recorded != result_path:
        await services.storage.delete(result_path)


async def _fail(
    services: GenerationServices, generation_id: UUID, code: ErrorCode, message: str
) -> None:
    async with services.database.transaction(SERVICE) as transaction:
        await fail_generation(transaction, generation_id, code, message)
    services.wake()
