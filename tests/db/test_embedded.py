"""The embedded PostgreSQL starts anywhere, is shared, survives kill -9, and leaves no orphan."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from db.embedded import database as embedded
from db.embedded.cluster import OWNER_SECRET, Cluster
from db.embedded.database import (
    EmbeddedDatabase,
    EmbeddedDatabaseError,
    destroy_embedded,
    find_embedded,
    start_embedded,
)
from db.embedded.process import free_port, read_pid_file
from settings import Settings
from tests.prepared import prepare

ROOT = Path(__file__).resolve().parents[2]

# A parent that starts the database, in its main or another thread, says so, and waits to be killed.
PARENT = """
import sys, threading, time
from pathlib import Path
from db.embedded.database import start_embedded
from settings import Settings

def start():
    start_embedded(Settings(data_directory=Path(sys.argv[1])), durable=False)

if sys.argv[2] == "thread":
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings whose data folder has a name with spaces, below a folder closed to others."""
    closed = tmp_path / "a closed home"
    closed.mkdir(mode=0o700)
    settings = Settings(data_directory=closed / "my data")
    yield settings
    cluster = Cluster.of(settings)
    if server := read_pid_file(cluster.data):
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: read_pid_file(cluster.data) is None)
    destroy_embedded(settings)


def test_a_port_that_another_database_takes_meanwhile_is_left_to_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Settings(data_directory=tmp_path / "other")
    first = start_embedded(other, durable=False)
    looked: list[int | None] = []

    def look(preferred: int | None) -> int:
        looked.append(preferred)
        return first.port if len(looked) == 1 else free_port(preferred)

    monkeypatch.setattr(embedded, "free_port", look)
    # What it said of the port is written by a process of its own, and may come too late.
    monkeypatch.setattr(embedded, "_end_of_log", lambda _: "")
    try:
        second = start_embedded(settings, durable=False)
        assert second.port != first.port
        assert len(looked) == 2
        second.stop()
    finally:
        first.stop()
        destroy_embedded(other)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def start(settings: Settings, report: Callable[[str], None] = print) -> EmbeddedDatabase:
    return start_embedded(settings, durable=False, report=report)


def start_in_another_process(settings: Settings, thread: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(settings.data_directory), thread],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    return process


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_starts_stops_and_starts_again_with_its_data(settings: Settings) -> None:
    database = start(settings)
    assert database.running
    assert database.owned
    await ask(database.owner_url, "create table kept as select 7 as number")
    database.stop()
    database.stop()
    assert find_embedded(settings) is None

    again = start(settings)
    assert again.owner_url == database.owner_url
    assert await ask(again.owner_url, "select number from kept") == 7
    again.stop()


async def test_the_owner_is_no_superuser_and_passwords_are_needed(settings: Settings) -> None:
    database = start(settings)
    owner = "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles"
    rights = await ask(
        database.owner_url,
        f"select row(rights.*)::text from ({owner} where rolname = current_user) rights",
    )
    assert rights == "(f,t,t,f)"
    assert await ask(database.owner_url, "select current_setting('timezone')") == "UTC"
    idle = "select current_setting('idle_in_transaction_session_timeout')"
    assert await ask(database.owner_url, idle) == "1min"
    assert await ask(database.superuser_url, "select rolsuper from pg_roles where rolname=user")
    trusted = "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"
    assert await ask(database.superuser_url, trusted) == 0
    wrong = database.owner_url.replace(database.owner_password, "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(wrong, "select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(database.superuser_url.replace(database.superuser_password, ""), "select 1")
    secret = settings.secrets_directory / OWNER_SECRET
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert database.owner_password not in repr(database)
    assert database.owner_password not in database.log_path.read_text()
    database.stop()


def test_a_running_database_is_shared_and_left_to_its_starter(settings: Settings) -> None:
    prepare(settings)
    database = start(settings)
    found = find_embedded(settings)
    assert found
    assert found.owner_url == database.owner_url
    shared = start(settings)
    assert shared.owner_url == database.owner_url
    assert not shared.owned
    shared.stop()
    assert database.running
    with pytest.raises(EmbeddedDatabaseError, match="is running"):
        destroy_embedded(settings)
    database.stop()
    assert not shared.running


def test_two_that_start_at_once_share_one_server(settings: Settings) -> None:
    started: list[EmbeddedDatabase] = []
    threads = [threading.Thread(target=lambda: started.append(start(settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(database.owned for database in started) == [False, True]
    assert len({database.owner_url for database in started}) == 1
    for database in started:
        database.stop()
    assert find_embedded(settings) is None


@pytest.mark.parametrize("thread", ["main", "thread"])
def test_no_server_outlives_a_killed_parent(settings: Settings, thread: str) -> None:
    prepare(settings)
    parent = start_in_another_process(settings, thread)
    assert find_embedded(settings)
    parent.kill()
    parent.communicate()
    wait_until(lambda: read_pid_file(Cluster.of(settings).data) is None)


def test_an_orphan_is_taken_over_and_stopped(settings: Settings) -> None:
    prepare(settings)
    parent = start_in_another_process(settings, "thread")
    data = Cluster.of(settings).data
    server = read_pid_file(data)
    assert server
    for child in psutil.Process(parent.pid).children():
        if child.pid != server.pid:
            child.kill()
    parent.kill()
    parent.communicate()
    database = start(settings)
    assert database.owned
    found = read_pid_file(data)
    assert found
    assert found.pid == server.pid
    database.stop()
    assert read_pid_file(data) is None


async def test_a_killed_server_is_started_again(settings: Settings) -> None:
    prepare(settings)
    database = start(settings)
    await ask(database.owner_url, "create table kept as select 7 as number")
    server = read_pid_file(Cluster.of(settings).data)
    assert server
    connection = await asyncpg.connect(database.owner_url)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not database.running)
    database.stop()
    again = start(settings)
    assert await ask(again.owner_url, "select number from kept") == 7
    again.stop()
    connection.terminate()


def test_a_pid_file_that_names_another_program_is_no_server(settings: Settings) -> None:
    prepare(settings)
    start(settings).stop()
    data = Cluster.of(settings).data
    other = subprocess.Popen(["sleep", "60"], user=data.stat().st_uid)
    try:
        (data / "postmaster.pid").write_text(
            f"{other.pid}\n{data}\n1\n54320\n\n127.0.0.1\n\nready\n"
        )
        assert find_embedded(settings) is None
        database = start(settings)
        assert database.running
        database.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_data_without_its_passwords_is_kept_aside(settings: Settings) -> None:
    prepare(settings)
    start(settings).stop()
    for secret in settings.secrets_directory.iterdir():
        secret.unlink()
    lines: list[str] = []
    database = start(settings, lines.append)
    assert any("moved to" in line for line in lines)
    assert list(Cluster.of(settings).directory.glob("data-until-*"))
    database.stop()


def test_a_folder_without_postgres_is_named(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"postgres_bin": str(tmp_path)})
    with pytest.raises(EmbeddedDatabaseError, match="POSTGRES_BIN"):
        start(elsewhere)
    database = start(settings)
    assert database.running
    database.stop()
