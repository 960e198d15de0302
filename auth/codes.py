"""One-time codes: they are asked for, and proven by their digits or by their link's token.

Who asks for one, or guesses at one, is answered the same and after the same statements, whether the
address has an account or not.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from auth.limited_attempts import notes_limits
from auth.one_time_codes import DIGITS, OneTimeCodes
from auth.places import Places
from auth.services import AccountServices
from db.accounts import budgets, emails
from db.accounts import operations as account_operations
from db.accounts.assurance import SignInMethod
from db.accounts.budgets import Budget
from db.accounts.operations import Account
from db.audit.actions import AuditAction
from db.codes import operations
from db.codes.operations import Claimed, CodePurpose, Place, UsedCode, Whose
from db.core.actor import SERVICE
from db.core.errors import DomainError, ErrorCode, RateLimited, bad_input
from db.core.pool import Transaction

NOBODYS_CODE = UUID(int=0)
REQUESTS, WRONG_CODES = "code_requests", "wrong_mailed_codes"
TOO_MANY = {
    REQUESTS: "Too many codes were asked for from this address; try again later.",
    WRONG_CODES: "Too many wrong codes came from this address; try again later.",
}

_BLANKS = re.compile(r"[\s-]+")
_DIGITS = re.compile(rf"[0-9]{{{DIGITS}}}")


@dataclass(frozen=True, slots=True)
class CodeProof:
    """Codes that somebody has named rightly; the first to use one of them wins."""

    purpose: CodePurpose
    whose: Whose
    code_ids: tuple[UUID, ...]
    network_hash: bytes

    async def use(self, transaction: Transaction) -> UsedCode:
        """Uses it up in the transaction of what it is for; CODE_INVALID when it is too late."""
        used = await operations.use_code(transaction, self.code_ids, self.purpose, self.whose)
        if used is None:
            raise code_invalid(self.purpose)
        return used


class Codes:
    """The one-time codes of one process."""

    def __init__(self, services: AccountServices) -> None:
        settings = services.settings
        self._database = services.database
        self._failures = services.failures
        self._codes = OneTimeCodes(settings)
        self._places = Places(settings)
        hour = timedelta(hours=1)
        self._budgets = {
            REQUESTS: Budget(REQUESTS, settings.code_requests_per_hour, hour),
            WRONG_CODES: Budget(WRONG_CODES, settings.wrong_codes_per_hour, hour),
        }

    @classmethod
    def of(cls, services: AccountServices) -> Self:
        """Those of a process."""
        return cls(services)

    def place(self, key: str, network: str) -> Place:
        """An address and a network as they are stored."""
        return self._places.of(key, network)

    def sign_up_salt(self, key: str) -> bytes:
        """The salt of the passwords that wait for an address, so that equal ones have one hash."""
        return self._places.sign_up_salt(key)

    @notes_limits("code")
    async def request(self, purpose: CodePurpose, email: str, network: str) -> None:
        """Mails a code to the account with an address, if there is one that needs it."""
        if not emails.could_be_email(email):
            raise bad_input(
                "This is not an e-mail address; write one like name@example.com.",
                "input",
                "email",
            )
        key = emails.email_key(email)
        async with self._database.transaction(SERVICE) as transaction:
            await self.count_request(transaction, network)
            await operations.request_code(transaction, purpose, key, self.place(key, network))

    async def count_request(self, transaction: Transaction, network: str) -> None:
        """Counts a request of a network; RATE_LIMITED when it has asked for too many."""
        await self._take(transaction, REQUESTS, network)

    async def prove(
        self,
        purpose: CodePurpose,
        code: str,
        network: str,
        *,
        email: str | None = None,
        user_id: UUID | None = None,
    ) -> CodeProof:
        """Compares a code with those of an address or a user; CODE_INVALID when it is none.

        The token of a link is no guess, and names its code, so that it works without an address and
        however many guesses were made.
        """
        given = _BLANKS.sub("", unicodedata.normalize("NFKC", code))
        if _DIGITS.fullmatch(given):
            key = emails.email_key(email) if email and emails.could_be_email(email) else None
            return await self._guess(purpose, given, network, Whose(key, user_id))
        code_id = self._codes.code_id_of_link(code.strip())
        if code_id is None:
            raise code_invalid(purpose)
        return await self._follow_link(purpose, code_id, network, email, user_id)

    async def _guess(
        self, purpose: CodePurpose, given: str, network: str, whose: Whose
    ) -> CodeProof:
        network_hash = self._places.network_hash(network)
        async with self._database.transaction(SERVICE) as transaction:
            budget, holder = self._budget(WRONG_CODES, network)
            if (wait := await budgets.look(transaction, budget, holder)) is not None:
                raise RateLimited(TOO_MANY[WRONG_CODES], wait)
            guessed = await operations.guess_code(transaction, purpose, whose, network_hash)
        # Only now, with the guess counted, may it be compared.
        compared = [(self._codes.is_right(i, given), i) for i in tuple(guessed) or (NOBODYS_CODE,)]
        right = tuple(i for is_right, i in compared if is_right and i != NOBODYS_CODE)
        if not right:
            if whose.user_id is None:
                user_id = next(filter(None, guessed.values()), None)
                self._failures.note(user_id, AuditAction.SIGN_IN_FAILED, SignInMethod.EMAIL)
            async with self._database.transaction(SERVICE) as transaction:
                await self._take(transaction, WRONG_CODES, network)
            raise code_invalid(purpose)
        return CodeProof(purpose, whose, right, network_hash)

    async def _follow_link(
        self,
        purpose: CodePurpose,
        code_id: UUID,
        network: str,
        email: str | None,
        user_id: UUID | None,
    ) -> CodeProof:
        async with self._database.transaction(SERVICE) as transaction:
            whose = await operations.owner_of_code(transaction, code_id)
        is_others = user_id is not None and (whose is None or whose.user_id != user_id)
        is_of_another = email is not None and (
            whose is None or whose.key != emails.email_key(email)
        )
        if whose is None or is_others or is_of_another:
            raise code_invalid(purpose)
        return CodeProof(purpose, whose, (code_id,), self._places.network_hash(network))

    async def _take(self, transaction: Transaction, kind: str, network: str) -> None:
        wait = await budgets.take(transaction, *self._budget(kind, network))
        if wait is not None:
            raise RateLimited(TOO_MANY[kind], wait)

    def _budget(self, kind: str, network: str) -> tuple[Budget, bytes]:
        return self._budgets[kind], self._places.network_hash(network)


async def claimed_account(transaction: Transaction, used: UsedCode) -> tuple[Account, Claimed]:
    """The account of a code, given to who reads its mail; and what ends of it.

    Whoever typed the address first has nothing of it once its owner has come. CODE_INVALID when the
    account may not be used.
    """
    assert used.user_id is not None
    claimed = await operations.claim_unconfirmed_account(transaction, used.user_id)
    return await active_account(transaction, used), claimed or Claimed()


async def active_account(transaction: Transaction, used: UsedCode) -> Account:
    """The account of a code, its address confirmed by it; CODE_INVALID when it may not be used."""
    assert used.user_id is not None
    account = await account_operations.confirm_email(transaction, used.user_id)
    if account is None:
        raise code_invalid()
    return account


def code_invalid(purpose: CodePurpose | None = None) -> DomainError:
    """The one answer to a code that is wrong, used, expired or nobody's."""
    advice = "Ask for a new one."
    if purpose in (CodePurpose.UNDO_EMAIL_CHANGE, CodePurpose.UNDO_ADDED_FACTOR):
        # Nobody can ask for another.
        advice = "Take the one of the newest mail that told of the change, within its seven days."
    message = f"This code is not right, or it is too old. {advice}"
    return DomainError(ErrorCode.CODE_INVALID, message, ("input", "code"))
