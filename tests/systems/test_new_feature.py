"""A feature that is put beside the others is served: no list of ours has to name it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import ROOT, RunningServer, run_command, running_server

from .client import Client

PACKAGES = ("auth", "cli", "db", "graph", "jobs", "payments", "server")
FEATURE = ROOT / "tests" / "feature"
REMIND = """mutation {
  remind(input: {words: "milk"}) {
    reminder { id words sentAt }
    viewer { reminders { totalCount } quotas { slice rowsUsed } }
    errors { code }
  }
}"""
READ = '{ viewer { reminders(where: {sentAt: {gt: "2000-01-01T00:00:00Z"}}) { nodes { words sentAt } } } }'
WATCH = "subscription { remindersChanged { cursor reminder { words sentAt } } }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product with one feature more: links to all of its files, and the feature's."""
    folder = tmp_path_factory.mktemp("product")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            folder / package,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns("source", "node_modules"),
        )
    shutil.copytree(FEATURE, folder, dirs_exist_ok=True)
    for name in (
        "settings.py",
        "settings_checks.py",
        "settings_secrets.py",
        "settings_sealed.py",
        "vault_keys.py",
        "alembic.ini",
        "pyproject.toml",
    ):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def product(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """It as it runs, with a worker."""
    with running_server(tmp_path_factory.mktemp("data"), folder) as server:
        yield server


async def test_a_feature_is_served_without_an_edit_of_any_list(product: RunningServer) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        client = Client(product.url, http)
        await client.sign_up()
        async with client.socket() as socket:
            await socket.subscribe("reminders", WATCH)
            assert (await socket.next_data("reminders"))["reminder"] is None
            made = (await client.ask(REMIND))["remind"]
            assert made["errors"] == []
            assert made["reminder"]["words"] == "milk"
            assert made["viewer"]["reminders"] == {"totalCount": 1}
            assert {"slice": "REMINDERS", "rowsUsed": 1} in made["viewer"]["quotas"]
            seen = [(await socket.next_data("reminders"))["reminder"] for _ in range(2)]
        assert [reminder["sentAt"] is None for reminder in seen] == [True, False]
        [read] = (await client.ask(READ))["viewer"]["reminders"]["nodes"]
        assert read == seen[-1]


def test_it_has_commands_work_by_the_clock_and_rows_that_expire(
    product: RunningServer, folder: Path
) -> None:
    for _ in range(10):  # until the worker has read the schedule
        done = run_command(product.data_directory, "reminders", "upkeep", root=folder)
        assert done.returncode == 0, done.stderr
        if "look_for" in done.stdout:
            break
    assert done.stdout.splitlines() == ["sent reminders", "look_for_lost_reminders"]
