"""Connected clients: admitted within limits, checked for silence, told when the server stops."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from auth.networks import Shares, network_of
from db.core.errors import DomainError, ErrorCode
from graph.live.protocol import CloseCode
from settings import Settings

log = structlog.get_logger(__name__)

# Expiry and revocation are promised within 5 s, and learning of a revocation takes up to 2 of them.
SWEEP_SECONDS = 2.0
LEAVING = "Service restart; reconnect and resume from the last cursor"


class Client(Protocol):
    """A socket or an event stream."""

    def watch_over(self, now: float, wall_clock: float) -> None:
        """Called every two seconds: close what is overdue, ping what is quiet."""

    def close_soon(self, code: CloseCode, reason: str) -> None:
        """End it; the first reason given stands."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How long one connection may take, and how much one user or address may hold here."""

    initialisation_seconds: float = 10.0
    keep_alive_seconds: float = 20.0
    comment_seconds: float = 12.0
    send_seconds: float = 10.0
    close_seconds: float = 5.0
    subscriptions: int = 100
    connections_per_address: int = 500
    connections_per_user: int = 50
    subscriptions_per_user: int = 200

    @classmethod
    def of(cls, settings: Settings) -> ClientLimits:
        """The limits of a deployment."""
        return cls(
            connections_per_address=settings.live_connections_per_address,
            connections_per_user=settings.live_connections_per_user,
            subscriptions_per_user=settings.live_subscriptions_per_user,
        )


class ConnectionSlot:
    """What one connection holds of the limits; given back when it leaves."""

    __slots__ = ("_clients", "_network", "_subscriptions", "_user_id", "address")

    def __init__(self, clients: Clients, address: str) -> None:
        self.address = address
        self._clients = clients
        self._network = network_of(address)
        self._user_id: UUID | None = None
        self._subscriptions = 0

    def enter(self) -> None:
        """Take a connection of the address's; RATE_LIMITED when it has too many."""
        networks = self._clients.networks
        if not networks.take(self._network):
            raise _too_many("connections from this address", networks.limit)

    def belong_to(self, user_id: UUID | None) -> None:
        """Take a connection of the user's, once it is known; RATE_LIMITED as before."""
        if user_id is None or user_id == self._user_id:
            return
        users = self._clients.users
        if not users.take(user_id):
            raise _too_many("connections of this user", users.limit)
        self._user_id = user_id

    def begin_subscription(self) -> None:
        """Take a subscription of the user's, or of the address's for who has no token."""
        subscriptions, limit = self._clients.subscriptions, self._clients.limits.subscriptions
        if self._subscriptions >= limit:
            raise _too_many("operations of one connection at a time", limit)
        if not subscriptions.take(self._owner):
            raise _too_many("subscriptions of one user", subscriptions.limit)
        self._subscriptions += 1

    def end_subscription(self) -> None:
        """Give one back."""
        self._subscriptions -= 1
        self._clients.subscriptions.give_back(self._owner)

    def leave(self) -> None:
        """Give everything back."""
        self._clients.networks.give_back(self._network)
        if self._user_id is not None:
            self._clients.users.give_back(self._user_id)
        self._clients.subscriptions.give_back(self._owner, self._subscriptions)

    @property
    def _owner(self) -> UUID | str:
        return self._user_id or self._network


def _too_many(what: str, limit: int) -> DomainError:
    return DomainError(
        ErrorCode.RATE_LIMITED,
        f"There may be {limit} {what}. Close some, or try again in a moment.",
    )


class Clients:
    """The connections of one process.

    One sweep watches over all of them, since several timers for each would cost more than their
    messages.
    """

    def __init__(self, limits: ClientLimits, *, sweep_seconds: float = SWEEP_SECONDS) -> None:
        self.limits = limits
        # Connections by network and by user; subscriptions by user, or network without one.
        self.networks = Shares[str](limits.connections_per_address)
        self.users = Shares[UUID](limits.connections_per_user)
        self.subscriptions = Shares[UUID | str](limits.subscriptions_per_user)
        self.delivered = 0
        self._sweep_seconds = sweep_seconds
        self._clients: set[Client] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._leaving = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._clients)

    def slot(self, address: str) -> ConnectionSlot:
        """A slot for a connection from an address, not entered yet."""
        return ConnectionSlot(self, address)

    def add(self, client: Client) -> None:
        """Watch over a client from now on."""
        self._clients.add(client)
        self._idle.clear()
        if self._leaving:
            client.close_soon(CloseCode.RESTART, LEAVING)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="live-sweep")

    def remove(self, client: Client) -> None:
        """It has gone."""
        self._clients.discard(client)
        if not self._clients:
            self._idle.set()

    async def shutdown(self) -> None:
        """Tell every client to reconnect elsewhere, and wait until they are gone."""
        self._leaving = True
        for client in list(self._clients):
            client.close_soon(CloseCode.RESTART, LEAVING)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.close_seconds):
                await self._idle.wait()
        if self._sweeper:
            self._sweeper.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._sweep_seconds)
            now, wall_clock = loop.time(), time.time()
            for client in list(self._clients):
                try:
                    client.watch_over(now, wall_clock)
                except Exception:
                    # Whatever one connection meets, the others stay watched.
                    log.exception("live.sweep_failed")
