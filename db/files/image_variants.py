"""Image variants: in fixed widths or with a watermark, made when somebody first asks, then kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from db.core.fair_queue import Asker
from db.files.images import ImageWorker
from db.files.storage import Storage, is_marked, marked_path, variant_of, variant_path, whole_of

Make = Callable[[bytes], Awaitable[bytes]]


class ImageVariants:
    """Each variant is made once: in a process one task makes it, across processes one is kept."""

    def __init__(self, storage: Storage, images: ImageWorker) -> None:
        self._storage = storage
        self._images = images
        self._making: dict[str, asyncio.Task[None]] = {}

    async def find(self, path: str, network: str = "") -> str:
        """The path, with its variant made if it is one; `FileNotFoundError` without its picture."""
        if is_marked(path):
            await self.mark(whole_of(path), network)
        if variant := variant_of(path):
            await self.ensure(*variant, network)
        return path

    async def ensure(self, path: str, width_pixels: int, network: str = "") -> str:
        """The variant's path, made if need be; `FileNotFoundError` when the picture is gone."""

        async def resize(data: bytes) -> bytes:
            return await self._images.resize(data, width_pixels, Asker(network))

        return await self._ensured(path, variant_path(path, width_pixels), resize)

    async def mark(self, path: str, network: str = "") -> str:
        """The same for a picture with the watermark on it."""

        async def mark(data: bytes) -> bytes:
            return await self._images.mark(data, Asker(network))

        return await self._ensured(path, marked_path(path), mark)

    async def _ensured(self, path: str, variant: str, make: Make) -> str:
        if not await self._storage.exists(variant):
            task = self._making.get(variant)
            if task is None:
                task = asyncio.create_task(self._make(path, variant, make))
                self._making[variant] = task
                task.add_done_callback(lambda _: self._making.pop(variant))
            await asyncio.shield(task)  # others may wait for it when this caller leaves
        return variant

    async def _make(self, path: str, variant: str, make: Make) -> None:
        stored = await self._storage.head(path)
        data = await make(await self._storage.get(path))
        await self._storage.create(variant, data, stored.content_type)
        if not await self._storage.exists(path):  # deleted meanwhile, and its other variants before
            await self._storage.delete(variant)
            raise FileNotFoundError(path)
