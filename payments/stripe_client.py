"""Stripe's client, and what its refusals are here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from payments.base import (
    Delivery,
    DeliveryRefusal,
    DeliveryRefused,
    provider_failed,
    provider_refused,
)
from settings import Settings

if TYPE_CHECKING:
    import stripe

NAME = "stripe"
RETURN_PATH = "/payments/stripe/return"
SIGNATURE_HEADER = "stripe-signature"
# How old a signature may be, as Stripe's own libraries have it.
TOLERANCE = timedelta(seconds=300)
CALL_SECONDS = 15.0
RETRIES = 2
# What an answer raises where something in it is missing, or is something else.
UNDOCUMENTED = (AttributeError, LookupError, OverflowError, OSError, TypeError, ValueError)


def make_client(settings: Settings) -> stripe.StripeClient:
    """A client over httpx, which repeats what failed on the way with the same idempotency key."""
    import stripe

    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        base_addresses={"api": settings.stripe_api_url.rstrip("/")},
        http_client=stripe.HTTPXClient(timeout=CALL_SECONDS),
        max_network_retries=RETRIES,
    )


def check_signature(delivery: Delivery, secrets: Sequence[str]) -> None:
    """Raises `DeliveryRefused` unless Stripe signed it under one of the secrets, lately."""
    import stripe

    header = delivery.headers.get(SIGNATURE_HEADER, "")
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(delivery.body, header, secret)
            break
        # It raises TypeError for a signature that is no ASCII.
        except (stripe.SignatureVerificationError, TypeError, ValueError):
            continue
    else:
        raise DeliveryRefused(DeliveryRefusal.FORGED, "the signature is not Stripe's")
    # What was verified has it.
    seconds = next(part[2:] for part in header.split(",") if part.startswith("t="))
    if abs(delivery.received_at.timestamp() - int(seconds)) > TOLERANCE.total_seconds():
        raise DeliveryRefused(DeliveryRefusal.STALE, "it was signed more than 300 s ago, or ahead")


def text_of(said: object) -> str:
    """A text of an answer, an id or an address; TypeError for anything else."""
    if not isinstance(said, str) or not said:
        raise TypeError("it is no text")
    return said


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Says PROVIDER_FAILED for an answer that is not as Stripe documents it."""
    try:
        yield
    except UNDOCUMENTED as error:
        raise provider_failed(NAME, f"{what}: {type(error).__name__}") from None


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Says PROVIDER_REFUSED for what Stripe will never do, PROVIDER_FAILED for all else.

    That includes an answer which is not as Stripe documents it, whoever stumbles over it: the
    library, or what reads the answer within.
    """
    import stripe

    try:
        with reading(what):
            yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise provider_refused(NAME, f"{what}: {error.code}") from None
    except stripe.StripeError as error:
        raise provider_failed(NAME, f"{what}: {type(error).__name__}, {error.code}") from None
