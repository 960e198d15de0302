"""What a code looks like and how long it is good: pure decisions on second factors, no I/O."""

from __future__ import annotations

import re
import secrets
from enum import Enum

from db.accounts.assurance import SignInMethod
from db.core.errors import bad_input

CHALLENGE_MINUTES = 10
GUESSES_PER_CHALLENGE = 5
# Wrong codes of one account from one network in an hour, and from all networks that its owner did
# not use in a day. Three codes in a million are right at a time: who knows the password and guesses
# all year comes in with a chance of 1 in 18.
WRONG_CODES_PER_HOUR = 10
WRONG_CODES_PER_DAY = 50
# How long a network counts as the owner's own after a right code came from it.
KNOWN_PLACE_DAYS = 30
PASSKEYS_PER_USER = 20
PASSKEY_NAME_MAX_CHARACTERS = 100
PASSKEYS_NAMED = 5
# WebAuthn, 13.4.3 and 15.1: challenges are random and for one answer; 300 seconds is the least.
PASSKEY_CHALLENGE_MINUTES = 5
TOTP_SECONDS = 30
# RFC 6238, 5.2: one step of tolerance for clocks and slow hands.
TOTP_STEPS_AROUND = 1

RECOVERY_CODE_COUNT = 10
RECOVERY_CODE_CHARACTERS = 16
# Crockford's base 32: no letter that is taken for a digit.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans("ILO", "110")
_DIGITS = re.compile(r"[0-9]{6}", re.ASCII)
_RECOVERY = re.compile(f"[{_ALPHABET}]{{{RECOVERY_CODE_CHARACTERS}}}", re.ASCII)


class SecondFactor(Enum):
    """What can be asked for as a second factor."""

    TOTP = "TOTP"
    RECOVERY_CODE = "RECOVERY_CODE"
    PASSKEY = "PASSKEY"


def clean_code(code: str) -> tuple[SignInMethod, str] | None:
    """What kind of code was typed, and the code without blanks and dashes; None for neither."""
    plain = re.sub(r"[\s-]", "", code[:64])
    if _DIGITS.fullmatch(plain):
        return SignInMethod.TOTP, plain
    plain = plain.upper().translate(_MISREAD)
    return (SignInMethod.RECOVERY_CODE, plain) if _RECOVERY.fullmatch(plain) else None


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 random bits, as they are shown: `7K2M-0QXA-93FD-ZT5N`."""
    return [_recovery_code() for _ in range(RECOVERY_CODE_COUNT)]


def _recovery_code() -> str:
    characters = "".join(secrets.choice(_ALPHABET) for _ in range(RECOVERY_CODE_CHARACTERS))
    return "-".join(characters[start : start + 4] for start in range(0, len(characters), 4))


def check_passkey_name(name: str) -> str:
    """A passkey's name without the blanks around it; raises BAD_USER_INPUT when it is none."""
    cleaned = name.strip()
    if not 1 <= len(cleaned) <= PASSKEY_NAME_MAX_CHARACTERS or not cleaned.isprintable():
        raise bad_input(
            f"A name has 1 to {PASSKEY_NAME_MAX_CHARACTERS} characters that can be seen.",
            "input",
            "name",
        )
    return cleaned


def named_passkeys(names: list[str]) -> str:
    """The names of passkeys as a mail shows them: the first few."""
    more = ["…"] if len(names) > PASSKEYS_NAMED else []
    return ", ".join(names[:PASSKEYS_NAMED] + more)


def acceptable_steps(now: float) -> range:
    """The time steps whose codes are good at a time in Unix seconds."""
    step = int(now) // TOTP_SECONDS
    return range(step - TOTP_STEPS_AROUND, step + TOTP_STEPS_AROUND + 1)
