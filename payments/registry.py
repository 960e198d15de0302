"""The providers that the settings turn on; one without its secret is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from payments.app_store import make_app_store
from payments.base import PaymentProvider
from payments.google_play import make_google_play
from payments.paymob import make_paymob
from payments.paypal import make_paypal
from payments.revenuecat import make_revenuecat
from payments.sandbox import make_sandbox
from payments.stripe import make_stripe
from payments.stripe_connect import make_stripe_connect
from settings import Settings


class PaymentServices(Protocol):
    """What payments are made with, in an API's process and in a worker's."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...


# Each gives nothing where its settings leave it off.
MAKERS: Mapping[str, Callable[[Settings], PaymentProvider | None]] = {
    "sandbox": make_sandbox,
    "paymob": make_paymob,
    "paypal": make_paypal,
    "revenuecat": make_revenuecat,
    "stripe": make_stripe,
    "app-store": make_app_store,
    "google-play": make_google_play,
}


def configured_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """The providers that can be paid with, by name."""
    made = {name: make(settings) for name, make in MAKERS.items()}
    return {name: provider for name, provider in made.items() if provider is not None}


# What is told of beside orders: nothing is paid there.
TELLERS: Mapping[str, Callable[[Settings], PaymentProvider | None]] = {
    "stripe-connect": make_stripe_connect,
}


def configured_tellers(settings: Settings) -> dict[str, PaymentProvider]:
    """All whose webhooks are taken in: the providers, and what is told of beside orders."""
    made = {name: make(settings) for name, make in TELLERS.items()}
    tellers = {name: teller for name, teller in made.items() if teller is not None}
    return configured_providers(settings) | tellers


def provider_not_configured(*path: str) -> DomainError:
    """The refusal of a provider that is off, or that there is not."""
    return DomainError(
        ErrorCode.PROVIDER_NOT_CONFIGURED,
        "This payment provider is not set up here. Choose another of the product's `prices`.",
        path,
    )
