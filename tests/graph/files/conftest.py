"""The routes of signed links over a folder or a bucket, and a photo to send."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from db.campaigns.receiving import ContactReceiver
from db.core.actor import Actor
from db.core.commands import call
from db.core.errors import ErrorCode
from db.core.pool import Database
from db.files.image_variants import ImageVariants
from db.files.images import ImageWorker
from db.files.links import LinkSigner, open_links
from db.files.storage import (
    Storage,
    generation_path,
    open_storage,
    upload_path,
)
from db.marketplace.receiving import ProductReceiver
from db.uploads.operations import UploadLimits, create_upload
from db.uploads.receiving import UploadReceiver
from server.files import Files, routes
from settings import Settings
from tests import pictures
from tests.upload_limits import publish, usual_limits_after

from ...conftest import MakeUser

LIMIT_BYTES = 200_000
QUOTA_BYTES = 300_000
LATER = datetime.now(UTC) + timedelta(days=1)


@dataclass
class FileServer:
    """The routes with all that they work with, and an upload that waits for its photo."""

    client: httpx.AsyncClient
    files: Files
    storage: Storage
    owner: asyncpg.Connection
    user_id: UUID
    upload_id: UUID

    @property
    def links(self) -> LinkSigner:
        return self.files.links.signer

    @property
    def upload_path(self) -> str:
        return upload_path(self.user_id, self.upload_id)

    @property
    def result_path(self) -> str:
        return generation_path(self.user_id, self.upload_id, "image/jpeg")

    def put_url(self) -> str:
        return self.links.sign_url("PUT", self.upload_path, time.time() + 600)

    async def put(self, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        return await self.client.put(self.put_url(), content=content)

    async def row(self) -> asyncpg.Record:
        return await self.owner.fetchrow("select * from uploads where id = $1", self.upload_id)

    async def status(self) -> str:
        return str((await self.row())["status"])

    async def set(self, assignment: str) -> None:
        await self.owner.execute(f"update uploads set {assignment} where id = $1", self.upload_id)

    async def assert_nothing_stored(self) -> None:
        assert not await self.storage.exists(self.upload_path)


async def new_upload(
    database: Database, actor: Actor, limits: UploadLimits, content_type: str = "image/jpeg"
) -> UUID:
    await publish(database, limits)
    async with database.transaction(actor) as transaction:
        return await call(transaction, create_upload(content_type, limits.size_bytes, limits))


@pytest.fixture(autouse=True)
async def usual_limits(database: Database) -> AsyncIterator[None]:
    """The database is shared: what a test publishes holds until it ends."""
    async with usual_limits_after(database):
        yield


@pytest.fixture
async def file_server(
    tmp_path: Path, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> AsyncIterator[FileServer]:
    settings = Settings(
        data_directory=tmp_path,
        public_url="http://api.test",
        upload_limit_bytes=LIMIT_BYTES,
        upload_quota_bytes=QUOTA_BYTES,
    )
    async with file_server_of(settings, database, await make_user(), owner) as made:
        yield made


@asynccontextmanager
async def file_server_of(
    settings: Settings, database: Database, actor: Actor, owner: asyncpg.Connection
) -> AsyncIterator[FileServer]:
    storage, images = open_storage(settings), ImageWorker(40_000_000)
    limits = UploadLimits.of(settings)
    files = Files(
        storage,
        open_links(settings),
        UploadReceiver(database, storage, images, limits),
        ImageVariants(storage, images),
        ContactReceiver(database, storage),
        ProductReceiver(database, storage),
    )
    app = Starlette(routes=routes())
    app.state.files = files
    upload_id = await new_upload(database, actor, limits)
    assert actor.user_id is not None
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield FileServer(client, files, storage, owner, actor.user_id, upload_id)


@pytest.fixture(scope="module")
def photo() -> bytes:
    return pictures.jpeg_with_exif(pictures.portrait(240, 320).picture)


def assert_refused(response: httpx.Response, status: int, code: ErrorCode) -> None:
    assert response.status_code == status, response.text
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert error["message"]
