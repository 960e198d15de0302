"""The folders of embedded databases that root's deployments have left on this machine."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from db.embedded.cluster import Cluster, Lock
from db.embedded.process import SYSTEM_DIRECTORY, EmbeddedDatabaseError, read_pid_file
from settings import Settings

DatabaseState = Literal["running", "in use", "stopped", "left behind"]

_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class DatabaseFolder:
    """One database's folder; `origin` is the data folder it belongs to, where that is known."""

    id: str
    directory: Path
    origin: Path | None
    size_bytes: int
    state: DatabaseState


def list_database_folders(
    settings: Settings, system: Path = SYSTEM_DIRECTORY
) -> list[DatabaseFolder]:
    """The databases in the system's folder and this deployment's own, by name of their origin."""
    own = Cluster.of(settings)
    folders = [folder for folder in _entries(system) if _ID.fullmatch(folder.name)]
    databases = [_database_folder(folder.name, folder, _origin(folder, own)) for folder in folders]
    if own.directory not in folders and own.directory.exists():
        databases.append(_database_folder(own.id, own.directory, own.home))
    return sorted(databases, key=lambda database: (str(database.origin or ""), database.id))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _origin(folder: Path, own: Cluster) -> Path | None:
    if folder == own.directory:
        return own.home
    with suppress(OSError):
        return Path((folder / "origin").read_text().strip())
    return None


def _database_folder(name: str, folder: Path, origin: Path | None) -> DatabaseFolder:
    return DatabaseFolder(name, folder, origin, _size_bytes(folder), _state(folder, origin))


def _size_bytes(folder: Path) -> int:
    """What the folder takes on the disk."""
    total = 0
    for root, _folders, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a running server removes files meanwhile
                total += (Path(root) / name).lstat().st_blocks * 512
    return total


def _state(folder: Path, origin: Path | None) -> DatabaseState:
    if read_pid_file(folder / "data"):
        return "running"
    if (folder / "lock").exists():
        lock = Lock(folder / "lock")
        if not lock.acquire():
            return "in use"
        lock.release()
    return "left behind" if origin is not None and not origin.exists() else "stopped"


def remove_database_folder(database: DatabaseFolder) -> None:
    """Deletes a database for good; refused while any process uses it."""
    in_use = EmbeddedDatabaseError(
        f"The database {database.id} is in use: stop the server that runs on it, then try again."
    )
    lock = Lock(database.directory / "lock")
    if not lock.acquire():
        raise in_use
    try:
        if read_pid_file(database.directory / "data"):
            raise in_use
        shutil.rmtree(database.directory)
    finally:
        lock.release()
