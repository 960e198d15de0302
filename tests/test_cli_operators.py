"""What operators get wrong is said in a sentence, and accounts and databases are looked after."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from cli.core.faults import explained
from db.embedded.cluster import Lock
from db.embedded.database_folders import list_database_folders, remove_database_folder
from db.embedded.process import EmbeddedDatabaseError
from settings import Settings
from tests.running import ROOT, RunningServer, environment, run_command

NOWHERE = "postgresql://ada:secret-word@127.0.0.1:1/none"


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = run_command(tmp_path, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tallygraph ")


@pytest.mark.parametrize(
    ("command", "url"),
    [
        (("users", "list"), NOWHERE),
        (("migrate",), NOWHERE),
        (("users", "show", "a@b.example"), "mysql://ada:secret-word@host/none"),
    ],
)
def test_a_database_that_is_not_there_is_one_line(
    tmp_path: Path, command: tuple[str, ...], url: str
) -> None:
    done = run_command(tmp_path, *command, DATABASE_OWNER_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "DATABASE_OWNER_URL" in done.stderr
    assert "secret-word" not in done.stderr


def test_a_wrong_password_is_one_line(server: RunningServer) -> None:
    user, _, place = server.owner_url.rpartition("@")
    url = f"{user.rpartition(':')[0]}:wrong@{place}"
    done = run_command(server.data_directory, "users", "list", DATABASE_OWNER_URL=url)
    assert done.returncode == 1
    assert "refused the user or the password" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_database_is_named(tmp_path: Path) -> None:
    done = run_command(tmp_path / "other", "users", "list")
    assert done.returncode == 1
    assert str(tmp_path / "other") in done.stderr


def test_a_folder_that_cannot_be_written_is_named() -> None:
    # /proc takes no folder of anybody, root included.
    for command in (("dev",), ("db", "reset", "--yes")):
        done = run_command(Path("/proc/none"), *command)
        assert "Traceback" not in done.stderr
    done = run_command(Path("/proc/none"), "dev")
    assert done.returncode == 1
    assert "can't be written: /proc/none" in done.stderr


@pytest.mark.parametrize("number", [28, 13, 30])
def test_what_the_system_refuses_is_explained(number: int) -> None:
    found = explained(OSError(number, os.strerror(number), "/data/file"))
    assert found is not None
    assert found[0] == 1
    assert "/data/file" in found[1][0]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_a_plain_terminal_gets_no_escapes(tmp_path: Path, variables: dict[str, str]) -> None:
    for arguments in (["users", "list"], ["--help"], ["nonsense"]):
        assert b"\x1b" not in in_terminal(tmp_path, arguments, variables)
    assert b"\x1b" in in_terminal(tmp_path, ["users", "list"], {"TERM": "xterm"})


def in_terminal(folder: Path, arguments: list[str], variables: dict[str, str]) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    settings = {key: value for key, value in environment(folder).items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=settings | variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait(60)
    return written


def first_column(table: str) -> str:
    """What stands in it, put together again."""
    return "".join(line.split()[0] for line in table.splitlines() if line.strip())


async def test_accounts_are_listed_shown_and_demoted(server: RunningServer) -> None:
    mark = uuid4().hex
    owner = await asyncpg.connect(server.owner_url)
    ids = [
        await owner.fetchval(
            "insert into users (id, email, email_key) values ($1, $2, $2) returning id",
            uuid4(),
            f"{name}-{mark}@example.test",
        )
        for name in ("ada", "bob")
    ]
    where = server.data_directory
    first = run_command(where, "users", "list", "--search", mark.upper(), "--limit", "1")
    assert "bob-" in first.stdout
    assert "ada-" not in first.stdout
    assert f"--after user_{ids[1]}" in first.stderr
    rest = run_command(where, "users", "list", "--search", mark, "--after", f"user_{ids[1]}")
    assert "ada-" in rest.stdout
    assert "bob-" not in rest.stdout

    narrow = run_command(where, "users", "list", "--search", mark, COLUMNS="80").stdout
    assert f"ada-{mark}@example.testuser_{ids[0]}" in first_column(narrow)

    assert run_command(where, "users", "promote", f"user_{ids[0]}").returncode == 0
    others = "update users set role = $1 where role = $2 and id <> $3"
    await owner.execute(others, "user", "admin", ids[0])
    for command in ("demote", "lock"):
        refused = run_command(where, "users", command, f"ada-{mark}@example.test")
        assert refused.returncode == 1
        assert "the last admin" in refused.stderr
    for _ in range(2):
        done = run_command(where, "users", "demote", f"ada-{mark}@EXAMPLE.test", "--yes")
        assert done.returncode == 0
    shown = run_command(where, "users", "show", str(ids[0]), COLUMNS="60")
    assert f"user_{ids[0]}" in shown.stdout
    assert f"ada-{mark}@example.test" in "".join(shown.stdout.removeprefix("E-mail").split())
    audited = await owner.fetch("select action from audit_log where user_id = $1", ids[0])
    assert sorted(row["action"] for row in audited) == ["demote", "promote"]
    await owner.close()
    for who in ("nobody@example.test", f"user_{uuid4()}", "nonsense"):
        done = run_command(where, "users", "show", who)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_running_database_is_listed_and_never_removed(server: RunningServer) -> None:
    listed = run_command(server.data_directory, "db", "list").stdout
    (line,) = (line for line in listed.splitlines() if str(server.data_directory) in line)
    assert "running" in line
    done = run_command(server.data_directory, "db", "remove", line.split()[0], "--yes")
    assert done.returncode == 1
    assert "in use" in done.stderr


def test_what_a_deleted_clone_left_is_told_and_removed(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path / "mine")
    folder = tmp_path / "system" / ("0" * 16)
    folder.mkdir(parents=True)
    (folder / "origin").write_text(f"{tmp_path}/gone/.tallygraph\n")
    (database,) = list_database_folders(settings, tmp_path / "system")
    assert (database.state, database.origin) == ("left behind", tmp_path / "gone" / ".tallygraph")
    lock = Lock(folder / "lock")
    assert lock.acquire()
    assert list_database_folders(settings, tmp_path / "system")[0].state == "in use"
    with pytest.raises(EmbeddedDatabaseError, match="in use"):
        remove_database_folder(database)
    lock.release()
    remove_database_folder(database)
    assert list_database_folders(settings, tmp_path / "system") == []
