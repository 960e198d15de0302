"""A generation is charged once when it succeeds, and not when it fails."""

from __future__ import annotations

import asyncpg
import pytest

from db.core.pool import Database
from db.files.storage import Storage
from jobs import generations as generations_job
from jobs.core.declare import RetryLater
from jobs.generations import GenerationRun
from jobs.providers.base import (
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
)
from jobs.providers.offline import OfflineProvider

from ..conftest import MakeUser
from .helpers import (
    FakeProvider,
    MakeServices,
    create_generation,
    generation,
    logged,
    movements,
    notifications,
    ready_upload,
    run_generation,
    wallet,
)


async def test_a_photo_goes_in_a_credit_is_spent_a_picture_comes_out(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user(credits=1)
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id, key="one")
    assert await wallet(owner, actor) == (1, 1)

    await run_generation(services(OfflineProvider()), generation_id)

    row = await generation(owner, generation_id)
    assert (row["status"], row["credits_charged"], row["hold_status"]) == (
        "SUCCEEDED",
        1,
        "CAPTURED",
    )
    assert row["made_offline"]
    assert not row["from_cache"]
    assert row["started_at"] <= row["finished_at"]
    assert (await storage.get(row["result_path"])).startswith(b"\xff\xd8\xff")
    assert await wallet(owner, actor) == (0, 0)
    assert await movements(owner, actor) == ["ADMIN", "HOLD", "CAPTURE"]
    assert await notifications(owner, actor) == ["notifications.generationSucceeded.title"]
    statuses = await owner.fetch(
        "select snapshot ->> 'status' as status from events where entity_id = $1 order by id",
        str(generation_id),
    )
    assert [event["status"] for event in statuses] == ["QUEUED", "RUNNING", "SUCCEEDED"]

    assert await create_generation(database, actor, upload_id, key="one") == generation_id
    again = await generation(
        owner, await create_generation(database, actor, upload_id, key="another")
    )
    assert (again["status"], again["from_cache"], again["credits_charged"]) == (
        "SUCCEEDED",
        True,
        0,
    )
    assert again["result_path"] == row["result_path"]
    assert await wallet(owner, actor) == (0, 0)


async def test_an_analysis_has_figures_and_no_picture(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    upload_id = await ready_upload(database, storage, actor)
    generation_id = await create_generation(database, actor, upload_id, "analysis", {})
    await run_generation(services(OfflineProvider()), generation_id)
    row = await generation(owner, generation_id)
    assert (row["status"], row["result_path"]) == ("SUCCEEDED", None)
    assert '"provider": "offline"' in row["result"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ProviderRefused("Not this photo."), "PROVIDER_REFUSED", "Not this photo."),
        (ProviderFailed("Busy; try later."), "PROVIDER_FAILED", "Busy; try later."),
        (ValueError("a canary secret"), "PROVIDER_FAILED", generations_job._FAILED),
    ],
)
async def test_a_failure_gives_the_credit_back(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    error: Exception,
    code: str,
    message: str,
) -> None:
    actor = await make_user(credits=3)
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    await run_generation(services(FakeProvider(error, failures=9)), generation_id)  # type: ignore[arg-type]
    row = await generation(owner, generation_id)
    assert (row["status"], row["error_code"], row["error_message"]) == ("FAILED", code, message)
    assert (row["hold_status"], row["credits_charged"]) == ("RELEASED", 0)
    assert await wallet(owner, actor) == (3, 0)
    assert await notifications(owner, actor) == ["notifications.generationFailed.title"]


async def test_a_provider_that_never_answers_is_a_failure(
    database: Database,
    storage: Storage,
    services: MakeServices,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> None:
    actor = await make_user()
    generation_id = await create_generation(
        database, actor, await ready_upload(database, storage, actor)
    )
    hurried = services(
        FakeProvider(seconds=30, limits=ProviderLimits(timeout_seconds=0.05, concurrent_calls=1))
    )
    with pytest.raises(RetryLater):
        await GenerationRun(hurried, generation_id).run()
    assert (await generation(owner, generation_id))["status"] == "RUNNING"
    await run_generation(hurried, generation_id)
    assert (await generation(owner, generation_id))["error_code"] == "PROVIDER_FAILED"
    assert await logged(owner, generation_id) == ["TIMED_OUT"] * 3
    assert await wallet(owner, actor) == (10, 0)
