"""Codes of authenticator apps (RFC 6238): made with pyotp, each good once."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable

from pyotp import TOTP, random_base32

from db.factors.rules import TOTP_SECONDS, acceptable_steps

DIGITS = 6


def new_secret() -> str:
    """A secret of 160 bits (RFC 4226, 4), in the base 32 that apps take."""
    return random_base32()


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """The `otpauth://` address that an app reads from a QR code."""
    return _app(secret).provisioning_uri(name=account, issuer_name=issuer)


def matching_step(
    secret: str, code: str, *, after: int, clock: Callable[[], float] = time.time
) -> int | None:
    """The time step whose code this is, of those that are good now and later than `after`.

    All of them are compared, so that the time it takes says nothing.
    """
    app = _app(secret)
    found = None
    for step in acceptable_steps(clock()):
        if hmac.compare_digest(app.generate_otp(step), code) and step > after:
            found = step
    return found


def _app(secret: str) -> TOTP:
    return TOTP(secret, digits=DIGITS, interval=TOTP_SECONDS)
