"""How much one address or device may have of new accounts, bonuses, and being told who is known."""

from __future__ import annotations

import hmac
from datetime import timedelta

from db.accounts import budgets
from db.accounts.budgets import Budget
from db.accounts.rules import budget_kinds
from db.errors import RateLimited
from db.pool import Transaction
from settings import Settings

# A device gets one bonus; longer than this nothing of it is kept.
DEVICE_BONUS = Budget("device_bonuses", 1, timedelta(days=365))


class AccountBudgets:
    """The budgets of signing up. Addresses and devices are kept as keyed hashes only."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()
        self._per_hour = {
            "guests": settings.accounts_per_hour,
            "sign_ups": settings.accounts_per_hour,
            "guest_bonuses": settings.guest_bonuses_per_hour,
            "sign_up_bonuses": settings.sign_up_bonuses_per_hour,
            "known_emails": settings.email_in_use_answers_per_hour,
        }

    async def open_account(self, transaction: Transaction, network: str, *, is_guest: bool) -> None:
        """Counts an account opened from an address; RATE_LIMITED when that has opened too many."""
        kind = budget_kinds(is_guest=is_guest).account
        wait = await budgets.take(transaction, *self._of(kind, network))
        if wait is not None:
            raise RateLimited(
                "Too many accounts were opened from this address; try again later.", wait
            )

    async def allows_bonus(
        self,
        transaction: Transaction,
        network: str,
        *,
        is_guest: bool,
        device_id: str | None = None,
    ) -> bool:
        """Whether an account may have its bonus, which counts from now on."""
        address = self._of(budget_kinds(is_guest=is_guest).bonus, network)
        device = None if device_id is None else (DEVICE_BONUS, self._hash(DEVICE_BONUS, device_id))
        # Looked at first: a device that has had its bonus must not use up those of its neighbours.
        if device and await budgets.look(transaction, *device) is not None:
            return False
        if await budgets.take(transaction, *address) is not None:
            return False
        return device is None or await budgets.take(transaction, *device) is None

    async def tell_known_email(
        self, transaction: Transaction, network: str, *, is_known: bool
    ) -> None:
        """RATE_LIMITED, for every address alike, once too many were told to be known."""
        ask = budgets.take if is_known else budgets.look
        wait = await ask(transaction, *self._of("known_emails", network))
        if wait is not None:
            raise RateLimited(
                "Too many sign-ups with known e-mail addresses from here; try again later.", wait
            )

    def _of(self, kind: str, network: str) -> tuple[Budget, bytes]:
        """An address's budget of an hour, and who holds it."""
        budget = Budget(kind, self._per_hour[kind])
        return budget, self._hash(budget, network)

    def _hash(self, budget: Budget, holder: str) -> bytes:
        return hmac.digest(self._key, f"{budget.kind}:{holder}".encode(), "sha256")
