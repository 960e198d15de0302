"""What provokes each error of purchases in app stores, for the tests of all errors."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from db.core.errors import DomainError, ErrorCode
from payments.app_store import AppStoreProvider
from payments.base import ProvenPurchase
from payments.purchases import purchases_of
from payments.sandbox import SandboxProvider
from settings import Settings
from tests.fakes import app_store

PRODUCT = "com.shop.credits50.errors"


class Closed(SandboxProvider):
    """A store that does not answer."""

    async def read_purchase(self, proof: str, buyer: UUID) -> ProvenPurchase:
        raise DomainError(ErrorCode.PROVIDER_FAILED, "No.")


@cache
def store() -> AppStoreProvider:
    """An App Store of the tests' own."""
    folder = Path(tempfile.mkdtemp(prefix="app-store-"))
    given = app_store.settings(folder)
    return AppStoreProvider(Settings(_env_file=None, data_directory=folder, **given))


def _given(mutation: str, provider: str, proof: str) -> str:
    name = f'proof: "{proof}"' if mutation == "validatePurchase" else f'proofs: ["{proof}"]'
    return f'{{provider: "{provider}", {name}}}'


def _proving(mutation: str, **changed: Any) -> Any:
    """A purchase that is proven, and still is not given."""

    async def provoke(stage: Any) -> str:
        stage.services.of(purchases_of).providers["app-store"] = store()
        await stage.owner.execute(
            "insert into product_prices (product_id, provider, amount_cents, currency, price_id)"
            " values ('credits-50', 'app-store', 500, 'USD', $1)"
            " on conflict (product_id, provider) do update set price_id = excluded.price_id",
            PRODUCT,
        )
        bought = app_store.transaction(str(uuid4()), 500, "USD", productId=PRODUCT) | changed
        return _given(mutation, "app-store", app_store.authority().sign(bought))

    return provoke


def _proving_much(mutation: str) -> Any:
    """One proof more than a user may send in an hour."""

    async def provoke(stage: Any) -> str:
        stage.services.of(purchases_of).providers["app-store"] = store()
        await stage.owner.execute(
            "select app.take_proof($1) from generate_series(1, 100)", stage.actor.user_id
        )
        return _given(mutation, "app-store", "a proof")

    return provoke


def _closed(mutation: str) -> Any:
    async def provoke(stage: Any) -> str:
        stage.services.of(purchases_of).providers["closed"] = Closed("secret", "http://localhost")
        return _given(mutation, "closed", "a proof")

    return provoke


def _provoked(mutation: str) -> dict[str, Any]:
    return {
        "NOT_FOUND": _proving(mutation, productId="com.shop.unknown"),
        "INVALID_STATE": _proving(mutation, quantity=2),
        "PURCHASE_INVALID": _proving(mutation, bundleId="com.another.app"),
        "PURCHASE_IN_USE": _proving(mutation, appAccountToken=str(uuid4())),
        "LIMIT_EXCEEDED": _proving_much(mutation),
        "PROVIDER_NOT_CONFIGURED": _given(mutation, "none", "a proof"),
        "PROVIDER_FAILED": _closed(mutation),
    }


PROVOKED: dict[str, dict[str, Any]] = {
    "validatePurchase": _provoked("validatePurchase"),
    "restorePurchases": {
        **_provoked("restorePurchases"),
        "BAD_USER_INPUT": f'{{provider: "none", proofs: [{", ".join(["1"] * 51)}]}}'.replace(
            "1", '"p"'
        ),
    },
}
