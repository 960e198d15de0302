"""The services behind a request, made once per process when the server starts."""

from __future__ import annotations

from dataclasses import dataclass

from auth.accounts import Accounts
from auth.attempts import Attempts
from auth.keys import SigningKeys
from auth.mutation_rates import MutationRates
from auth.passwords import PasswordHasher
from auth.revocation_watch import RevocationWatch
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
    accounts: Accounts
    revocations: RevocationWatch
    hub: EventHub
    images: ImageWorker
    uploads: UploadReceiver
    answers: AnswerMemory
    mutations: MutationRates

    def wake(self) -> None:
        """Something was committed: subscribers should look."""
        self.hub.wake()
