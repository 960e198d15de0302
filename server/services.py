"""The services behind a request, made once per process when the server starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from auth.accounts import Accounts
from auth.attempts import Attempts
from auth.failed_attempts import FailedAttempts
from auth.keys import SigningKeys
from auth.mutation_rates import MutationRates
from auth.passwords import PasswordHasher
from auth.query_rates import QueryRates
from auth.revocation_watch import RevocationWatch
from auth.services import AccountServices
from auth.sessions import Sessions
from auth.shared_rates import SharedRates
from auth.tokens import AccessTokens
from db.core.pool import Database
from db.files.images import ImageWorker
from db.uploads.receiving import UploadReceiver
from graph.live.hub import EventHub
from graph.shared.answer_memory import AnswerMemory
from graph.shared.traffic import Traffic
from settings import Settings


@dataclass(frozen=True)
class Services:
    """What operations and routes work with."""

    settings: Settings
    traffic: Traffic
    database: Database
    keys: SigningKeys
    tokens: AccessTokens
    passwords: PasswordHasher
    attempts: Attempts
    failures: FailedAttempts
    sessions: Sessions
    accounts: Accounts
    revocations: RevocationWatch
    hub: EventHub
    images: ImageWorker
    uploads: UploadReceiver
    answers: AnswerMemory
    mutations: MutationRates
    queries: QueryRates
    rates: SharedRates
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def wake(self) -> None:
        """Something was committed: subscribers should look."""
        self.hub.wake()

    def of[T](self, make: Callable[[AccountServices], T]) -> T:
        """A service that a slice needs: made once, by the function that names it."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made
