"""A worker in a process of its own whose provider takes a minute, to be killed at work."""

from __future__ import annotations

import asyncio
import sys

from db.pool import Database
from db.storage import open_storage
from jobs.worker import Worker
from settings import get_settings

from .house import FakeProvider


async def main(url: str) -> None:
    settings = get_settings()
    database = await Database.connect(url, settings)
    provider = FakeProvider(seconds=60)
    worker = Worker(settings, url, database, open_storage(settings), provider, lambda: None)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
