"""A database that is made and migrated once in a process, and copied to whoever needs one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from db.embedded.cluster import SECRETS, Cluster
from db.embedded.database import destroy_embedded, start_embedded
from db.embedded.process import make_public_directory
from db.migrations.migrate import migrate
from settings import Settings


class Prepared:
    """A stopped database at the newest revision."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="tallygraph-prepared-"))
        self._settings = Settings(data_directory=self._home / "data")
        embedded = start_embedded(self._settings, durable=False)
        try:
            # In a thread of its own: the caller's may be running a loop.
            with ThreadPoolExecutor(1) as thread:
                done = migrate(embedded.owner_url, self._settings)
                thread.submit(asyncio.run, done).result()
        finally:
            embedded.stop()

    def copy(self, settings: Settings) -> None:
        """Gives a deployment that has no database yet a copy, with the passwords of its owner.

        The login roles get passwords of the deployment's own when it migrates.
        """
        source, target = Cluster.of(self._settings), Cluster.of(settings)
        make_public_directory(target.directory)
        settings.secrets_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in SECRETS:
            shutil.copy2(source.secrets_directory / name, settings.secrets_directory / name)
        # Keeps the account that the server runs as, and is shared with the original where it can.
        subprocess.run(["cp", "-a", source.data, target.data], check=True)
        shutil.copy2(source.prepared, target.prepared)

    def remove(self) -> None:
        """Leaves nothing behind."""
        destroy_embedded(self._settings)
        shutil.rmtree(self._home)


_made: list[Prepared] = []


def prepare(settings: Settings) -> None:
    """Has a deployment begin with a migrated database instead of none, unless it has one."""
    if not Cluster.of(settings).data.exists():
        if not _made:
            _made.append(Prepared())
        _made[0].copy(settings)


def remove_prepared() -> None:
    """Removes what was copied from, if it was made."""
    while _made:
        _made.pop().remove()
