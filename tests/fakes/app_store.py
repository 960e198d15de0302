"""The App Store as its documents describe it: certificates, signed transactions, notifications."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from payments.base import Delivery

BUNDLE, APPLE_ID = "com.shop.app", 6_000_001
# By these extensions Apple marks what signs receipts, and what stands above it.
LEAF_MARK, INTERMEDIATE_MARK = "1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A chain of certificates, and the key of its end; `root` is a PEM file's text."""

    root: bytes
    chain: tuple[bytes, ...]
    key: ec.EllipticCurvePrivateKey

    def sign(self, said: dict[str, Any]) -> str:
        """What Apple would have signed."""
        x5c = [base64.b64encode(one).decode() for one in self.chain]
        return jwt.encode(said, self.key, algorithm="ES256", headers={"x5c": x5c})


@cache
def authority(name: str = "the tests", leaf_mark: str = LEAF_MARK) -> Authority:
    """Apple's certificates, made anew; another name makes somebody else's."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [f"{part} of {name}" for part in ("root", "intermediate", "leaf")]
    root = _certificate(names[0], keys[0], names[0], keys[0], None)
    intermediate = _certificate(names[1], keys[1], names[0], keys[0], INTERMEDIATE_MARK)
    leaf = _certificate(names[2], keys[2], names[1], keys[1], leaf_mark, is_leaf=True)
    der = serialization.Encoding.DER
    return Authority(
        root.public_bytes(serialization.Encoding.PEM),
        tuple(one.public_bytes(der) for one in (leaf, intermediate, root)),
        keys[2],
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    mark: str | None,
    *,
    is_leaf: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=not is_leaf, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=is_leaf, key_cert_sign=not is_leaf, crl_sign=not is_leaf, **usage
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if mark is not None:
        marked = x509.UnrecognizedExtension(x509.ObjectIdentifier(mark), b"\x05\x00")
        made = made.add_extension(marked, critical=False)
    return made.sign(issuer_key, hashes.SHA256())


def settings(folder: Path, environment: str = "Production") -> dict[str, Any]:
    """What turns the provider on, with the tests' authority above it."""
    path = folder / "app-store-roots.pem"
    path.write_bytes(authority().root)
    return {
        "app_store_bundle_id": BUNDLE,
        "app_store_apple_id": APPLE_ID,
        "app_store_environment": environment,
        "app_store_root_certificates": str(path),
    }


def milliseconds(at: datetime) -> int:
    """A time as Apple writes it."""
    return int(at.timestamp() * 1000)


def transaction(
    transaction_id: str, price_cents: int, currency: str, **changed: Any
) -> dict[str, Any]:
    """A consumable that was bought just now; without what is changed to None."""
    now = milliseconds(datetime.now(UTC))
    made = {
        "transactionId": transaction_id,
        "originalTransactionId": transaction_id,
        "bundleId": BUNDLE,
        "productId": "com.shop.credits50",
        "purchaseDate": now,
        "originalPurchaseDate": now,
        "quantity": 1,
        "type": "Consumable",
        "inAppOwnershipType": "PURCHASED",
        "signedDate": now,
        "environment": "Production",
        "transactionReason": "PURCHASE",
        "storefront": "DEU",
        "price": price_cents * 10,
        "currency": currency,
    } | changed
    return {name: value for name, value in made.items() if value is not None}


def subscription(
    transaction_id: str, original: str, price_cents: int, currency: str, expires: datetime
) -> dict[str, Any]:
    """A month or a year of a subscription."""
    return transaction(
        transaction_id,
        price_cents,
        currency,
        originalTransactionId=original,
        productId="com.shop.premium.month",
        type="Auto-Renewable Subscription",
        subscriptionGroupIdentifier="21000001",
        expiresDate=milliseconds(expires),
    )


def renewal(of: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What is to become of a subscription."""
    return {
        "originalTransactionId": of["originalTransactionId"],
        "productId": of.get("productId"),
        "autoRenewProductId": of.get("productId"),
        "autoRenewStatus": 1,
        "environment": of["environment"],
        "signedDate": of["signedDate"],
    } | changed


def notification(
    kind: str,
    about: dict[str, Any] | None = None,
    *,
    subtype: str | None = None,
    renews: dict[str, Any] | None = None,
    event_id: str | None = None,
    by: Authority | None = None,
    query: str = "",
    **changed: Any,
) -> Delivery:
    """A notification as it is delivered, signed by the tests' authority or another."""
    by = by or authority()
    environment = (about or {}).get("environment", "Production")
    data: dict[str, Any] = {"bundleId": BUNDLE, "environment": environment}
    if environment == "Production":
        data["appAppleId"] = APPLE_ID
    if about is not None:
        data["signedTransactionInfo"] = by.sign(about)
    if renews is not None:
        data["signedRenewalInfo"] = by.sign(renews)
    said: dict[str, Any] = {
        "notificationType": kind,
        "notificationUUID": event_id or str(uuid4()),
        "version": "2.0",
        "signedDate": milliseconds(datetime.now(UTC)),
        "data": data,
    }
    if subtype is not None:
        said["subtype"] = subtype
    body = json.dumps({"signedPayload": by.sign(said | changed)}).encode()
    return Delivery({"content-type": "application/json"}, body, datetime.now(UTC), query)
