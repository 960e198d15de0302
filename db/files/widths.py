"""Makes the smaller forms of pictures when somebody first asks for one, and keeps them."""

from __future__ import annotations

import asyncio

from db.files.images import ImageWorker
from db.files.storage import Storage, width_path


class SmallerPictures:
    """Each form is made once: within a process one task makes it, across processes one is kept."""

    def __init__(self, storage: Storage, images: ImageWorker) -> None:
        self._storage = storage
        self._images = images
        self._making: dict[str, asyncio.Task[None]] = {}

    async def ensure(self, path: str, width_pixels: int) -> str:
        """Where the form lies, made if need be; `FileNotFoundError` when the picture is gone."""
        smaller = width_path(path, width_pixels)
        if not await self._storage.exists(smaller):
            task = self._making.get(smaller)
            if task is None:
                task = asyncio.create_task(self._make(path, smaller, width_pixels))
                self._making[smaller] = task
                task.add_done_callback(lambda _: self._making.pop(smaller))
            await asyncio.shield(task)  # others may wait for it when this caller leaves
        return smaller

    async def _make(self, path: str, smaller: str, width_pixels: int) -> None:
        stored = await self._storage.head(path)
        data = await self._images.narrow(await self._storage.get(path), width_pixels)
        await self._storage.create(smaller, data, stored.content_type)
        if not await self._storage.exists(path):  # deleted meanwhile, and its forms before this one
            await self._storage.delete(smaller)
            raise FileNotFoundError(path)
