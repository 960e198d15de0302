"""Runs the operations that arrive over sockets and as event streams."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from time import perf_counter
from typing import Any, Protocol
from uuid import UUID

import structlog
from graphql import OperationType

from auth.api_keys import KEY_START, ApiKeys
from auth.foreign_tokens import ForeignTokens
from auth.networks import network_of
from auth.revocation_watch import RevocationWatch
from auth.tokens import AccessTokens, cut_bearer_token
from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, RateLimited
from graph.engine.documents.costs import asks_for_cost
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Item, SendNow, Subscriber
from graph.live.hub import EventHub
from graph.live.websocket import RequestErrors
from graph.shared.context import Context, OperationServices
from graph.shared.errors import RequestError, top_level
from graph.shared.traffic import Traffic, codes_told

log = structlog.get_logger(__name__)


class LiveServices(OperationServices, Protocol):
    """What live operations need beside what every operation needs."""

    @property
    def tokens(self) -> AccessTokens: ...
    @property
    def revocations(self) -> RevocationWatch: ...
    @property
    def hub(self) -> EventHub: ...
    @property
    def traffic(self) -> Traffic: ...


class LiveOperations:
    """The operations of one process's sockets and event streams."""

    def __init__(self, engine: Engine, services: LiveServices) -> None:
        self._engine = engine
        self._services = services
        self._api_keys = services.of(ApiKeys.of)
        self._foreign = services.of(ForeignTokens.of)

    async def authenticate(self, authorization: str | None, address: str) -> Actor:
        """The actor of `Bearer <token or API key>`; nobody without one."""
        token = cut_bearer_token(authorization)
        if token is None:
            return NOBODY
        if token.startswith(KEY_START):
            return await self._api_keys.verify(token, network_of(address))
        try:
            return self._services.tokens.verify(token)
        except DomainError:
            if not self._foreign.may_be(token):
                raise
        return await self._foreign.admit(token, address=address, user_agent=None)

    def admit(self, actor: Actor) -> None:
        """Counts an operation of a socket's; RATE_LIMITED when its API key has had too many."""
        self._api_keys.admit(actor)

    def is_revoked(self, revocable_id: UUID) -> bool:
        """Whether a session, or an API key's secret, has ended before its time."""
        return self._services.revocations.is_revoked(revocable_id)

    async def execute(
        self,
        payload: dict[str, Any],
        actor: Callable[[], Actor],
        *,
        address: str = "",
        resume_after: str | None = None,
        mutations: bool = True,
        send_now: SendNow | None = None,
    ) -> AsyncIterator[Item]:
        """One answer for a query or mutation, a stream for a subscription.

        When the client asks for it, the first answer tells the operation's cost.
        """
        variables, name = payload.get("variables") or {}, payload.get("operationName")
        documents, tells_cost = self._engine.documents, asks_for_cost(payload)
        try:
            network = network_of(address)
            text = await self._engine.text(payload, name, network)
            operation = await self._engine.operation(text, name, network)
            if operation.kind is not OperationType.SUBSCRIPTION:
                context = Context(
                    actor(),
                    self._services,
                    secrets.token_hex(8),
                    address=address,
                    keeps_room=True,
                )
                try:
                    answer = await self._answer(text, variables, name, context, mutations=mutations)
                    if context.room is not None:
                        context.room.shrink(len(answer))
                    if tells_cost:
                        answer = documents.with_cost(answer, text, name, variables)
                    # The next step is asked for when this one has been read.
                    yield Item(answer)
                finally:
                    context.leave_room()
                return
            cost = await self._engine.plan_subscription(operation, variables, actor(), network)
            self._services.queries.charge(actor(), network, cost)
            rooms = partial(self._services.answers.enter, network=network)
            subscriber = Subscriber(self._engine, self._services.hub.subscribe, actor, rooms)
            async for item in subscriber.stream(text, variables, name, resume_after, send_now):
                if tells_cost:
                    body = documents.with_cost(item.body, text, name, variables)
                    yield Item(body, item.cursor)
                else:
                    yield item
                tells_cost = False
        except RequestError as error:
            raise RequestErrors(error.formatted()) from None
        except RateLimited as error:
            raise RequestErrors([top_level(error)]) from None

    async def _answer(
        self,
        text: str,
        variables: dict[str, Any],
        name: str | None,
        context: Context,
        *,
        mutations: bool,
    ) -> bytes:
        """The answer of a query or mutation, counted and logged as one over HTTP is."""
        started, told = perf_counter(), list[str]()
        codes_told.set(told)
        try:
            return await self._engine.run(text, variables, name, context, mutations=mutations)
        finally:
            seconds = perf_counter() - started
            if context.normalized_document is not None:
                label = context.normalized_document.label
                self._services.traffic.answered(label, seconds, told)
            log.info(
                "live.request",
                request_id=context.request_id,
                milliseconds=round(seconds * 1000, 1),
                address=context.address,
                **context.told(),
                errors=told,
            )
