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


async def test_last_runs_are_shown_whole_in_a_small_terminal(server: RunningServer) -> None:
    owner = await asyncpg.connect(server.owner_url)
    await owner.execute(
        "insert into scheduled_runs (name, times, next_run_at, last_started_at, last_finished_at,"
        " last_milliseconds, last_result, last_error) values"
        " ('a_work_of_this_test', '5 4 1 1 *', '2031-01-01 04:05Z', '2030-01-01 04:05Z',"
        " '2030-01-01 04:06Z', 61234, 'FAILED', 'ValueError'),"
        " ('another_of_this_test', '5 4 1 1 *', '2031-01-01 04:05Z', '2030-01-01 04:05Z',"
        " '2030-01-01 04:06Z', 7, 'SUCCEEDED', null)"
    )
    try:
        shown = run_command(server.data_directory, "jobs", COLUMNS="80").stdout
    finally:
        await owner.execute("delete from scheduled_runs where name like '%_of_this_test'")
        await owner.close()
    assert max(map(len, shown.splitlines())) <= 80
    lines = {
        line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines() if line.strip()
    }
    assert lines["another_of_this_test"] == "5 4 1 1 * 01-01 04:06 7 ms succeeded 01-01 04:05"
    assert lines["a_work_of_this_test"].startswith("5 4 1 1 * 01-01 04:06 61.2 s failed:")
    assert "ValueError" in shown


async def make_dead_job(owner: asyncpg.Connection) -> UUID:
    made: UUID = await owner.fetchval(
        "select app.move_to_dead_letters('run_scheduled', '{\"name\": \"nothing\"}', null, 3, 'a reason')"
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
        for shown_id in (str(job_id), f"deadJob_{job_id}"):
            done = run_command(server.data_directory, "jobs", "retry", shown_id)
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
