"""The keys of the vault: what is made of a master key, and how it seals a text for one place."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import threading
from collections.abc import Iterable
from functools import cache, cached_property
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KEY_BYTES = 32
KEY_ID_BYTES = 4
# Version, rounds of PBKDF2, id of the key: what stands before the nonce, and is authenticated too.
VERSION = 2
HEAD = struct.Struct(f">BI{KEY_ID_BYTES}s")
# NIST SP 800-38D: random nonces of 96 bits, for at most 2^32 messages under one key.
NONCE_BYTES = 12
# A value names its rounds. Nobody who writes into the database has a process count for hours.
MOST_ROUNDS = 10_000_000
# OWASP's number for PBKDF2-HMAC-SHA256.
USUAL_ROUNDS = 600_000
# It tells the vault's keys from others of the same secret. A salt that differs between deployments
# would have to be kept beside the database; the master key is random and long, so none is needed.
_SALT = b"tallygraph vault"


RowKey = UUID | bytes | str | int


class SealBroken(Exception):
    """A sealed value was changed, moved to another row, or sealed with a key that is not here."""


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
        # Keyed and not yet fed: a copy takes half as long as to begin anew.
        self._indexes: dict[str, hmac.HMAC] = {}

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
        begun = self._indexes.get(column)
        if begun is None:
            key = self._made(f"blind {column}")
            begun = self._indexes[column] = hmac.new(key, digestmod="sha256")
        hashed = begun.copy()
        hashed.update(text.encode(errors="surrogatepass"))
        return hashed.digest()

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


class KeyRing:
    """Master keys: the first seals and makes blind indexes, any of them opens.

    A `place` is the name of what a value is sealed for, such as a column of a table.
    """

    def __init__(self, texts: Iterable[str], rounds: int) -> None:
        self._texts = tuple(dict.fromkeys(text for text in texts if text))
        self.rounds = rounds
        self._known: dict[tuple[int, bytes], MasterKey] = {}

    def seal_at(self, place: str, row: RowKey, text: str) -> bytes:
        """A text as it may be stored in a place of a row."""
        head, nonce = self.head, secrets.token_bytes(NONCE_BYTES)
        plain, bound = text.encode(errors="surrogatepass"), _bound(head, place, row)
        return head + nonce + self.first.cipher(place).encrypt(nonce, plain, bound)

    def open_at(self, place: str, row: RowKey, sealed: bytes) -> str:
        """The text again; raises `SealBroken` when it was not sealed for this place and row."""
        head, rest = sealed[: HEAD.size], sealed[HEAD.size :]
        try:
            version, rounds, key_id = HEAD.unpack(head)
            key = self.find(rounds, key_id) if version == VERSION else None
            if key is None:
                raise SealBroken(place)
            nonce, encrypted = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
            plain = key.cipher(place).decrypt(nonce, encrypted, _bound(head, place, row))
        except (InvalidTag, ValueError, struct.error):
            raise SealBroken(place) from None
        return plain.decode(errors="surrogatepass")

    def reseal_at(self, place: str, row: RowKey, sealed: bytes) -> tuple[str, bytes]:
        """The text, and what it is sealed as by the first key, which has been opened once."""
        text = self.open_at(place, row, sealed)
        head, nonce, cipher = self.head, secrets.token_bytes(NONCE_BYTES), self.first.cipher(place)
        plain, bound = text.encode(errors="surrogatepass"), _bound(head, place, row)
        encrypted = cipher.encrypt(nonce, plain, bound)
        if cipher.decrypt(nonce, encrypted, bound) != plain:
            raise SealBroken(place)
        return text, head + nonce + encrypted

    def blind_at(self, place: str, text: str) -> bytes:
        """What a blind index of a place holds of a text."""
        return self.first.blind(place, text)

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first key sealed it; otherwise whoever opens it may seal it anew."""
        return sealed.startswith(self.head)

    @property
    def head(self) -> bytes:
        """What every value begins with that the first key seals."""
        return HEAD.pack(VERSION, self.rounds, self.first.id)

    def has_key(self, head: bytes) -> bool:
        """Whether what begins like this can be opened."""
        version, rounds, key_id = HEAD.unpack(head)
        return version == VERSION and self.find(rounds, key_id) is not None

    @property
    def first(self) -> MasterKey:
        """The key that seals."""
        return master_key(self._texts[0], self.rounds)

    def masters(self) -> list[MasterKey]:
        """All of them, the first one first."""
        return [master_key(text, self.rounds) for text in self._texts]

    def find(self, rounds: int, key_id: bytes) -> MasterKey | None:
        """The key that a value names, if it is here."""
        found = self._known.get((rounds, key_id))
        if found is None and rounds <= MOST_ROUNDS:
            keys = (master_key(text, rounds) for text in self._texts)
            found = next((key for key in keys if key.id == key_id), None)
            if found is not None:
                self._known[rounds, key_id] = found
        return found


def split_keys(written: str) -> list[str]:
    """The master keys of a list with commas."""
    return [one.strip() for one in written.split(",") if one.strip()]


def row_text(row: RowKey) -> str:
    """How a row's key is written where a value is bound to its row."""
    return row.hex() if isinstance(row, bytes) else str(row)


def _bound(head: bytes, place: str, row: RowKey) -> bytes:
    # No name of a place has a null, so nothing can be shifted between the parts.
    return b"\0".join((head, place.encode(), row_text(row).encode(errors="surrogatepass")))
