"""What a process tells its operator at /metrics, in Prometheus's text format."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from db.core import activity
from db.core.actor import SERVICE
from db.core.errors import DomainError
from db.core.event_log import event_log_size
from db.core.pool import Database, Transaction
from db.credits.proof import ledger_state
from graph.live.clients import Clients
from graph.shared.traffic import BUCKETS, errors_told
from server.connections import ConnectionShares
from server.process_group import ProcessGroup
from server.services import Services
from settings import Settings

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def may_read(request: Request, settings: Settings) -> bool:
    """Who knows METRICS_TOKEN; without one, in the demo, whoever is on this machine."""
    if settings.metrics_token:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), settings.metrics_token.encode())
    if settings.production or request.client is None:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Metric:
    """One number a process tells of itself; a count only ever grows, a histogram is several."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    kind: type[Family] = GaugeMetricFamily

    def family(self) -> Family:
        """It as Prometheus knows it, told apart by process."""
        return self.kind(f"tallygraph_{self.name}", self.text, labels=("process", *self.labels))


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
# A figure's name, the values of its labels, and the number: of a histogram how many took no longer
# than each bound, and all their seconds.
Told = list[tuple[str, list[str], Any]]

CONNECTIONS = Metric("live_connections", "Sockets and event streams that are open.")
SUBSCRIPTIONS = Metric("live_subscriptions", "Subscriptions that run.")
BEHIND = Metric(
    "live_behind_seconds",
    "How long the log has not been read to its end, or is held back by an open writer.",
)
DELIVERED = Metric(
    "live_delivered", "Results sent over sockets and event streams.", kind=CounterMetricFamily
)
ANSWERS = Metric("large_answers_bytes", "Bytes of large answers that were not read yet.")
DATABASE = Metric(
    "database_connections",
    "Connections to the database, by role and whether a request holds them.",
    labels=("role", "state"),
)
RESPONSES = Metric(
    "http_responses",
    "Answers over HTTP, by route (graphql, files, pages) and status.",
    labels=("route", "status"),
    kind=CounterMetricFamily,
)
OPERATIONS = Metric(
    "operation_seconds",
    "How long queries and mutations took, by kind and first root field.",
    labels=("kind", "field"),
    kind=HistogramMetricFamily,
)
ERRORS = Metric(
    "errors",
    "Errors that clients were told, UserErrors among them, by code.",
    labels=("code",),
    kind=CounterMetricFamily,
)
PASSWORDS = Metric(
    "password_hashes", "Passwords being hashed, and those that wait for it.", labels=("state",)
)
REFUSED_ATTEMPTS = Metric(
    "sign_in_attempts_refused",
    "Attempts to sign in or up that were refused before a look, for what their address does.",
    kind=CounterMetricFamily,
)
REFUSED_MUTATIONS = Metric(
    "mutations_refused",
    "Mutations that were refused because their user or address made too many.",
    kind=CounterMetricFamily,
)
REFUSED_COSTS = Metric(
    "costs_refused",
    "Requests that were refused because their user or address asked for too much.",
    kind=CounterMetricFamily,
)
HTTP_CONNECTIONS = Metric(
    "http_connections", "Connections over HTTP that are open, those of trusted proxies left out."
)
REFUSED_CONNECTIONS = Metric(
    "http_connections_refused",
    "Connections that were refused because their address held too many.",
    kind=CounterMetricFamily,
)
FIGURES = (
    HTTP_CONNECTIONS,
    REFUSED_CONNECTIONS,
    CONNECTIONS,
    SUBSCRIPTIONS,
    BEHIND,
    DELIVERED,
    ANSWERS,
    DATABASE,
    RESPONSES,
    OPERATIONS,
    ERRORS,
    PASSWORDS,
    REFUSED_ATTEMPTS,
    REFUSED_MUTATIONS,
    REFUSED_COSTS,
)
# A column's figure and what is said of it.
Names = dict[str, tuple[str, str]]
EVENT_LOG: Names = {
    "size_bytes": ("events_bytes", "Size of the event log with its indexes."),
    "rows": ("events_rows", "Rows of the event log, as Postgres estimates."),
    "days": ("events_days", "Days the event log has partitions for."),
}
LEDGER: Names = {
    "discrepancies": (
        "ledger_discrepancies",
        "Most inconsistent wallets that a check of the ledger found in the last day.",
    ),
    "age_seconds": (
        "ledger_proof_age_seconds",
        "Seconds since the last check of the ledger; it is made every hour.",
    ),
}


class ProcessMetrics:
    """What one process knows of itself."""

    def __init__(self, services: Services, clients: Clients, shares: ConnectionShares) -> None:
        self._services = services
        self._shares = shares
        self._clients = clients

    def now(self) -> Told:
        """The metrics as they are now."""
        services = self._services
        told: Told = [
            (CONNECTIONS.name, [], len(self._clients)),
            (SUBSCRIPTIONS.name, [], services.hub.subscription_count()),
            (DELIVERED.name, [], self._clients.delivered),
            (HTTP_CONNECTIONS.name, [], self._shares.held.total),
            (REFUSED_CONNECTIONS.name, [], self._shares.refused),
            (ANSWERS.name, [], services.answers.held_bytes),
            (PASSWORDS.name, ["running"], services.passwords.running),
            (PASSWORDS.name, ["waiting"], services.passwords.waiting),
            (REFUSED_ATTEMPTS.name, [], services.attempts.refused),
            (REFUSED_MUTATIONS.name, [], services.mutations.refused),
            (REFUSED_COSTS.name, [], services.queries.refused),
        ]
        behind = services.hub.behind_seconds(time.monotonic())
        if behind is not None:
            told.append((BEHIND.name, [], behind))
        for role, pool in services.database.pools.items():
            opened, free = pool.usage()
            told += [
                (DATABASE.name, [role, "busy"], opened - free),
                (DATABASE.name, [role, "free"], free),
            ]
        return told + self._traffic()

    def _traffic(self) -> Told:
        traffic = self._services.traffic
        return [
            *(
                (RESPONSES.name, [route, str(status)], count)
                for (route, status), count in sorted(traffic.responses.items())
            ),
            *(
                (OPERATIONS.name, [kind, field], [found.cumulative(), found.seconds])
                for (kind, field), found in sorted(traffic.operations.items())
            ),
            *((ERRORS.name, [code], count) for code, count in sorted(errors_told.items())),
        ]

    def tell(self) -> bytes:
        """The same for another process."""
        return orjson.dumps(self.now())


class _Families(Collector):
    """What was gathered for one page."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


class MetricsPage:
    """The route. Whichever process answers, it answers for all that are behind its port."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        process_metrics: ProcessMetrics,
        process_group: ProcessGroup,
    ) -> None:
        self._settings = settings
        self._database = database
        self._process_metrics = process_metrics
        self._group = process_group

    async def __call__(self, request: Request) -> Response:
        """404 for who may not read: the page then looks like none at all."""
        if not may_read(request, self._settings):
            return PlainTextResponse("Not Found", 404)
        told: dict[str, Told | None] = {self._group.name: self._process_metrics.now()}
        for name, answer in (await self._group.ask()).items():
            told[name] = orjson.loads(answer) if answer else None
        registry = CollectorRegistry()
        registry.register(_Families([*_of_processes(told), *await self._of_the_database()]))
        return Response(generate_latest(registry), media_type=MEDIA_TYPE)

    async def _of_the_database(self) -> list[Family]:
        """Left out while the database is away: the rest is wanted then most of all."""
        try:
            async with self._database.transaction(SERVICE) as transaction:
                found: list[tuple[Names, Mapping[str, int | None]]] = [
                    (EVENT_LOG, await event_log_size(transaction)),
                    (LEDGER, await ledger_state(transaction)),
                ]
                work = await _of_the_worker(transaction)
        except DomainError:
            return []
        return work + [
            GaugeMetricFamily(f"tallygraph_{name}", text, value=float(value))
            for names, values in found
            for key, (name, text) in names.items()
            if (value := values[key]) is not None
        ]


async def _of_the_worker(transaction: Transaction) -> list[Family]:
    """What the database knows of jobs, whichever process runs them."""
    jobs = GaugeMetricFamily(
        "tallygraph_jobs",
        "Jobs in the queue: waiting, deferred until later, running.",
        labels=("job", "state"),
    )
    for row in await activity.job_counts(transaction):
        for state in ("waiting", "deferred", "running"):
            jobs.add_metric((row["entrypoint"], state), float(row[state]))
    attempts = GaugeMetricFamily(
        "tallygraph_generation_attempts",
        "Attempts at generations that ended in the last hour, by provider and outcome.",
        labels=("provider", "outcome"),
    )
    for row in await activity.attempts_of_the_last_hour(transaction):
        attempts.add_metric((row["provider"], row["outcome"]), float(row["attempts"]))
    emails = GaugeMetricFamily(
        "tallygraph_emails",
        "E-mails that were queued in the last hour, by their status.",
        labels=("status",),
    )
    for row in await activity.emails_of_the_last_hour(transaction):
        emails.add_metric((row["status"],), float(row["emails"]))
    pushes = GaugeMetricFamily(
        "tallygraph_pushes",
        "Push notifications for one device each that were begun in the last hour, by their status.",
        labels=("provider", "status"),
    )
    for row in await activity.pushes_of_the_last_hour(transaction):
        pushes.add_metric((row["provider"], row["status"]), float(row["pushes"]))
    webhooks = GaugeMetricFamily(
        "tallygraph_webhooks",
        "Deliveries of payment providers in the last hour, and those that still wait.",
        labels=("provider", "status", "reason"),
    )
    for row in await activity.webhooks_by_status(transaction):
        labels = (row["provider"], row["status"], row["reason"])
        webhooks.add_metric(labels, float(row["webhooks"]))
    oldest, dead = activity.oldest_job_seconds, activity.dead_jobs
    return [
        jobs,
        GaugeMetricFamily(
            "tallygraph_jobs_oldest_seconds",
            "How long the job that has waited longest could have run already.",
            value=await oldest(transaction),
        ),
        GaugeMetricFamily(
            "tallygraph_jobs_dead",
            "Jobs that were given up and wait for an admin.",
            value=float(await dead(transaction)),
        ),
        attempts,
        emails,
        pushes,
        webhooks,
        GaugeMetricFamily(
            "tallygraph_webhooks_oldest_seconds",
            "How long the delivery has waited that no worker has processed for the longest.",
            value=await activity.oldest_webhook_seconds(transaction),
        ),
    ]


def _of_processes(told: dict[str, Told | None]) -> list[Family]:
    families = {figure.name: figure.family() for figure in FIGURES}
    up = GaugeMetricFamily(
        "tallygraph_process_up", "Whether a process answered for this page.", labels=("process",)
    )
    for process, metrics in sorted(told.items()):
        up.add_metric((process,), float(metrics is not None))
        for name, labels, value in metrics or ():
            family = families[name]
            if isinstance(family, HistogramMetricFamily):
                counts, seconds = value
                family.add_metric((process, *labels), _buckets(counts), seconds)
            else:
                family.add_metric((process, *labels), float(value))
    return [up, *families.values()]


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    bounds = (*map(str, BUCKETS), "+Inf")
    return [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
