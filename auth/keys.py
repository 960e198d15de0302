"""The Ed25519 keys that sign access tokens: where they are kept and how they rotate."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from settings import Settings, SettingsError, given, write_secret

FILE_NAME = "signing-keys.json"
VARIABLE = "SIGNING_KEYS"
KEPT_KEYS = 3
RELOAD_AT_MOST_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair and its id, the RFC 7638 thumbprint of the public half."""

    kid: str
    private: Ed25519PrivateKey
    public: Ed25519PublicKey

    @classmethod
    def generate(cls) -> Self:
        """A new key pair."""
        return cls.from_private(Ed25519PrivateKey.generate())

    @classmethod
    def from_private(cls, private: Ed25519PrivateKey) -> Self:
        """The pair of a private key."""
        public = private.public_key()
        # RFC 7638: the required members only, in lexical order, without white space.
        members = {"crv": "Ed25519", "kty": "OKP", "x": _encode(public.public_bytes_raw())}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        return cls(_encode(hashlib.sha256(canonical).digest()), private, public)

    def public_jwk(self) -> dict[str, str]:
        """The public half, as RFC 8037 writes it."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": _encode(self.public.public_bytes_raw()),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        }

    def private_jwk(self) -> dict[str, str]:
        """The whole pair, for the file or the variable that keeps it."""
        return self.public_jwk() | {"d": _encode(self.private.private_bytes_raw())}


class SigningKeys:
    """The keys of a deployment, oldest first: the newest signs, all of them verify."""

    def __init__(self, keys: list[SigningKey], file: Path | None = None) -> None:
        self._file = file
        self._file_changed_at = _changed_at(file)
        self._looked_at = 0.0
        self._use(keys)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """From SIGNING_KEYS, else from the file; a demo makes its first key, production refuses."""
        if value := given(VARIABLE):
            return cls(_parse(value, VARIABLE))
        file = settings.secrets_directory / FILE_NAME
        if not file.exists():
            if settings.production:
                raise SettingsError(
                    f"production needs its own signing keys: set {VARIABLE} or write them to {file}"
                )
            write_secret(file, _serialise([SigningKey.generate()]))
        return cls(_read(file), file)

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        return self._signing

    def verifying(self, kid: object) -> SigningKey | None:
        """The key with exactly this id; one that another process just rotated in is found too."""
        if not isinstance(kid, str):
            return None
        key = self._by_kid.get(kid)
        if key is None and self._reload_changed_file():
            key = self._by_kid.get(kid)
        return key

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key set, for `/.well-known/jwks.json`."""
        return {"keys": [key.public_jwk() for key in reversed(self._by_kid.values())]}

    def _use(self, keys: list[SigningKey]) -> None:
        self._by_kid = {key.kid: key for key in keys}
        self._signing = keys[-1]

    def _reload_changed_file(self) -> bool:
        now = time.monotonic()
        # Forged ids are free to make: they may cost one look at the file a second, no more.
        if self._file is None or now - self._looked_at < RELOAD_AT_MOST_EVERY_SECONDS:
            return False
        self._looked_at = now
        changed_at = _changed_at(self._file)
        if changed_at is None or changed_at == self._file_changed_at:
            return False
        self._use(_read(self._file))
        self._file_changed_at = changed_at
        return True


def rotate(settings: Settings) -> SigningKey:
    """Add a key that signs from now on; the two before it go on verifying.

    Leave at least the life of an access token between two rotations.
    """
    if given(VARIABLE):
        raise SettingsError(
            f"the signing keys come from {VARIABLE}: append a key to its list and restart"
        )
    file = settings.secrets_directory / FILE_NAME
    keys = _read(file) if file.exists() else []
    new = SigningKey.generate()
    _replace_file(file, _serialise([*keys, new][-KEPT_KEYS:]))
    return new


def _replace_file(file: Path, value: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(value)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _changed_at(file: Path | None) -> int | None:
    try:
        return file.stat().st_mtime_ns if file else None
    except FileNotFoundError:
        return None


def _read(file: Path) -> list[SigningKey]:
    return _parse(file.read_text(), str(file))


def _serialise(keys: list[SigningKey]) -> str:
    return json.dumps({"keys": [key.private_jwk() for key in keys]}, indent=2)


def _parse(text: str, source: str) -> list[SigningKey]:
    try:
        keys = [
            SigningKey.from_private(Ed25519PrivateKey.from_private_bytes(_decode(jwk["d"])))
            for jwk in json.loads(text)["keys"]
        ]
    except (KeyError, TypeError, ValueError):
        keys = []
    if not keys:
        # No cause is chained: a parser's message may quote the secret it could not read.
        raise SettingsError(
            f'{source} holds no signing keys: it must be {{"keys": [...]}}, a list of private '
            "Ed25519 JWKs, the newest last"
        ) from None
    return keys


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
