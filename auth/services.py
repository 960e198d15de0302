"""What the ways into an account are made of; a process makes each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from auth.passwords import PasswordHasher
from auth.sessions import Sessions
from auth.shared_rates import SharedRates
from auth.tokens import AccessTokens
from db.core.pool import Database
from settings import Settings


class AccountServices(Protocol):
    """What a service of accounts may take."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def tokens(self) -> AccessTokens: ...
    @property
    def passwords(self) -> PasswordHasher: ...
    @property
    def attempts(self) -> Attempts: ...
    @property
    def failures(self) -> FailedAttempts: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def rates(self) -> SharedRates: ...
    def of[T](self, make: Callable[[AccountServices], T]) -> T:
        """Another service, made once, by the function that names it."""
        ...
