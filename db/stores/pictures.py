"""A store's logo and banner: copies of photos that its owner has uploaded."""

from __future__ import annotations

from uuid import UUID, uuid4

from db.core.actor import Actor
from db.core.errors import not_found
from db.core.pool import Database
from db.files.image_variants import ImageVariants
from db.files.images import ImageWorker
from db.files.storage import VARIANT_WIDTHS_PIXELS, Storage, store_picture_path
from db.marketplace.operations import Photo, find_photo
from db.stores import operations

PATH = ("input", "uploadId")
# Pages show none wider.
WIDEST_PIXELS = VARIANT_WIDTHS_PIXELS[-1]


class StorePictures:
    """Makes and removes the pictures of stores; no transaction is open meanwhile."""

    def __init__(self, database: Database, storage: Storage, images: ImageWorker) -> None:
        self._database = database
        self._storage = storage
        self._variants = ImageVariants(storage, images)

    async def set(
        self, actor: Actor, store_id: UUID, kind: str, upload_id: UUID, network: str
    ) -> None:
        """Copies a photo of the actor's, in the width that pages show, in place of the one before.

        What a fault leaves of the files is swept.
        """
        await operations.require_store(self._database, actor, store_id)
        photo = await find_photo(self._database, actor, upload_id)
        if photo is None:
            raise not_found("upload", PATH)
        assert actor.user_id is not None
        path = store_picture_path(actor.user_id, uuid4(), photo.content_type)
        await self._storage.put(path, await self._shrunk(photo, network), photo.content_type)
        await self._note(actor, store_id, kind, path)

    async def remove(self, actor: Actor, store_id: UUID, kind: str) -> None:
        """Removes a picture; without one, nothing."""
        await self._note(actor, store_id, kind, None)

    async def _shrunk(self, photo: Photo, network: str) -> bytes:
        try:
            variant = await self._variants.ensure(photo.path, WIDEST_PIXELS, network)
            return await self._storage.get(variant)
        except FileNotFoundError:
            raise not_found("upload", PATH) from None

    async def _note(self, actor: Actor, store_id: UUID, kind: str, path: str | None) -> None:
        before = await operations.set_picture(self._database, actor, store_id, kind, path)
        if before is not None:
            await self._storage.delete_picture(before)
