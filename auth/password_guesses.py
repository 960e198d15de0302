"""How many wrong passwords an account is sent before others than its owner have to wait."""

from __future__ import annotations

import hmac
from typing import Self
from uuid import UUID

from auth.services import AccountServices
from db.accounts.guesses import PasswordGuess, begin_guess, forget_guesses
from db.core.errors import RateLimited
from db.core.origin import coarse_network
from db.core.pool import Transaction
from settings import Settings


class PasswordGuesses:
    """Counts attempts at one account's password, from wherever they come, until one is right.

    NIST SP 800-63B-4, 3.2.2: no more than 100 in a row. Where the owner has been signed in, as far
    as its sessions know, a count of its own is kept for each network around, which is soon whole
    again: what strangers guess elsewhere keeps nobody out at home. A code, a passkey and a
    provider take no password, and setting a new one ends the count.

    An address without an account is counted as well, and the counts hold no address.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret("refresh-token-key").encode()
        self._most = settings.wrong_passwords_per_account

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of one process."""
        return cls(services.settings)

    async def begin(
        self, transaction: Transaction, account: str, user_id: UUID | None, network: str
    ) -> None:
        """Counts an attempt before anything is compared; RATE_LIMITED when there were too many.

        `account` is the key of its address. What is right is given back by `forget()`.
        """
        wait = await begin_guess(transaction, self._guess(account, user_id, network), self._most)
        if wait is not None:
            raise RateLimited(
                "Too many wrong passwords were sent for this account. Sign in with a code that is "
                "mailed to you, reset the password, or try again later.",
                wait,
            )

    async def forget(self, transaction: Transaction, account: str, network: str) -> None:
        """Begins to count anew: its owner was here."""
        await forget_guesses(transaction, self._guess(account, None, network))

    def _guess(self, account: str, user_id: UUID | None, network: str) -> PasswordGuess:
        area = coarse_network(network)
        return PasswordGuess(user_id, area, self._hash(account), self._hash(f"{account}\n{area}"))

    def _hash(self, holder: str) -> bytes:
        return hmac.digest(self._key, f"wrong-passwords:{holder}".encode(), "sha256")
