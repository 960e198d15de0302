"""Counts of attempts at a password that wear off one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from uuid import UUID

from db.accounts.operations import BEGIN_PASSWORD_GUESS, FORGET_PASSWORD_GUESSES
from db.core.commands import call
from db.core.pool import Transaction


@dataclass(frozen=True, slots=True)
class PasswordGuess:
    """Whose password is tried, if it is anybody's, about where, and who holds the counts."""

    user_id: UUID | None
    area: str | None
    account_holder: bytes
    area_holder: bytes


async def begin_guess(transaction: Transaction, guess: PasswordGuess, most: int) -> int | None:
    """Counts an attempt; how many seconds to wait when there were `most` already."""
    wanted = BEGIN_PASSWORD_GUESS(
        owner_id=guess.user_id,
        area=guess.area,
        account_holder=guess.account_holder,
        area_holder=guess.area_holder,
        most=most,
    )
    wait = await call(transaction, wanted)
    return None if wait is None else max(1, math.ceil(wait))


async def forget_guesses(transaction: Transaction, guess: PasswordGuess) -> None:
    """Forgets what was counted for an account, and for where its owner has just been."""
    wanted = FORGET_PASSWORD_GUESSES(
        account_holder=guess.account_holder, area_holder=guess.area_holder
    )
    await call(transaction, wanted)
