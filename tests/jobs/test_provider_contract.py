"""Every provider keeps the contract of `jobs.providers.base`: a new one is a line in PROVIDERS."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from jobs.providers.base import (
    GenerationRequest,
    LimitedProvider,
    Provider,
    ProviderError,
    ProviderLimits,
    ProviderRefused,
    ProviderTimedOut,
    Stopwatch,
)
from jobs.providers.gemini import GeminiProvider
from jobs.providers.offline import OfflineProvider
from settings import Settings

from .helpers import COLOR, FakeProvider, MakeSettings, photo

PROVIDERS: dict[str, Callable[[Settings], Provider]] = {
    "offline": lambda _: OfflineProvider(),
    "gemini": GeminiProvider,
}
PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, with_gemini: MakeSettings) -> Provider:
    return PROVIDERS[request.param](with_gemini())


@pytest.fixture
def wanted() -> GenerationRequest:
    image = photo()
    return GenerationRequest("hair-color", dict(COLOR), image.data, image.content_type)


def test_it_has_a_name_and_limits(provider: Provider) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", provider.name)
    assert provider.limits.timeout_seconds > 0
    assert provider.limits.concurrent_calls >= 1


async def test_it_makes_a_picture_and_says_what_that_took(
    provider: Provider, wanted: GenerationRequest
) -> None:
    outcome = await provider.generate(wanted)
    assert outcome.image is not None
    assert outcome.content_type is not None
    picture = Image.open(BytesIO(outcome.image))
    picture.load()
    assert picture.format == PICTURES[outcome.content_type]
    for figures in (outcome.usage, outcome.analysis or {}):
        assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert outcome.cost_micro_usd >= 0


async def test_it_leaves_its_request_as_it_is(
    provider: Provider, wanted: GenerationRequest
) -> None:
    before = replace(wanted, parameters=dict(wanted.parameters))
    await provider.generate(wanted)
    assert wanted == before


async def test_a_tool_that_it_cannot_do_is_refused_or_labelled(
    provider: Provider, wanted: GenerationRequest
) -> None:
    with suppress(ProviderRefused):
        outcome = await provider.generate(replace(wanted, tool_id="no-such-tool"))
        assert outcome.made_offline
        assert (outcome.analysis or {}).get("isPreview") is True


async def test_broken_bytes_are_a_fault_that_may_be_shown(
    provider: Provider, wanted: GenerationRequest
) -> None:
    with pytest.raises(ProviderError) as fault:
        await provider.generate(replace(wanted, image=b"no picture"))
    assert "Traceback" not in fault.value.public_message


async def test_the_event_loop_stays_free_and_calls_may_overlap(
    provider: Provider, wanted: GenerationRequest
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    outcomes = await asyncio.gather(*(provider.generate(wanted) for _ in range(3)))
    ticking.cancel()
    assert len({outcome.image for outcome in outcomes}) >= 1
    assert ticks > 10


async def test_it_may_be_cancelled_and_asked_again(
    provider: Provider, wanted: GenerationRequest
) -> None:
    call = asyncio.create_task(provider.generate(wanted))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await provider.generate(wanted)).image is not None


async def test_waiting_for_a_free_call_is_not_the_providers_time(
    wanted: GenerationRequest,
) -> None:
    slow = FakeProvider(seconds=0.3, limits=ProviderLimits(0.5, concurrent_calls=1))
    limited = LimitedProvider(slow)
    watches = [Stopwatch() for _ in range(3)]
    await asyncio.gather(*(limited.generate(wanted, watch) for watch in watches))
    assert slow.calls == 3


async def test_who_takes_too_long_is_stopped(wanted: GenerationRequest) -> None:
    limited = LimitedProvider(FakeProvider(seconds=30, limits=ProviderLimits(0.05, 1)))
    watch = Stopwatch()
    with pytest.raises(ProviderTimedOut):
        await limited.generate(wanted, watch)
    assert watch.milliseconds >= 50
