"""Keeps the small pictures of profiles in storage: decoded, made small, each by what it shows."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from db.core.errors import DomainError, Problems
from db.core.fair_queue import Asker
from db.files.images import ImageWorker
from db.files.storage import Storage, thumbnail_path
from db.profiles.rules import problems_of_profile

LONGEST_PIXELS = 512
STORAGE_CALLS_AT_ONCE = 8


class Thumbnails:
    """Small pictures come in as base64, and are JPEG files in storage then.

    No transaction is open meanwhile. A picture whose profile is not written after all is swept at
    night, as every file that is nobody's.
    """

    def __init__(self, storage: Storage, images: ImageWorker) -> None:
        self._storage = storage
        self._images = images

    async def keep(
        self, user_id: UUID, given: Sequence[str], network: str = ""
    ) -> list[str | DomainError]:
        """Where each picture lies now, or why it is refused; `given` is base64."""
        pictures = [base64.b64decode(text.rpartition(",")[2]) for text in given]
        asker = Asker(network, str(user_id))
        made = await self._images.small(pictures, LONGEST_PIXELS, asker)
        paths = {
            thumbnail_path(user_id, one): one for one in made if not isinstance(one, DomainError)
        }
        slots = asyncio.Semaphore(STORAGE_CALLS_AT_ONCE)

        async def put(path: str, data: bytes) -> None:
            async with slots:
                # Also one that is there: the sweep takes it for new then.
                await self._storage.put(path, data, "image/jpeg")

        await asyncio.gather(*(put(path, data) for path, data in paths.items()))
        return [
            one if isinstance(one, DomainError) else thumbnail_path(user_id, one) for one in made
        ]

    async def in_storage(
        self, user_id: UUID, problems: Problems, values: Mapping[str, Any], network: str
    ) -> Mapping[str, Any]:
        """The values of a profile, by columns, with its picture in storage.

        Nothing is stored while the values, or what was found before, are refused.
        """
        if "thumbnail" not in values:
            return values
        problems.add(problems_of_profile(values))
        problems.refuse()
        stored = {**values, "thumbnail": None, "thumbnail_path": None}
        if values["thumbnail"]:
            (kept,) = await self.keep(user_id, [values["thumbnail"]], network)
            if isinstance(kept, DomainError):
                raise DomainError(kept.code, kept.message, ("input", "thumbnail"))
            stored["thumbnail_path"] = kept
        return stored

    async def read(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """The pictures that lie there; none for what is gone."""
        slots = asyncio.Semaphore(STORAGE_CALLS_AT_ONCE)
        found: dict[str, bytes] = {}

        async def get(path: str) -> None:
            async with slots:
                try:
                    found[path] = await self._storage.get(path)
                except FileNotFoundError:
                    return

        await asyncio.gather(*map(get, set(paths)))
        return found


def as_data_url(picture: bytes) -> str:
    """A JPEG as base64, with what makes a link of it that pages can show."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
