"""A worker in a process of its own whose provider takes as long as it is told, to be interfered with.

Arguments: the database's URL, and the provider's seconds.
"""

from __future__ import annotations

import asyncio
import sys

from db.core.pool import Database
from db.files.storage import open_storage
from jobs.core.worker import Worker
from jobs.providers.base import Providers
from settings import get_settings

from .helpers import FakeProvider


async def main(url: str, seconds: float) -> None:
    settings = get_settings()
    database = await Database.connect(url, settings)
    providers = Providers(FakeProvider(seconds=seconds))
    worker = Worker(settings, url, database, open_storage(settings), providers, lambda: None)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
