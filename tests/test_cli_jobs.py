"""`tallygraph jobs` shows what runs when, what waits and what was given up, and retries it."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import asyncpg

from tests.running import RunningServer, run_command

WIDE = {"COLUMNS": "200"}


def test_the_schedule_is_shown_with_its_next_runs(server: RunningServer) -> None:
    deadline = time.monotonic() + 20
    while True:
        shown = run_command(server.data_directory, "jobs", **WIDE)
        assert shown.returncode == 0, shown.stderr
        if "purge_old_rows" in shown.stdout or time.monotonic() > deadline:
            break
    for word in ("end_overdue_work", "* * * * *", "purge_old_rows", "17 3 * * *", "Next run"):
        assert word in shown.stdout


async def make_dead_job(owner: asyncpg.Connection) -> UUID:
    made: UUID = await owner.fetchval(
        "select app.bury_job('run_scheduled', '{\"name\": \"nothing\"}', null, 3, 'a reason')"
    )
    return made


async def test_a_dead_job_is_listed_and_retried_once(server: RunningServer) -> None:
    owner = await asyncpg.connect(server.owner_url)
    job_id = await make_dead_job(owner)
    try:
        listed = run_command(server.data_directory, "jobs", "dead", **WIDE)
        assert str(job_id) in listed.stdout
        assert "a reason" in listed.stdout
        assert "jobs dead" in run_command(server.data_directory, "jobs", **WIDE).stdout
        for _ in range(2):
            done = run_command(server.data_directory, "jobs", "retry", str(job_id))
            assert done.returncode == 0, done.stderr
        audited = await owner.fetchval(
            "select count(*) from audit_log where action = 'retry_job' and detail ->> 'jobId' = $1",
            str(job_id),
        )
        assert audited == 1
        assert str(job_id) not in run_command(server.data_directory, "jobs", "dead", **WIDE).stdout
    finally:
        await owner.execute("delete from dead_jobs where id = $1", job_id)
        await owner.close()


def test_an_unknown_job_is_one_clear_line(server: RunningServer) -> None:
    for job in (str(uuid4()), "no id"):
        done = run_command(server.data_directory, "jobs", "retry", job)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert job in done.stderr
        assert "jobs dead" in done.stderr
