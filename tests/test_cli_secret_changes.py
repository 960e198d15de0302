"""Secrets that several change at once, that a killed command changes, and who is told of reads."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import orjson
import pytest

import settings_sealed
import settings_secrets
from cli import vault
from cli.core import editing, terminal
from cli.core.secret_notes import waiting_file
from db.embedded.database import EmbeddedDatabase
from settings import get_settings
from settings_sealed import change_secrets, open_secrets
from settings_secrets import sealed_secrets, secrets_file, secrets_ring

from .running import ROOT
from .test_cli_secrets import CANARY, KEY, told

NOTED = "select detail from audit_log where action = $1 and detail ->> 'at' > $2 order by id"
CHANGING = """
from settings_sealed import change_secrets
from settings_secrets import secrets_file, secrets_ring
ring = secrets_ring()
ring.first.id
print("ready", flush=True)
while True:
    change_secrets(secrets_file(), ring, lambda now: {**now, "N": str(int(now["N"]) + 1)})
"""
# What another operator does while an editor is open.
SETTING = """
from settings_sealed import change_secrets
from settings_secrets import secrets_file, secrets_ring
change_secrets(secrets_file(), secrets_ring(), lambda now: {**now, "%s": "other"})
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A deployment with nothing but a master key, and no database."""
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("VAULT_MASTER_KEY", KEY)
    monkeypatch.setattr(settings_sealed, "_read", set())
    monkeypatch.setenv("VAULT_KEY_ROUNDS", "100000")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DATABASE_OWNER_URL", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def held() -> dict[str, str]:
    return open_secrets(secrets_file(), secrets_ring())


def waiting() -> list[dict[str, object]]:
    lines = waiting_file().read_text().splitlines() if waiting_file().exists() else []
    return [orjson.loads(line) for line in lines if line]


def editor(folder: Path, script: str) -> str:
    """An editor that runs a shell script, whose `$1` is the file."""
    file = folder / "editor.sh"
    file.write_text(script)
    return f"sh {file}"


def test_requirement_9_2_changes_at_once_lose_nothing(folder: Path) -> None:
    ring = secrets_ring()

    def change(number: int) -> None:
        change_secrets(secrets_file(), ring, lambda now: {**now, f"N{number}": CANARY})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(80)))
    assert held() == {f"N{number}": CANARY for number in range(80)}


def test_requirement_9_2_a_change_that_is_killed_leaves_the_file_whole(folder: Path) -> None:
    change_secrets(secrets_file(), secrets_ring(), lambda _: {"N": "0", "DISCORD_TOKEN": CANARY})
    seen = 0
    for after in (0.001, 0.005, 0.02):
        process = subprocess.Popen(
            [sys.executable, "-c", CHANGING], stdout=subprocess.PIPE, text=True, cwd=folder
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        while int(held()["N"]) == seen:
            pass
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = held()
        assert now["DISCORD_TOKEN"] == CANARY
        assert int(now["N"]) > seen
        seen = int(now["N"])
    # Nobody is locked out, and what the killed ones had begun goes.
    (secrets_file().parent / f".{secrets_file().name}.1.ab").write_text("half")
    assert told("set", "OTHER", given="x")[0] == 0
    assert list(secrets_file().parent.glob(".*")) == []


def test_requirement_3_5_a_secret_set_while_the_file_is_sealed_anew_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("set", "DISCORD_TOKEN", given=CANARY)[0] == 0
    read = settings_secrets.sealed_secrets

    def read_and_overtaken() -> object:
        found = read()
        change_secrets(secrets_file(), secrets_ring(), lambda now: {**now, "OTHER": "other"})
        return found

    monkeypatch.setenv("VAULT_MASTER_KEY", f"a new master key that is long enough, {KEY}")
    monkeypatch.setattr(settings_secrets, "sealed_secrets", read_and_overtaken)
    vault._rotate_file()
    monkeypatch.setenv("VAULT_MASTER_KEY", "a new master key that is long enough")
    assert held() == {"DISCORD_TOKEN": CANARY, "OTHER": "other"}


def test_requirement_9_2_an_edit_keeps_what_others_set_and_overrides_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("set", "DISCORD_TOKEN", given=CANARY)[0] == 0
    other = f"{shlex.quote(sys.executable)} -c '{SETTING}'"
    monkeypatch.setenv("EDITOR", editor(folder, f'{other % "OTHER"}\necho NEW=1 >> "$1"'))
    assert told("edit")[0] == 0
    assert held() == {"DISCORD_TOKEN": CANARY, "OTHER": "other", "NEW": "1"}
    monkeypatch.setenv("EDITOR", editor(folder, f'{other % "NEW"}\necho NEW=2 >> "$1"'))
    status, said = told("edit")
    assert (status, "Somebody else changed NEW" in said) == (1, True)
    assert held()["NEW"] == "other"


def test_requirement_9_4_what_an_editor_had_open_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "_MEMORY", folder)
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = folder / f"tallygraph-edit-{gone.pid}-x"
    mine = folder / f"tallygraph-edit-{os.getpid()}-y"
    for one in (left, mine):
        one.mkdir()
        (one / "secrets.env").write_text(CANARY)
    monkeypatch.setenv("EDITOR", "true")
    assert told("edit")[0] == 0
    assert (left.exists(), mine.exists()) == (False, True)
    # Told to end, it still removes what it had opened.
    monkeypatch.setenv("EDITOR", editor(folder, f"kill -TERM {os.getpid()}; sleep 5"))
    assert told("edit")[0] == 128 + signal.SIGTERM
    assert [one.name for one in folder.glob("tallygraph-edit-*")] == [mine.name]


async def test_requirement_9_5_reads_are_noted_though_the_database_is_away(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    cluster: EmbeddedDatabase,
    owner: asyncpg.Connection,
) -> None:
    started = (await owner.fetchval("select clock_timestamp()")).isoformat()

    async def run(*arguments: str, given: str | None = None) -> tuple[int, str]:
        get_settings.cache_clear()
        return await asyncio.to_thread(told, *arguments, given=given)

    assert (await run("set", "DISCORD_TOKEN", given=CANARY))[0] == 0
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://nobody:x@127.0.0.1:9/none")
    status, said = await run("get", "DISCORD_TOKEN")
    # Lines are as long as a terminal is wide.
    is_named = str(waiting_file()) in said.replace("\n", "")
    assert (status, "can't be told" in said, is_named) == (0, True, True)
    assert [(one["action"], one["names"]) for one in waiting()] == [
        ("set_secrets", ["DISCORD_TOKEN"]),
        ("read_secrets", ["DISCORD_TOKEN"]),
    ]
    assert CANARY not in waiting_file().read_text()
    # What nothing can note is not read.
    waiting_file().rename(folder / "kept")
    waiting_file().mkdir()
    status, said = await run("get", "DISCORD_TOKEN")
    assert (status, CANARY in said, "nothing was done" in said) == (1, False, True)
    waiting_file().rmdir()
    (folder / "kept").rename(waiting_file())
    # The next one hands it over.
    monkeypatch.setenv("DATABASE_OWNER_URL", cluster.owner_url)
    assert (await run("get", "DISCORD_TOKEN"))[0] == 0
    assert not waiting_file().exists()
    read = [orjson.loads(row[0]) for row in await owner.fetch(NOTED, "read_secrets", started)]
    written = [orjson.loads(row[0]) for row in await owner.fetch(NOTED, "set_secrets", started)]
    assert [len(read), len(written)] == [2, 1]
    for one in (*read, *written):
        assert (one["names"], bool(one["by"]), bool(one["at"])) == (["DISCORD_TOKEN"], True, True)
    assert CANARY not in repr((read, written))
    # Any other command, too, whose settings stand in the file; and each once.
    await run("list")
    settings_sealed.opened_secrets(secrets_file(), secrets_ring)

    async def read_once() -> int:
        count: int = await owner.fetchval(
            f"select count(*) from ({NOTED}) n", "read_secrets", started
        )
        return count

    def command() -> None:
        terminal.run(asyncio.sleep(0))

    await asyncio.to_thread(command)
    await asyncio.to_thread(command)
    assert await read_once() == 3


def test_a_file_that_was_replaced_within_one_tick_is_read_anew(folder: Path) -> None:
    ring = secrets_ring()
    change_secrets(secrets_file(), ring, lambda _: {"A": "1"})
    first = secrets_file().stat()
    assert dict(sealed_secrets()) == {"A": "1"}
    change_secrets(secrets_file(), ring, lambda _: {"A": "2"})
    os.utime(secrets_file(), ns=(first.st_atime_ns, first.st_mtime_ns))
    assert dict(sealed_secrets()) == {"A": "2"}
