"""The keys of the vault: what is made of a master key, and by which sign a value names its key."""

from __future__ import annotations

import hashlib
import hmac
import threading
from functools import cache, cached_property

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KEY_BYTES = 32
KEY_ID_BYTES = 4
# It tells the vault's keys from others of the same secret. A salt that differs between deployments
# would have to be kept beside the database; the master key is random and long, so none is needed.
_SALT = b"tallygraph vault"


class MasterKey:
    """One master key, with the keys that are made of it when they are first needed.

    PBKDF2-HMAC-SHA256 makes a root of it once for each process; HKDF makes of the root a key for
    each sealed column, another for its blind index, and the id that values carry.
    """

    def __init__(self, written: str, rounds: int) -> None:
        self._written = written.encode()
        self.rounds = rounds
        self._lock = threading.Lock()
        self._ciphers: dict[str, AESGCM] = {}
        self._index_keys: dict[str, bytes] = {}

    @cached_property
    def id(self) -> bytes:
        """What a value names its key by. It tells nothing that the slow root would not."""
        return hashlib.sha256(self._made("id")).digest()[:KEY_ID_BYTES]

    def cipher(self, column: str) -> AESGCM:
        """What seals a column."""
        found = self._ciphers.get(column)
        if found is None:
            found = self._ciphers[column] = AESGCM(self._made(f"seal {column}"))
        return found

    def blind(self, column: str, text: str) -> bytes:
        """The keyed hash of a text, for the blind index of a sealed column."""
        key = self._index_keys.get(column)
        if key is None:
            key = self._index_keys[column] = self._made(f"blind {column}")
        return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256")

    @cached_property
    def former(self) -> FormerKey:
        """What sealed values before there was a vault."""
        return FormerKey(self._written)

    def _made(self, purpose: str) -> bytes:
        # Two threads that wait for the root make it once.
        with self._lock:
            root = self._root
        return HKDFExpand(SHA256(), KEY_BYTES, purpose.encode()).derive(root)

    @cached_property
    def _root(self) -> bytes:
        # OpenSSL does it without the interpreter's lock, so other threads go on meanwhile.
        return hashlib.pbkdf2_hmac("sha256", self._written, _SALT, self.rounds, KEY_BYTES)


class FormerKey:
    """The key of values of the first format, which HKDF alone made of the master key."""

    def __init__(self, written: bytes) -> None:
        derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"tallygraph sealing").derive(written)
        self.id = hashlib.sha256(derived).digest()[:KEY_ID_BYTES]
        self.cipher = AESGCM(derived)


@cache
def master_key(written: str, rounds: int) -> MasterKey:
    """The keys of a master key, made once for each process."""
    return MasterKey(written, rounds)
