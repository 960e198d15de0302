"""The Ed25519 keys that sign access tokens: where they are kept and how they rotate."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from settings import Settings, SettingsError
from settings_secrets import given, write_secret

FILE_NAME = "signing-keys.json"
VARIABLE = "SIGNING_KEYS"
RELOAD_AT_MOST_EVERY_SECONDS = 1.0
# Beyond a token's life: a process may go on signing with the key before until it looks at the file.
MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair and its id, the RFC 7638 thumbprint of the public half.

    `made_at` is when it began to sign, in Unix seconds; null for a key that others made.
    """

    kid: str
    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    made_at: int | None = None

    @classmethod
    def generate(cls) -> Self:
        """A new key pair."""
        return cls.from_private(Ed25519PrivateKey.generate(), int(time.time()))

    @classmethod
    def from_private(cls, private: Ed25519PrivateKey, made_at: int | None = None) -> Self:
        """The pair of a private key."""
        public = private.public_key()
        # RFC 7638: the required members only, in lexical order, without white space.
        members = {"crv": "Ed25519", "kty": "OKP", "x": _encode(public.public_bytes_raw())}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        return cls(_encode(hashlib.sha256(canonical).digest()), private, public, made_at)

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

    def private_jwk(self) -> dict[str, object]:
        """The whole pair, for the file or the variable that keeps it."""
        pair: dict[str, object] = {
            **self.public_jwk(),
            "d": _encode(self.private.private_bytes_raw()),
        }
        return pair if self.made_at is None else pair | {"iat": self.made_at}


class SigningKeys:
    """The keys of a deployment, oldest first: the newest signs, all of them verify.

    Those of the file verify for a token's life after the next one began to sign. Those of the
    variable verify until they are taken out of it.
    """

    def __init__(
        self, keys: list[SigningKey], file: Path | None = None, token_seconds: int = 0
    ) -> None:
        self._file = file
        self._token_seconds = token_seconds
        self._file_changed_at = _changed_at(file)
        # Each for itself: what signs often must not keep an unknown id from being looked for.
        self._looked_at = {"to sign": 0.0, "to verify": 0.0}
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
        return cls(_read(file), file, settings.access_token_seconds)

    @property
    def signing(self) -> SigningKey:
        """The key that signs now; one that was just rotated in is found within a second."""
        self._reload_changed_file("to sign")
        return self._keys[-1]

    def verifying(self, kid: object) -> SigningKey | None:
        """The key with exactly this id; one that another process just rotated in is found too."""
        if not isinstance(kid, str):
            return None
        key = self._by_kid.get(kid)
        if key is None and self._reload_changed_file("to verify"):
            key = self._by_kid.get(kid)
        return key if key is not None and self._verifies(key.kid) else None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key set, for `/.well-known/jwks.json`."""
        self._reload_changed_file("to sign")
        keys = reversed(self._keys)
        return {"keys": [key.public_jwk() for key in keys if self._verifies(key.kid)]}

    def _verifies(self, kid: str) -> bool:
        return self._ends_at.get(kid, math.inf) > time.time()

    def _use(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._by_kid = {key.kid: key for key in keys}
        self._ends_at = {} if self._file is None else _ends(keys, self._token_seconds)

    def _reload_changed_file(self, purpose: str) -> bool:
        now = time.monotonic()
        # Forged ids are free to make: they may cost one look at the file a second, no more.
        if self._file is None or now - self._looked_at[purpose] < RELOAD_AT_MOST_EVERY_SECONDS:
            return False
        self._looked_at[purpose] = now
        changed_at = _changed_at(self._file)
        if changed_at is None or changed_at == self._file_changed_at:
            return False
        self._use(_read(self._file))
        self._file_changed_at = changed_at
        return True


@dataclass(frozen=True, slots=True)
class Rotation:
    """The keys after a rotation: the one that signs, and those that go on verifying until a time.

    `since_last_seconds` is how long before the last one was, if that is less than a token's life.
    """

    new: SigningKey
    verifying: dict[str, float]
    since_last_seconds: int | None


def rotate(settings: Settings) -> Rotation:
    """Add a key that signs from now on; those before it verify as long as their tokens live."""
    if given(VARIABLE):
        raise SettingsError(
            f"the signing keys come from {VARIABLE}: append a key to its list and restart"
        )
    file, life = settings.secrets_directory / FILE_NAME, settings.access_token_seconds
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(file.parent):
        before = _read(file) if file.exists() else []
        new = SigningKey.generate()
        keys = [*before, new]
        ends = _ends(keys, life)
        now = time.time()
        kept = [key for key in keys if ends.get(key.kid, math.inf) > now]
        _replace_file(file, _serialise(kept))
    last = before[-1].made_at if len(before) > 1 else None
    since = None if last is None or now - last > life else int(now - last)
    return Rotation(new, {key.kid: ends[key.kid] for key in kept[:-1]}, since)


def _ends(keys: list[SigningKey], token_seconds: int) -> dict[str, float]:
    """Until when each key verifies whose successor says when it began to sign."""
    return {
        key.kid: later.made_at + token_seconds + MARGIN_SECONDS
        for key, later in pairwise(keys)
        if later.made_at is not None
    }


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A block that one process at a time is in: of two rotations none is lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace_file(file: Path, value: str) -> None:
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
    # A key that does not say since when it signs has done so since the file is as it is, or longer.
    return _parse(file.read_text(), str(file), made_at=int(file.stat().st_mtime))


def _serialise(keys: list[SigningKey]) -> str:
    return json.dumps({"keys": [key.private_jwk() for key in keys]}, indent=2)


def _parse(text: str, source: str, made_at: int | None = None) -> list[SigningKey]:
    try:
        keys = [
            SigningKey.from_private(
                Ed25519PrivateKey.from_private_bytes(_decode(jwk["d"])),
                _time(jwk.get("iat")) or made_at,
            )
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


def _time(value: object) -> int | None:
    return value if type(value) is int else None


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
