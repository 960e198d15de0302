"""How many wrong codes an account is sent before its codes rest for a while."""

from __future__ import annotations

import hmac
from datetime import timedelta
from uuid import UUID

from db.accounts import budgets
from db.accounts.budgets import Budget
from db.core.errors import RateLimited
from db.core.pool import Transaction
from db.factors.rules import KNOWN_PLACE_DAYS, WRONG_CODES_PER_DAY, WRONG_CODES_PER_HOUR
from settings import Settings

FROM_A_PLACE = Budget("wrong_codes_of_place", WRONG_CODES_PER_HOUR)
FROM_ELSEWHERE = Budget("wrong_codes", WRONG_CODES_PER_DAY, timedelta(days=1))
KNOWN_PLACES = Budget("known_places", 1, timedelta(days=KNOWN_PLACE_DAYS))


class CodeGuesses:
    """Counts wrong codes, for each account by network and in all.

    Who knows a password and guesses codes from many addresses meets the account's own budget. It
    does not count where the owner's code was right before, so that nobody can use it up for them;
    and recovery codes and passkeys, which nobody guesses, are not counted at all.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()

    async def refuse(self, transaction: Transaction, user_id: UUID, network: str) -> None:
        """RATE_LIMITED when there were too many wrong ones. Call it with the app's row locked."""
        for budget, holder in await self._budgets(transaction, user_id, network):
            wait = await budgets.look(transaction, budget, holder)
            if wait is not None:
                raise RateLimited(
                    "Too many wrong codes were sent for this account. Use a recovery code or a "
                    "passkey, or try again later.",
                    wait,
                )

    async def count_wrong(self, transaction: Transaction, user_id: UUID, network: str) -> None:
        """Notes a wrong code."""
        for budget, holder in await self._budgets(transaction, user_id, network):
            await budgets.take(transaction, budget, holder)

    async def note_right(self, transaction: Transaction, user_id: UUID, network: str) -> None:
        """Notes that the owner was here."""
        place = self._hash(KNOWN_PLACES, user_id, network)
        await budgets.take(transaction, KNOWN_PLACES, place)

    async def _budgets(
        self, transaction: Transaction, user_id: UUID, network: str
    ) -> list[tuple[Budget, bytes]]:
        """What pays for a guess from here."""
        paying = [(FROM_A_PLACE, self._hash(FROM_A_PLACE, user_id, network))]
        place = self._hash(KNOWN_PLACES, user_id, network)
        if await budgets.look(transaction, KNOWN_PLACES, place) is None:
            paying.append((FROM_ELSEWHERE, self._hash(FROM_ELSEWHERE, user_id)))
        return paying

    def _hash(self, budget: Budget, user_id: UUID, network: str = "") -> bytes:
        return hmac.digest(self._key, f"{budget.kind}:{user_id}:{network}".encode(), "sha256")
