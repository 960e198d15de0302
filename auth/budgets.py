"""Hourly budgets of an address or a device: new accounts, bonuses, answers that show an account."""

from __future__ import annotations

import hmac
import math
import time
from collections import OrderedDict
from datetime import timedelta

from db.accounts import budgets
from db.accounts.budgets import Budget
from db.accounts.rules import budget_kinds
from db.core.errors import RateLimited
from db.core.pool import Transaction
from settings import Settings

# A device gets one bonus; longer than this nothing of it is kept.
DEVICE_BONUS = Budget("device_bonuses", 1, timedelta(days=365))
# Guests from one address share the free activities of so many: those who name no device, and those
# who do, of whom a café or a dormitory has many.
GUESTS_OF_AN_ADDRESS, DEVICES_OF_AN_ADDRESS = 20, 100
KNOWN_EMAILS = "known_emails"
TOO_MANY_ACCOUNTS = "Too many accounts were opened from this address; try again later."
TOO_MANY_KNOWN = "Too many sign-ups with known e-mail addresses from here; try again later."
# Addresses that must wait; of more than these the database is asked each time.
REMEMBERED_WAITS = 10_000


class AccountBudgets:
    """The budgets of signing up. Addresses and devices are stored as keyed hashes only."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()
        # What is used up has no room before its wait is over, whatever other processes do.
        self._waits: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._per_hour = {
            "guests": settings.accounts_per_hour,
            "sign_ups": settings.accounts_per_hour,
            "guest_bonuses": settings.guest_bonuses_per_hour,
            "sign_up_bonuses": settings.sign_up_bonuses_per_hour,
            KNOWN_EMAILS: settings.email_in_use_answers_per_hour,
        }

    def refuse_early(self, network: str, *, is_guest: bool) -> None:
        """RATE_LIMITED for an address that was told to wait and does not; costs no statement."""
        self._refuse_waiting(budget_kinds(is_guest=is_guest).account, network, TOO_MANY_ACCOUNTS)
        if not is_guest:
            self._refuse_waiting(KNOWN_EMAILS, network, TOO_MANY_KNOWN)

    async def open_account(self, transaction: Transaction, network: str, *, is_guest: bool) -> None:
        """Counts an account opened from an address; RATE_LIMITED when that has opened too many."""
        kind = budget_kinds(is_guest=is_guest).account
        wait = await budgets.take(transaction, *self._of(kind, network))
        if wait is not None:
            raise self._refused(kind, network, TOO_MANY_ACCOUNTS, wait)

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

    def play_holders(self, network: str, device_id: str | None) -> dict[bytes, int]:
        """Whose free activities a new guest shares, and how many guests' there are.

        Who opens another account on a device has the day of the one before. Those who name a device
        share other days of their address than those who do not, who could not be told apart.
        """
        if device_id is None:
            return {self._digest("guest_plays", network): GUESTS_OF_AN_ADDRESS}
        return {
            self._digest("devices_of_address", network): DEVICES_OF_AN_ADDRESS,
            self._digest("device_plays", device_id): 1,
        }

    async def tell_known_email(
        self, transaction: Transaction, network: str, *, is_known: bool
    ) -> None:
        """RATE_LIMITED, for every address alike, once too many were told to be known."""
        ask = budgets.take if is_known else budgets.look
        wait = await ask(transaction, *self._of(KNOWN_EMAILS, network))
        if wait is not None:
            raise self._refused(KNOWN_EMAILS, network, TOO_MANY_KNOWN, wait)

    def _refused(self, kind: str, network: str, message: str, wait: int) -> RateLimited:
        self._waits[kind, network] = time.monotonic() + wait - 1
        if len(self._waits) > REMEMBERED_WAITS:
            self._waits.popitem(last=False)
        return RateLimited(message, wait)

    def _refuse_waiting(self, kind: str, network: str, message: str) -> None:
        wait = self._waits.get((kind, network), 0.0) - time.monotonic()
        if wait > 0:
            raise RateLimited(message, math.ceil(wait) + 1)

    def _of(self, kind: str, network: str) -> tuple[Budget, bytes]:
        """An address's budget of an hour, and who holds it."""
        budget = Budget(kind, self._per_hour[kind])
        return budget, self._hash(budget, network)

    def _hash(self, budget: Budget, holder: str) -> bytes:
        return self._digest(budget.kind, holder)

    def _digest(self, kind: str, holder: str) -> bytes:
        return hmac.digest(self._key, f"{kind}:{holder}".encode(), "sha256")
