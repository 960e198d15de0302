"""Password hashing: argon2id on a few threads of its own, with a fair queue in front of them."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from auth import imported_hashes
from auth.attempts import too_many_attempts
from db.core.fair_queue import Asker, FairQueue
from db.imports.rules import cost_of

# OWASP's Password Storage Cheat Sheet asks for argon2id with at least 19 MiB, 2 passes and 1 lane;
# the memory is what makes guessing on graphics cards dear, so that is where we give more.
TIME_COST = 2
MEMORY_KIBIBYTES = 32 * 1024
PARALLELISM = 1
HASH_BYTES = 32
SALT_BYTES = 16

MAX_CONCURRENT = 2
# In each lane. When it is full, whoever has most waiting there makes room for others.
MAX_WAITING = 1_024
NOBODY = Asker()
NICENESS = 5


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Whether the password was right and, when its hash is of an older kind, what to store."""

    ok: bool
    new_hash: str | None = None


@dataclass(eq=False, slots=True)
class _Waiting:
    """Work that waits for a thread, and who waits for it."""

    work: Callable[[], Any]
    done: asyncio.Future[Any]


class PasswordHasher:
    """Hashes and verifies off the event loop; refuses instead of queueing without end.

    Those who are known where they call from and those who are not take turns, so that neither
    waits for more than as many of the others.
    """

    def __init__(
        self, *, max_concurrent: int = MAX_CONCURRENT, max_waiting: int = MAX_WAITING
    ) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=TIME_COST,
            memory_cost=MEMORY_KIBIBYTES,
            parallelism=PARALLELISM,
            hash_len=HASH_BYTES,
            salt_len=SALT_BYTES,
        )
        self._nobodys_hash = _hash_that_matches_nothing()
        # The highest cost of the bcrypt hashes that are still stored; null when there are none.
        self.imported_cost: int | None = None
        self._max_concurrent = max_concurrent
        self._max_waiting = max_waiting
        self._known, self._others = FairQueue[_Waiting](), FairQueue[_Waiting]()
        self._lanes = deque((self._known, self._others))
        self.running = 0
        self._threads = ThreadPoolExecutor(
            max_concurrent, thread_name_prefix="passwords", initializer=_yield_to_other_threads
        )

    @property
    def waiting(self) -> int:
        """How many hashes wait for their turn."""
        return len(self._known) + len(self._others)

    async def hash(self, password: str, asker: Asker = NOBODY, *, salt: bytes | None = None) -> str:
        """The encoded argon2id hash of a password, with a fresh salt where none is given."""
        return await self._run(lambda: self._argon2.hash(password, salt=salt), asker)

    async def verify(
        self, password_hash: str | None, password: str, asker: Asker = NOBODY
    ) -> VerifyResult:
        """Compare; with no hash, do the same work, so that a stranger's e-mail costs the same."""
        stored = password_hash or self._nobodys_hash
        return await self._run(lambda: self._verify(stored, password), asker)

    async def verify_any(
        self, password_hash: str | None, forms: Sequence[str], asker: Asker = NOBODY
    ) -> VerifyResult:
        """Compare with each form that a password may have been hashed in, today's first.

        As many hashes for a stranger's e-mail; of an older form, the result has today's hash.
        """
        for form in forms:
            verified = await self.verify(password_hash, form, asker)
            if verified.ok and form != forms[0]:
                return VerifyResult(ok=True, new_hash=await self.hash(forms[0], asker))
            if verified.ok:
                return verified
        return VerifyResult(ok=False)

    def close(self) -> None:
        """Let the running hashes end and drop the waiting ones."""
        for lane in self._lanes:
            while lane:
                lane.take().done.cancel()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> VerifyResult:
        cost = cost_of(password_hash)
        if cost is None and self.imported_cost is None:
            return self._verify_argon2(password_hash, password)
        # Whoever it is does the work of both, while some have a hash of the other kind.
        imported = None if cost is None else password_hash
        own = self._verify_argon2(self._nobodys_hash if imported else password_hash, password)
        work_cost = max(cost or 0, self.imported_cost or 0)
        if imported_hashes.is_right(imported, password, work_cost):
            return VerifyResult(ok=True, new_hash=self._argon2.hash(password))
        return own

    def _verify_argon2(self, password_hash: str, password: str) -> VerifyResult:
        try:
            self._argon2.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return VerifyResult(ok=False)
        if self._argon2.check_needs_rehash(password_hash):
            return VerifyResult(ok=True, new_hash=self._argon2.hash(password))
        return VerifyResult(ok=True)

    async def _run[Result](self, work: Callable[[], Result], asker: Asker = NOBODY) -> Result:
        lane = self._known if asker.is_known else self._others
        # While a thread is free, nothing waits.
        if self.running >= self._max_concurrent and len(lane) >= self._max_waiting:
            _make_room(lane, asker)
        waiting = _Waiting(work, asyncio.get_running_loop().create_future())
        lane.put(asker, waiting)
        self._begin()
        result: Result = await waiting.done
        return result

    def _begin(self) -> None:
        """Gives the free threads their work. What nobody waits for any more is left out."""
        while self.running < self._max_concurrent and self.waiting:
            self._lanes.rotate()
            waiting = (self._lanes[0] or self._lanes[1]).take()
            if waiting.done.done():
                continue
            self.running += 1
            running = self._threads.submit(waiting.work)
            running.add_done_callback(partial(self._tell, waiting))

    def _tell(self, waiting: _Waiting, ended: Future[Any]) -> None:
        """In the thread that has done the work: tells the event loop, unless that is gone."""
        with suppress(RuntimeError):
            waiting.done.get_loop().call_soon_threadsafe(self._end, waiting, ended)

    def _end(self, waiting: _Waiting, ended: Future[Any]) -> None:
        # Only now is the thread free: a caller who goes away does not stop a running hash.
        self.running -= 1
        self._begin()
        if waiting.done.done():
            return
        if ended.cancelled():
            waiting.done.cancel()
        elif error := ended.exception():
            waiting.done.set_exception(error)
        else:
            waiting.done.set_result(ended.result())


def _make_room(lane: FairQueue[_Waiting], newcomer: Asker) -> None:
    dropped = lane.drop_from_longest_line(newcomer.network)
    if dropped is None:
        raise too_many_attempts()
    if not dropped.done.done():
        dropped.done.set_exception(too_many_attempts())


def _hash_that_matches_nothing() -> str:
    """A well-formed hash with today's costs and random bits where the digest would be."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (SALT_BYTES, HASH_BYTES)
    )
    costs = f"m={MEMORY_KIBIBYTES},t={TIME_COST},p={PARALLELISM}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${costs}${salt}${digest}"


def _yield_to_other_threads() -> None:
    """On Linux niceness belongs to a thread: a flood of sign-ins must not starve the event loop."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
