"""Delivers notifications to devices: each is claimed right before it is handed to a provider."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog

from db.core.outages import passes_soon
from db.push.operations import (
    BegunPush,
    begin_pushes,
    claim_push,
    end_push,
    give_up_pushes,
)
from db.push.rules import is_of_use, retry_seconds
from db.push.tables import PushProvider, PushStatus
from jobs.core.declare import RetryLater, WorkerServices, job
from jobs.pushing import (
    Gateway,
    NotReady,
    PushAnswer,
    PushOutcome,
    choose_gateways,
)
from jobs.pushing.messages import message_of
from jobs.pushing.tokens import TokenOpener

# Tries that ended in an error of our own or the database's; those that no provider took count too.
JOB_ATTEMPTS = 500
# Messages on their way at once from one worker; the connections that they share are few.
MESSAGES_AT_ONCE = 32
# What was answered waits so long, in all about 15 s, to be noted in a database that restarts.
NOTE_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
# A provider that is down, or says nothing, is left alone: longer and longer, for each of its
# silences may cost messages.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 900.0
SHORTEST_WAIT_SECONDS = 1.0

ENDS = {
    PushOutcome.TAKEN: PushStatus.SENT,
    PushOutcome.REFUSED: PushStatus.FAILED,
    PushOutcome.TOKEN_DEAD: PushStatus.FAILED,
    PushOutcome.NOT_TAKEN: PushStatus.QUEUED,
    PushOutcome.UNCERTAIN: PushStatus.UNCERTAIN,
}

log = structlog.get_logger(__name__)


@dataclass
class Pushing:
    """What one worker delivers with, and when a provider that was down may be asked again."""

    gateways: dict[PushProvider, Gateway]
    tokens: TokenOpener
    jobs_at_once: int
    jobs: int = 0
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MESSAGES_AT_ONCE))
    down_until: dict[PushProvider, float] = field(default_factory=dict)
    pauses: Counter[PushProvider] = field(default_factory=Counter)

    def pause_seconds(self, provider: PushProvider) -> float:
        """How long a provider is left alone; 0 for one that may be asked."""
        until = self.down_until.get(provider, -math.inf)
        return max(until - asyncio.get_running_loop().time(), 0.0)

    def note(self, provider: PushProvider, answer: PushAnswer) -> None:
        """Leaves a provider alone that is down; what many messages meet at once is one pause."""
        if answer.outcome is PushOutcome.TAKEN:
            self.pauses[provider] = 0
        elif answer.is_down and not self.pause_seconds(provider):
            seconds = FIRST_PAUSE_SECONDS * 2 ** min(self.pauses[provider], 10)
            seconds = min(max(seconds, answer.retry_seconds or 0.0), LONGEST_PAUSE_SECONDS)
            self.pauses[provider] += 1
            self.down_until[provider] = asyncio.get_running_loop().time() + seconds

    @property
    def ready(self) -> list[PushProvider]:
        """The providers that may be asked now."""
        return [one for one in self.gateways if not self.pause_seconds(one)]


def pushing_of(services: WorkerServices) -> Pushing:
    """What this worker delivers with. Other jobs keep half of its places."""
    settings = services.settings
    at_once = max(settings.worker_jobs // 2, 1)
    return Pushing(choose_gateways(settings), TokenOpener(settings), at_once)


async def give_up(
    services: WorkerServices, *, notification_ids: list[UUID], error: Exception
) -> None:
    """No attempt could be made for longer than they are of use."""
    await give_up_pushes(services.database, notification_ids, type(error).__name__)


@job("send_push", attempts=JOB_ATTEMPTS, when_dead=give_up)
async def send_push(
    services: WorkerServices, *, notification_ids: list[UUID], queued_at: datetime
) -> None:
    """Make an attempt to deliver some notifications to each of their users' devices."""
    pushing = services.of(pushing_of)
    if not pushing.gateways:
        return
    if not is_of_use(datetime.now(UTC) - queued_at):
        if given_up := await give_up_pushes(
            services.database, notification_ids, "no provider took it in time"
        ):
            log.error("push failed", reason="no provider took it in time", messages=given_up)
        return
    if pushing.jobs >= pushing.jobs_at_once:
        # Those of a broadcast come back in no order, so that not all of them look at once.
        longest = 1.0 if len(notification_ids) == 1 else 10.0
        raise RetryLater(random.uniform(longest / 2, longest), "the worker has many")  # noqa: S311
    pushing.jobs += 1
    try:
        await PushRun(services, pushing, notification_ids, queued_at).run()
    finally:
        pushing.jobs -= 1


class PushRun:
    """One attempt at all deliveries of some notifications that may be tried."""

    def __init__(
        self,
        services: WorkerServices,
        pushing: Pushing,
        notification_ids: Sequence[UUID],
        queued_at: datetime,
    ) -> None:
        self._database = services.database
        self._pushing = pushing
        self._notification_ids = notification_ids
        self._queued_at = queued_at
        self._ended: Counter[tuple[str, str, str]] = Counter()
        self._waits: list[float] = []

    async def run(self) -> None:
        """Deliver what can be; `RetryLater` when some of it waits."""
        found = await begin_pushes(
            self._database,
            self._notification_ids,
            self._queued_at,
            providers=list(self._pushing.gateways),
            ready=self._pushing.ready,
        )
        if found.lost:
            log.warning("push uncertain", reason="its worker died", messages=found.lost)
        for one in found.waiting:
            pause = self._pushing.pause_seconds(one.provider)
            self._waits.append(max(one.wait_seconds, pause))
        # What one meets must not cancel another between its claim and its answer.
        met = await asyncio.gather(*map(self._deliver, found.begun), return_exceptions=True)
        self._tell()
        for error in met:
            if error is not None:
                raise error
        if self._waits:
            seconds = max(min(self._waits), SHORTEST_WAIT_SECONDS)
            raise RetryLater(seconds, "not all were taken")

    async def _deliver(self, push: BegunPush) -> None:
        async with self._pushing.room:
            answer = await self._answer(push)
        if answer is not None:
            await self._end(push, answer)

    async def _answer(self, push: BegunPush) -> PushAnswer | None:
        """What came of it; nothing when it was not to be handed over any more."""
        gateway = self._pushing.gateways[push.provider]
        if pause := self._pushing.pause_seconds(push.provider):
            return PushAnswer(PushOutcome.NOT_TAKEN, "the provider is down", pause)
        token = self._pushing.tokens.open(push.token_hash, push.sealed_token)
        if token is None:
            return PushAnswer(PushOutcome.REFUSED, "the token cannot be opened")
        message = message_of(push)
        try:
            await gateway.prepare()
            if not await claim_push(self._database, push):
                return None
            return await gateway.send(token, message)
        except NotReady as error:
            return PushAnswer(
                PushOutcome.NOT_TAKEN, error.reason, error.retry_seconds, is_down=True
            )

    async def _end(self, push: BegunPush, answer: PushAnswer) -> None:
        outcome, wait = ENDS[answer.outcome], 0.0
        if outcome is PushStatus.QUEUED:
            jitter = random.uniform(1.0, 1.2)  # noqa: S311
            wait = max(retry_seconds(push.attempt) * jitter, answer.retry_seconds or 0.0)
            self._waits.append(wait)
        self._pushing.note(push.provider, answer)
        self._ended[push.provider.value, outcome.value, answer.reason] += 1
        await self._note(push, outcome, answer, wait)

    async def _note(
        self, push: BegunPush, outcome: PushStatus, answer: PushAnswer, wait_seconds: float
    ) -> None:
        """Note how it ended; until that is done nobody hands it over again."""
        for delay in (*NOTE_DELAYS_SECONDS, None):
            try:
                await end_push(
                    self._database,
                    push,
                    outcome,
                    answer.reason or None,
                    wait_seconds=wait_seconds,
                    token_is_dead=answer.outcome is PushOutcome.TOKEN_DEAD,
                    dead_since=answer.dead_since,
                )
                return
            except Exception as error:
                if delay is None or not passes_soon(error):
                    raise
                log.warning("push not noted yet", error=error, retry_seconds=delay)
                await asyncio.sleep(delay)

    def _tell(self) -> None:
        """One line for all that ended alike."""
        for (provider, outcome, reason), count in sorted(self._ended.items()):
            tell = log.info if outcome == PushStatus.SENT else log.warning
            tell(f"push {outcome.lower()}", provider=provider, messages=count, reason=reason)
