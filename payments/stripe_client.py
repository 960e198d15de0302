"""Stripe's client, and what its refusals are here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from payments.base import provider_failed, provider_refused
from settings import Settings

if TYPE_CHECKING:
    import stripe

NAME = "stripe"
RETURN_PATH = "/payments/stripe/return"
CALL_SECONDS = 15.0
RETRIES = 2


def make_client(settings: Settings) -> stripe.StripeClient:
    """A client over httpx, which repeats what failed on the way with the same idempotency key."""
    import stripe

    return stripe.StripeClient(
        settings.stripe_secret_key.get_secret_value(),
        base_addresses={"api": settings.stripe_api_url.rstrip("/")},
        http_client=stripe.HTTPXClient(timeout=CALL_SECONDS),
        max_network_retries=RETRIES,
    )


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Says PROVIDER_REFUSED for what Stripe will never do, PROVIDER_FAILED for all else."""
    import stripe

    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise provider_refused(NAME, f"{what}: {error.code}") from None
    except stripe.StripeError as error:
        raise provider_failed(NAME, f"{what}: {type(error).__name__}, {error.code}") from None
