"""What a password must look like, and what becomes of a refresh token: pure decisions, no I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from db.accounts.password_words import is_made_of
from db.core.errors import DomainError, ErrorCode, bad_input

# NIST SP 800-63B, 3.1.1.2: a floor on length, a ceiling of 64 or more, a list of common ones, and
# no rules of composition.
PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_CHARACTERS = 256
# What could be stored before there was a ceiling in characters; as many fit in as have four bytes.
PASSWORD_MAX_BYTES = 1024
DEVICE_ID_MAX_CHARACTERS = 128


def normalise_password(password: str) -> str:
    """The characters that are hashed: NFKC, so that every keyboard types the same."""
    return unicodedata.normalize("NFKC", password)


def hashed_forms(password: str) -> tuple[str, ...]:
    """What a stored hash may have been made of, today's form first; empty when of nothing.

    Older hashes are of NFC, imported ones of what was typed; both differ for few passwords.
    """
    if not is_hashable_password(password):
        return ()
    forms = (normalise_password(password), unicodedata.normalize("NFC", password), password)
    return tuple(form for form in dict.fromkeys(forms) if is_hashable_password(form))


def check_new_password(
    password: str, field: str = "password", about: Iterable[str | None] = ()
) -> None:
    """Raise BAD_USER_INPUT or PASSWORD_TOO_WEAK when a (normalised) password may not be chosen.

    `about` are the names of the account and of the product, which are the first that anybody
    guesses.
    """
    if not is_hashable_password(password) or len(password) > PASSWORD_MAX_CHARACTERS:
        raise bad_input(
            f"The password must be at most {PASSWORD_MAX_CHARACTERS} characters of ordinary text.",
            "input",
            field,
        )
    if len(password) < PASSWORD_MIN_CHARACTERS:
        raise bad_input(
            f"The password must have at least {PASSWORD_MIN_CHARACTERS} characters.",
            "input",
            field,
        )
    is_common = password.casefold() in _common_passwords()
    is_name = is_made_of(password, filter(None, about), PASSWORD_MIN_CHARACTERS)
    if is_name or is_common or _repeats_one_character(password):
        raise DomainError(
            ErrorCode.PASSWORD_TOO_WEAK,
            "This password is one of the first that anybody guesses; choose another one.",
            ("input", field),
        )


@cache
def _common_passwords() -> frozenset[str]:
    """Read when somebody first chooses a password."""
    lines = Path(__file__).with_name("common_passwords.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _repeats_one_character(password: str) -> bool:
    """Also when accents that have no composed form stand on it."""
    end = 1
    while end < len(password) and unicodedata.combining(password[end]):
        end += 1
    return password == password[:end] * (len(password) // end)


def is_hashable_password(password: str) -> bool:
    """Whether this could be anyone's password at all."""
    if "\0" in password or any("\ud800" <= character <= "\udfff" for character in password):
        return False
    return len(password.encode()) <= PASSWORD_MAX_BYTES


def check_device_id(device_id: str) -> None:
    """Raise BAD_USER_INPUT when this can be no id that an app gives its device.

    One rule for syncs, referrals and guests, so that an app needs one id.
    """
    if not 0 < len(device_id) <= DEVICE_ID_MAX_CHARACTERS or not device_id.isprintable():
        raise bad_input(
            f"deviceId has 1 to {DEVICE_ID_MAX_CHARACTERS} printable characters; a UUID is one.",
            "input",
            "deviceId",
        )


@dataclass(frozen=True, slots=True)
class BudgetKinds:
    """The budgets of an address that pay for a new account, and for its bonus."""

    account: str
    bonus: str


def budget_kinds(*, is_guest: bool) -> BudgetKinds:
    """What pays for an account; guests and members apart, so that neither keeps the other out.

    Nothing shows who is behind a guest or an e-mail that was never confirmed, so the address that
    they call from answers for them. A confirmed e-mail answers for itself: whoever confirms it
    grants the bonus beside all budgets. `grant_sign_up_bonus()` gives what the terms still owe, and
    nothing twice.
    """
    return BudgetKinds(
        *(("guests", "guest_bonuses") if is_guest else ("sign_ups", "sign_up_bonuses"))
    )


class RefreshDecision(Enum):
    """What becomes of a presented refresh token."""

    ROTATE = "use it up and hand out its successor"
    REPEAT = "hand out the successor that it already has"
    REFUSE = "change nothing"
    EXPIRED = "change nothing, and ask for a new sign-in"
    END_FAMILY = "revoke the session with all its tokens"


def decide_refresh(
    *,
    sign_in_is_over: bool,
    session_alive: bool,
    account_active: bool,
    token_used: bool,
    within_reuse_window: bool,
    successor_unused: bool,
) -> RefreshDecision:
    """A used token comes back either from a retry, soon and before its successor, or a thief.

    `sign_in_is_over` where the session's owner proved who they are too long ago.
    """
    if not session_alive:
        return RefreshDecision.REFUSE
    if sign_in_is_over:
        return RefreshDecision.EXPIRED
    if not account_active:
        return RefreshDecision.END_FAMILY
    if not token_used:
        return RefreshDecision.ROTATE
    if within_reuse_window and successor_unused:
        return RefreshDecision.REPEAT
    return RefreshDecision.END_FAMILY
