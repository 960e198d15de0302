"""A worker whose provider only sleeps: `python -m bench.sleeping_worker URL MILLISECONDS`."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass

from db.core.pool import Database
from db.files.storage import open_storage
from jobs.core.worker import Worker
from jobs.providers.base import GenerationOutcome, GenerationRequest, ProviderLimits, Providers
from server.logs import configure_logs
from server.serving import make_bus, run
from settings import Settings, get_settings


@dataclass
class SleepingProvider:
    """Answers with the photo it got, after a while."""

    seconds: float
    name: str = "sleeping"
    makes: frozenset[str] | None = None
    limits: ProviderLimits = ProviderLimits(timeout_seconds=60, concurrent_calls=100)  # noqa: RUF009

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        """Sleep."""
        await asyncio.sleep(self.seconds)
        return GenerationOutcome(request.image, request.content_type, None, False, {})


async def work(settings: Settings, url: str, seconds: float) -> None:
    """Works until a signal, as `tallygraph worker` does."""
    database = await Database.connect(url, settings)
    bus = make_bus(settings, url)
    await bus.start(lambda: None)
    storage, providers = open_storage(settings), Providers(SleepingProvider(seconds))
    worker = Worker(settings, url, database, storage, providers, bus.publish)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    task = asyncio.create_task(worker.run())
    await stopped.wait()
    await worker.stop()
    await task
    await bus.stop()
    await database.close()


if __name__ == "__main__":
    configure_logs(get_settings())
    run(work(get_settings(), sys.argv[1], float(sys.argv[2]) / 1000))
