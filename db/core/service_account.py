"""A Google service account: its key signs an assertion, which is exchanged for an access token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from settings import SettingsError

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Google takes assertions of up to an hour, and gives tokens for as long.
ASSERTION_SECONDS = 3600


@dataclass(frozen=True)
class ServiceAccount:
    """What the JSON file of a service account says."""

    client_email: str
    project_id: str
    token_uri: str
    key_id: str
    private_key: RSAPrivateKey = field(repr=False)

    @classmethod
    def of(cls, text: str, setting: str) -> Self:
        """What a file's text says; SettingsError, without the text, when it cannot be used."""
        try:
            given: dict[str, Any] = orjson.loads(text)
            key = load_pem_private_key(str(given["private_key"]).encode(), None)
            if not isinstance(key, RSAPrivateKey):
                raise ValueError
            return cls(
                client_email=given["client_email"],
                project_id=given.get("project_id", ""),
                token_uri=given["token_uri"],
                key_id=given.get("private_key_id", ""),
                private_key=key,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(
                f"{setting}: write the JSON of a service account's key, as the Google Cloud "
                "console gives it"
            ) from None

    def assertion(self, scope: str, now: int) -> str:
        """A JWT that says who we are and what we want (RFC 7523, 2.1)."""
        claims = {
            "iss": self.client_email,
            "scope": scope,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(claims, self.private_key, algorithm="RS256", headers=headers)
