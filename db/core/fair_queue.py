"""A fair queue: networks are served in turn, and within a network the accounts it asks for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants work done: the network that calls, and the account that it names or has.

    `is_known` when that account was signed in to from there before.
    """

    network: str = ""
    account: str = ""
    is_known: bool = False


class FairQueue[Item]:
    """First come, first served among the work of one account from one network; else in turn."""

    def __init__(self) -> None:
        self._networks: OrderedDict[str, OrderedDict[str, deque[Item]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, asker: Asker, item: Item) -> None:
        """Adds work behind all that its asker has waiting."""
        accounts = self._networks.setdefault(asker.network, OrderedDict())
        accounts.setdefault(asker.account, deque()).append(item)
        self._count += 1

    def put_first(self, asker: Asker, item: Item) -> None:
        """Puts work back before all that its asker has waiting; other networks come before it."""
        accounts = self._networks.setdefault(asker.network, OrderedDict())
        accounts.setdefault(asker.account, deque()).appendleft(item)
        accounts.move_to_end(asker.account, last=False)
        self._count += 1

    def networks(self) -> Iterable[str]:
        """Those that have work waiting, whose turn it is first."""
        return self._networks

    def take(self, network: str | None = None) -> Item:
        """The work whose turn it is, of all or of one network; there must be some."""
        if network is None:
            network = next(iter(self._networks))
        accounts = self._networks[network]
        account, items = next(iter(accounts.items()))
        item = items.popleft()
        # Both go to the end of their lines, or leave when they want nothing more.
        if items:
            accounts.move_to_end(account)
        else:
            del accounts[account]
        if accounts:
            self._networks.move_to_end(network)
        else:
            del self._networks[network]
        self._count -= 1
        return item

    def drop_from_longest_line(self, newcomer: str) -> Item | None:
        """Takes out the last work of the network with most; none if a newcomer's has as much.

        It is for a queue that is full. Within that network it is the account with most that loses.
        """
        if not self._networks:
            return None
        network = max(self._networks, key=self._waiting)
        if self._waiting(network) <= self._waiting(newcomer) + 1:
            return None
        accounts = self._networks[network]
        account = max(accounts, key=lambda name: len(accounts[name]))
        item = accounts[account].pop()
        if not accounts[account]:
            del accounts[account]
        self._count -= 1
        return item

    def _waiting(self, network: str) -> int:
        return sum(map(len, self._networks.get(network, {}).values()))


class FairSlots:
    """So many work at a time; who waits for that takes turns as in a `FairQueue`."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def slot(self, asker: Asker, timeout_seconds: float) -> AsyncIterator[None]:
        """A block within a slot; `TimeoutError` when it is not this asker's turn in time."""
        await self._take(asker, timeout_seconds)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, asker: Asker, timeout_seconds: float) -> None:
        if self.free:
            self.free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(asker, turn)
        try:
            async with asyncio.timeout(timeout_seconds):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._give_back()  # it was given at the same time
            turn.cancel()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():  # who waits no longer has cancelled it
                turn.set_result(None)
                return
        self.free += 1
