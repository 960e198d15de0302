"""What a password must look like, and what becomes of a refresh token: pure decisions, no I/O."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum

from db.core.errors import bad_input

# NIST SP 800-63B: a floor on length, no rules of composition, and no one character repeated. The
# ceiling only keeps a request from being a megabyte of password.
PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_BYTES = 1024
DEVICE_ID_MIN_CHARACTERS, DEVICE_ID_MAX_CHARACTERS = 8, 128
USER_AGENT_MAX_CHARACTERS = 256


def normalise_password(password: str) -> str:
    """The characters that are hashed: composed (NFC), so that every keyboard types the same."""
    return unicodedata.normalize("NFC", password)


def check_new_password(password: str) -> None:
    """Raise BAD_USER_INPUT when a (normalised) password may not be chosen."""
    if not is_hashable_password(password):
        raise bad_input(
            f"The password must be at most {PASSWORD_MAX_BYTES} bytes of ordinary text.",
            "input",
            "password",
        )
    if len(password) < PASSWORD_MIN_CHARACTERS:
        raise bad_input(
            f"The password must have at least {PASSWORD_MIN_CHARACTERS} characters.",
            "input",
            "password",
        )
    if _repeats_one_character(password):
        raise bad_input(
            "The password must have more than one character repeated.", "input", "password"
        )


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
    """Raise BAD_USER_INPUT when this can be no id that an app gives its device."""
    if not (device_id.isascii() and device_id.isprintable() and " " not in device_id) or not (
        DEVICE_ID_MIN_CHARACTERS <= len(device_id) <= DEVICE_ID_MAX_CHARACTERS
    ):
        raise bad_input(
            f"A device id has {DEVICE_ID_MIN_CHARACTERS} to {DEVICE_ID_MAX_CHARACTERS} characters "
            "of ASCII and no blanks; a UUID is one.",
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
    END_FAMILY = "revoke the session with all its tokens"


def decide_refresh(
    *,
    session_alive: bool,
    account_active: bool,
    token_used: bool,
    within_reuse_window: bool,
    successor_unused: bool,
) -> RefreshDecision:
    """A used token comes back either from a retry, soon and before its successor, or a thief."""
    if not session_alive:
        return RefreshDecision.REFUSE
    if not account_active:
        return RefreshDecision.END_FAMILY
    if not token_used:
        return RefreshDecision.ROTATE
    if within_reuse_window and successor_unused:
        return RefreshDecision.REPEAT
    return RefreshDecision.END_FAMILY


def clean_user_agent(user_agent: str | None) -> str | None:
    """What is kept of a User-Agent header: printable, and short."""
    if user_agent is None:
        return None
    printable = "".join(character for character in user_agent if character.isprintable())
    return printable[:USER_AGENT_MAX_CHARACTERS] or None
