"""Runs campaigns: reads their contacts, keeps their hours, and begins their calls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import batched
from uuid import UUID

import structlog

from db.campaigns.operations import (
    CampaignState,
    ListUnreadable,
    find_campaign,
    finish_sync,
    keep_contacts,
    open_until,
    opens_at,
    read_contacts,
    tend_campaign,
)
from db.campaigns.tables import CampaignStatus
from db.core.pool import Database
from jobs.core.declare import RetryLater, WorkerServices, job

SYNC_ATTEMPTS = 8
# It waits as long as its campaign lasts; nothing but an end of the campaign ends it.
CAMPAIGN_ATTEMPTS = 1_000_000_000
ROWS_AT_ONCE = 1_000
TICK_SECONDS = 1.0
# So long a campaign goes on to give lines without a worker that looks after it.
OPEN_FOR = timedelta(seconds=30)
# A campaign out of its hours looks so often whether they have begun.
LONGEST_SLEEP_SECONDS = 60.0
_GONE = "The list of contacts is gone: lists are kept for 30 days."
_NOT_READ = "The list of contacts could not be read. Make another campaign with it."

log = structlog.get_logger(__name__)


async def report_not_read(services: WorkerServices, *, campaign_id: UUID, error: Exception) -> None:
    """The campaign fails."""
    log.error("campaign not read", campaign_id=str(campaign_id), error=type(error).__name__)
    await finish_sync(services.database, campaign_id, 0, _NOT_READ)
    services.wake()


@job("sync_campaign", attempts=SYNC_ATTEMPTS, when_dead=report_not_read)
async def sync_campaign(services: WorkerServices, *, campaign_id: UUID) -> None:
    """Read a campaign's contacts, row by row; safe to repeat from the beginning."""
    campaign = await find_campaign(services.database, campaign_id)
    if campaign is None or campaign.is_synced or campaign.status != CampaignStatus.SYNCING:
        return
    try:
        data = b"" if campaign.path is None else await services.storage.get(campaign.path)
    except FileNotFoundError:
        data = b""
    if not data:
        await finish_sync(services.database, campaign_id, 0, _GONE)
    else:
        await _read(services.database, campaign_id, data)
    services.wake()


async def _read(database: Database, campaign_id: UUID, data: bytes) -> None:
    try:
        rows = await asyncio.to_thread(lambda: list(read_contacts(data)))
    except ListUnreadable as error:
        await finish_sync(database, campaign_id, 0, str(error))
        return
    for batch in batched(rows, ROWS_AT_ONCE):
        if not await keep_contacts(database, campaign_id, batch):
            return
    await finish_sync(database, campaign_id, len(rows))


@job("run_campaign", attempts=CAMPAIGN_ATTEMPTS)
async def run_campaign(services: WorkerServices, *, campaign_id: UUID) -> None:
    """Look after a campaign, once a second as long as it runs."""
    campaign = await find_campaign(services.database, campaign_id)
    if campaign is None:
        return
    now = datetime.now(UTC)
    calls_until = _calls_until(campaign, now)
    still_runs = await tend_campaign(services.database, campaign_id, calls_until)
    services.wake()
    if still_runs:
        raise RetryLater(_next_look_seconds(campaign, now, calls_until), "the campaign runs")


def _calls_until(campaign: CampaignState, now: datetime) -> datetime | None:
    if campaign.starts_at is not None and now < campaign.starts_at:
        return None
    return open_until(campaign.windows, campaign.time_zone, now, OPEN_FOR)


def _next_look_seconds(
    campaign: CampaignState, now: datetime, calls_until: datetime | None
) -> float:
    if calls_until is not None:
        return TICK_SECONDS
    opens = opens_at(campaign.windows, campaign.time_zone, now) if campaign.windows else None
    begins = max((one for one in (opens, campaign.starts_at) if one is not None), default=None)
    if begins is None:
        return LONGEST_SLEEP_SECONDS
    return min(max(TICK_SECONDS, (begins - now).total_seconds()), LONGEST_SLEEP_SECONDS)
