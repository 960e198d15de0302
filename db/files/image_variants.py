"""Image variants: pictures in fixed widths, made when somebody first asks for one, then kept."""

from __future__ import annotations

import asyncio

from db.core.fair_queue import Asker
from db.files.images import ImageWorker
from db.files.storage import Storage, variant_path


class ImageVariants:
    """Each variant is made once: in a process one task makes it, across processes one is kept."""

    def __init__(self, storage: Storage, images: ImageWorker) -> None:
        self._storage = storage
        self._images = images
        self._making: dict[str, asyncio.Task[None]] = {}

    async def ensure(self, path: str, width_pixels: int, network: str = "") -> str:
        """The variant's path, made if need be; `FileNotFoundError` when the picture is gone."""
        variant = variant_path(path, width_pixels)
        if not await self._storage.exists(variant):
            task = self._making.get(variant)
            if task is None:
                task = asyncio.create_task(self._make(path, variant, width_pixels, network))
                self._making[variant] = task
                task.add_done_callback(lambda _: self._making.pop(variant))
            await asyncio.shield(task)  # others may wait for it when this caller leaves
        return variant

    async def _make(self, path: str, variant: str, width_pixels: int, network: str) -> None:
        stored = await self._storage.head(path)
        original = await self._storage.get(path)
        data = await self._images.resize(original, width_pixels, Asker(network))
        await self._storage.create(variant, data, stored.content_type)
        if not await self._storage.exists(path):  # deleted meanwhile, and its other variants before
            await self._storage.delete(variant)
            raise FileNotFoundError(path)
