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

State = Literal["running", "in use", "stopped", "left behind"]

_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Place:
    """One database's folder; `origin` is the data folder it belongs to, where that is known."""

    id: str
    directory: Path
    origin: Path | None
    size_bytes: int
    state: State


def list_places(settings: Settings, system: Path = SYSTEM_DIRECTORY) -> list[Place]:
    """The databases in the system's folder and this deployment's own, by name of their origin."""
    own = Cluster.of(settings)
    folders = [folder for folder in _entries(system) if _ID.fullmatch(folder.name)]
    places = [_place(folder.name, folder, _origin(folder, own)) for folder in folders]
    if own.directory not in folders and own.directory.exists():
        places.append(_place(own.id, own.directory, own.home))
    return sorted(places, key=lambda place: (str(place.origin or ""), place.id))


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


def _place(name: str, folder: Path, origin: Path | None) -> Place:
    return Place(name, folder, origin, _size_bytes(folder), _state(folder, origin))


def _size_bytes(folder: Path) -> int:
    """What the folder takes on the disk."""
    total = 0
    for root, _folders, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a running server removes files meanwhile
                total += (Path(root) / name).lstat().st_blocks * 512
    return total


def _state(folder: Path, origin: Path | None) -> State:
    if read_pid_file(folder / "data"):
        return "running"
    if (folder / "lock").exists():
        lock = Lock(folder / "lock")
        if not lock.acquire():
            return "in use"
        lock.release()
    return "left behind" if origin is not None and not origin.exists() else "stopped"


def remove_place(place: Place) -> None:
    """Deletes a database for good; refused while any process uses it."""
    in_use = EmbeddedDatabaseError(
        f"The database {place.id} is in use: stop the server that runs on it, then try again."
    )
    lock = Lock(place.directory / "lock")
    if not lock.acquire():
        raise in_use
    try:
        if read_pid_file(place.directory / "data"):
            raise in_use
        shutil.rmtree(place.directory)
    finally:
        lock.release()
