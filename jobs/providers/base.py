"""What a generation asks of a provider, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol, Self

_TOO_LONG = "The generation took too long. No credit was spent; try again in a moment."


async def _any_number() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One run of a tool on the bytes of one inspected photo.

    `mask` is a picture, inspected too, that is white where the tool is to work. `names` is what the
    catalog calls the parameters that name a row of it, such as a hairstyle. A provider awaits
    `may_call_again` before each call but the first: it counts toward the calls of a minute, and is
    not made when none is left.
    """

    tool_id: str
    parameters: dict[str, Any]
    image: bytes
    content_type: str
    mask: bytes | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    may_call_again: Callable[[], Awaitable[bool]] = _any_number


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """What came out: a picture, figures, or both; and whether no AI had a part in it.

    `usage` is what the provider says it used, such as tokens, as JSON; `cost_micro_usd` is what it
    charges for that, in millionths of a US dollar. A preview only shows what a tool is for, says so
    itself, and costs nothing.
    """

    image: bytes | None
    content_type: str | None
    analysis: dict[str, Any] | None
    made_offline: bool
    usage: dict[str, Any]
    cost_micro_usd: int = 0
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """How long one attempt may take, how many a worker process makes at once, and how many times a
    generation is tried. All workers together make at most `calls_per_minute`; 0 is no limit.
    """

    timeout_seconds: float
    concurrent_calls: int
    attempts: int = 3
    calls_per_minute: int = 0


class ProviderError(Exception):
    """A generation that a provider did not make. `public_message` is safe to show to anyone.

    `detail` tells admins more, in words that hold nothing of a request or an answer. `usage` and
    `cost_micro_usd` are what the provider took all the same.
    """

    def __init__(
        self,
        public_message: str,
        *,
        detail: str = "",
        usage: dict[str, Any] | None = None,
        cost_micro_usd: int = 0,
    ) -> None:
        super().__init__(public_message)
        self.public_message = public_message
        self.detail = detail
        self.usage = usage or {}
        self.cost_micro_usd = cost_micro_usd


class ProviderRefused(ProviderError):
    """The provider will never make this; trying again is no use."""


class ProviderFailed(ProviderError):
    """The provider could not make this now; trying again may help, unless it may not pass.

    `retry_after_seconds` is how long it asked to be left alone, when it did.
    """

    def __init__(
        self,
        public_message: str,
        retry_after_seconds: float | None = None,
        *,
        may_pass: bool = True,
        **known: Any,
    ) -> None:
        super().__init__(public_message, **known)
        self.retry_after_seconds = retry_after_seconds
        self.may_pass = may_pass


class ProviderTimedOut(ProviderFailed):
    """The provider took longer than its limit."""


class Provider(Protocol):
    """Makes generations. `generate` may be cancelled, and leaves the event loop free meanwhile.

    What it raises besides `ProviderRefused` counts as a failure that may pass. `name` stands in
    the logs; it never changes. `makes` names the tools that it does; of all
    others it makes previews. None is for one that does every tool.
    """

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> ProviderLimits: ...

    @property
    def makes(self) -> frozenset[str] | None: ...

    async def generate(self, request: GenerationRequest) -> GenerationOutcome: ...


class Stopwatch:
    """How long a call has taken, or took; 0 before it began."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._ended: float | None = None

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = perf_counter()

    @property
    def milliseconds(self) -> int:
        """Whole milliseconds."""
        if self._started is None:
            return 0
        return round(((self._ended or perf_counter()) - self._started) * 1000)


class LimitedProvider:
    """A provider within its limits: waiting for a free call is not counted as its time."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self.makes = provider.makes
        self.limits = provider.limits
        self._provider = provider
        self._calls = asyncio.Semaphore(provider.limits.concurrent_calls)

    async def generate(self, request: GenerationRequest, watch: Stopwatch) -> GenerationOutcome:
        """Make the generation; `watch` takes the provider's time, whatever comes of it."""
        async with self._calls:
            with watch:
                try:
                    async with asyncio.timeout(self.limits.timeout_seconds):
                        return await self._provider.generate(request)
                except TimeoutError as error:
                    raise ProviderTimedOut(_TOO_LONG) from error


@dataclass(frozen=True, slots=True)
class WritingRequest:
    """A text for a model, and the JSON Schema (2020-12) that its answer is to keep."""

    prompt: str
    answer_schema: dict[str, Any]
    temperature: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class WritingOutcome:
    """What a model wrote, which nobody has checked, and what it used and cost."""

    text: str
    usage: dict[str, Any]
    cost_micro_usd: int


class Writer(Protocol):
    """Has a model write JSON. What it raises besides `ProviderRefused` may pass."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def calls_per_minute(self) -> int: ...

    async def write(self, request: WritingRequest) -> WritingOutcome: ...


class Providers:
    """Who makes which tool: the first provider all of them, but for those given to another.

    `writer` writes texts; without one nobody does.
    """

    def __init__(
        self,
        first: Provider,
        by_tool: Mapping[str, Provider] | None = None,
        writer: Writer | None = None,
    ) -> None:
        self.writer = writer
        limited = {first.name: LimitedProvider(first)}
        for other in (by_tool or {}).values():
            limited.setdefault(other.name, LimitedProvider(other))
        self._first = limited[first.name]
        self._by_tool = {tool: limited[one.name] for tool, one in (by_tool or {}).items()}

    def of(self, tool_id: str) -> LimitedProvider:
        """The provider that makes a tool, or its preview."""
        return self._by_tool.get(tool_id, self._first)

    @property
    def makes(self) -> frozenset[str] | None:
        """The tools that are made; None when all are."""
        if self._first.makes is None:
            return None
        made = {tool for tool in self._first.makes if tool not in self._by_tool}
        for tool, provider in self._by_tool.items():
            if provider.makes is None or tool in provider.makes:
                made.add(tool)
        return frozenset(made)
