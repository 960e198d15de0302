"""Password hashing: argon2id on a few threads of its own, with a bounded queue in front of them."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from db.errors import DomainError, ErrorCode

# OWASP's Password Storage Cheat Sheet asks for argon2id with at least 19 MiB, 2 passes and 1 lane;
# the memory is what makes guessing on graphics cards dear, so that is where we give more.
TIME_COST = 2
MEMORY_KIBIBYTES = 32 * 1024
PARALLELISM = 1
HASH_BYTES = 32
SALT_BYTES = 16

MAX_CONCURRENT = 2
MAX_WAITING = 64
NICENESS = 5


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Whether the password was right and, when its hash is of an older kind, what to store."""

    ok: bool
    new_hash: str | None = None


class PasswordHasher:
    """Hashes and verifies off the event loop; refuses instead of queueing without end."""

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
        self._places = threading.BoundedSemaphore(max_concurrent + max_waiting)
        self._threads = ThreadPoolExecutor(
            max_concurrent, thread_name_prefix="passwords", initializer=_yield_to_other_threads
        )

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash of a password, with a fresh salt."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> VerifyResult:
        """Compare; with no hash, do the same work, so that a stranger's e-mail costs the same."""
        return await self._run(lambda: self._verify(password_hash or self._nobodys_hash, password))

    def close(self) -> None:
        """Let the running hashes end and drop the waiting ones."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> VerifyResult:
        try:
            self._argon2.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return VerifyResult(ok=False)
        if self._argon2.check_needs_rehash(password_hash):
            return VerifyResult(ok=True, new_hash=self._argon2.hash(password))
        return VerifyResult(ok=True)

    async def _run[Result](self, work: Callable[[], Result]) -> Result:
        if not self._places.acquire(blocking=False):
            raise DomainError(
                ErrorCode.RATE_LIMITED, "Too many sign-ins at once; try again in a moment."
            )
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._places.release()
            raise
        # The work itself frees its place: a caller who goes away does not stop a running hash.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


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
