"""A passkey in software: it makes credentials and signs challenges as a browser hands them over."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, MAY_BE_SYNCED, IS_SYNCED, HAS_KEY = 1, 4, 8, 16, 64
AAGUID = bytes(16)


def text(data: bytes) -> str:
    """Bytes as WebAuthn's JSON writes them."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(value: str) -> bytes:
    """The bytes of such a text."""
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


@dataclass
class Authenticator:
    """One device with one passkey; its owner can be at another page, or a thief."""

    origin: str = "http://localhost:5173"
    verifies_user: bool = True
    counts: bool = True
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes | None = None
    sign_count: int = 0

    def register(self, options: Any, **changed: Any) -> dict[str, Any]:
        """What `navigator.credentials.create()` gives; `changed` forges some of it."""
        self.user_handle = data(options["user"]["id"])
        client_data = self._client_data("webauthn.create", options["challenge"], changed)
        key = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: key.x.to_bytes(32), -3: key.y.to_bytes(32)}
        length = len(self.credential_id).to_bytes(2)
        attested = AAGUID + length + self.credential_id + cbor2.dumps(cose)
        told = self._told(changed.get("rp_id", options["rp"]["id"]), HAS_KEY, changed) + attested
        made = {"fmt": "none", "attStmt": {}, "authData": told}
        return self._credential(
            clientDataJSON=text(client_data),
            attestationObject=text(cbor2.dumps(made)),
            transports=["internal", "nonsense"],
        )

    def sign(self, options: Any, **changed: Any) -> dict[str, Any]:
        """What `navigator.credentials.get()` gives."""
        client_data = self._client_data("webauthn.get", options["challenge"], changed)
        told = self._told(changed.get("rp_id", options["rpId"]), 0, changed)
        signed = told + hashlib.sha256(client_data).digest()
        signature = self.key.sign(signed, ec.ECDSA(SHA256()))
        handle = changed.get("user_handle", self.user_handle)
        return self._credential(
            clientDataJSON=text(client_data),
            authenticatorData=text(told),
            signature=text(changed.get("signature", signature)),
            userHandle=text(handle) if handle else None,
        )

    def _client_data(self, kind: str, challenge: str, changed: dict[str, Any]) -> bytes:
        told = {
            "type": changed.get("type", kind),
            "challenge": changed.get("challenge", challenge),
            "origin": changed.get("origin", self.origin),
            "crossOrigin": changed.get("cross_origin", False),
        }
        return json.dumps(told).encode()

    def _told(self, rp_id: str, flags: int, changed: dict[str, Any]) -> bytes:
        self.sign_count += self.counts
        flags |= changed.get("flags", PRESENT | (VERIFIED if self.verifies_user else 0))
        flags |= MAY_BE_SYNCED | IS_SYNCED
        count = changed.get("sign_count", self.sign_count)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + int.to_bytes(count, 4)

    def _credential(self, **response: Any) -> dict[str, Any]:
        return {
            "id": text(self.credential_id),
            "rawId": text(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }
