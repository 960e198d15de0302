"""`tallygraph worker` with a key of Gemini: it is killed, and it tells nobody the key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import Storage
from jobs.providers.gemini import GeminiProvider
from settings import Settings

from ..conftest import MakeUser
from ..fakes.gemini import KEY, FakeGemini
from ..running import ROOT, environment
from .helpers import (
    MakeSettings,
    Start,
    create_generation,
    ended,
    eventually,
    generation,
    logged,
    ready_upload,
    wallet,
)


@contextmanager
def gemini_worker(
    cluster: EmbeddedDatabase, settings: Settings, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The command on the tests' database, its log in a file; killed at the end."""
    variables = {
        "DATABASE_URL": cluster.owner_url,
        "GEMINI_API_KEY": KEY,
        "GEMINI_API_URL": settings.gemini_api_url,
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
    }
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "cli", "worker"],
            cwd=ROOT,
            env=environment(settings.data_directory, **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def test_a_killed_workers_call_is_made_by_another_and_no_log_has_the_key(
    gemini: FakeGemini,
    with_gemini: MakeSettings,
    start: Start,
    cluster: EmbeddedDatabase,
    database: Database,
    storage: Storage,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    actor, log, settings = await make_user(), tmp_path / "log", with_gemini()
    upload_id = await ready_upload(database, storage, actor)
    made = [
        await create_generation(database, actor, upload_id, parameters={"color": color})
        for color in ("#101010", "#202020")
    ]
    gemini.script = ["wrong key", "never"]
    with gemini_worker(cluster, settings, log) as worker:

        async def asks_again() -> bool:
            return len(gemini.asked) == 2

        async def one_failed() -> UUID | None:
            failed: UUID | None = await owner.fetchval(
                "select id from generations where id = any ($1) and status = 'FAILED'", made
            )
            return failed

        await eventually(asks_again, 100)
        await eventually(one_failed, 30)
        # The worker runs both at once: which of them asked first is chance.
        failing = await one_failed()
        (killed,) = [one for one in made if one != failing]
        assert failing is not None
        assert (await generation(owner, failing))["error_code"] == "PROVIDER_FAILED"
        assert not await owner.fetchval("select is_preview from tools where id = 'hairstyle'")
        worker.kill()
        worker.wait()
    assert (await generation(owner, killed))["status"] == "RUNNING"
    start(GeminiProvider(settings))
    row = await ended(owner, killed, 30)
    assert (row["status"], row["attempts"], row["made_offline"]) == ("SUCCEEDED", 2, False)
    assert await logged(owner, killed) == ["ABANDONED", "SUCCEEDED"]
    assert await wallet(owner, actor) == (9, 0)
    told = log.read_text()
    assert "HTTP 400 INVALID_ARGUMENT" in told
    assert KEY not in told
    for table in ("generations", "ai_generation_logs", "dead_jobs", "events"):
        rows = await owner.fetch(f"select t::text as whole from {table} t")
        assert not [row for row in rows if KEY in row["whole"]], table
