"""What a push token may be, who delivers to it, and how long a notification is worth pushing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from db.core.errors import DomainError, bad_input
from db.push.tables import DevicePlatform, PushProvider

# APNs gives bytes, which apps write in hexadecimal digits, and warns that their number may change;
# FCM's tokens are longer and always have a colon.
_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
# What is older says nothing new to who switches a phone on. Shorter than deliveries are kept.
IS_OF_USE = timedelta(days=3)

FIRST_RETRY_SECONDS = 10.0
LONGEST_RETRY_SECONDS = 3600.0


def problems_of_token(token: str) -> Iterator[DomainError]:
    """What is wrong with a push token; the refusal does not repeat it."""
    if not _TOKEN.fullmatch(token):
        yield bad_input(
            "token must have 8 to 4,096 printable ASCII characters and no blanks.", "input", "token"
        )


def provider_of(platform: DevicePlatform, token: str) -> PushProvider:
    """Who made a token: APNs for an iPhone's in hexadecimal digits, else FCM.

    Apps on iPhones that use Firebase have tokens of FCM's there, too.
    """
    is_apns = platform is DevicePlatform.IOS and _HEXADECIMAL.fullmatch(token)
    return PushProvider.APNS if is_apns else PushProvider.FCM


def is_of_use(age: timedelta) -> bool:
    """Whether a notification of some age is still worth pushing."""
    return age < IS_OF_USE


def retry_seconds(attempt: int) -> float:
    """How long a delivery waits after its first, second, … attempt that no provider took."""
    return float(min(FIRST_RETRY_SECONDS * 3 ** min(attempt - 1, 9), LONGEST_RETRY_SECONDS))
