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
_SEALED_AT = HEAD.size + NONCE_BYTES
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
        return self.blind_plain(column, text.encode(errors="surrogatepass"))

    def blind_plain(self, column: str, plain: bytes) -> bytes:
        """The same of a text as it is sealed."""
        begun = self._indexes.get(column)
        if begun is None:
            key = self._made(f"blind {column}")
            begun = self._indexes[column] = hmac.new(key, digestmod="sha256")
        hashed = begun.copy()
        hashed.update(plain)
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

    def resealing(self, place: str) -> Resealing:
        """What seals many values of a place anew."""
        return Resealing(self, place)

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


class Resealing:
    """Seals values of one place anew by the first key of a ring, each for its row.

    What all of them share is made once: a rotation has millions.
    """

    def __init__(self, ring: KeyRing, place: str) -> None:
        self._ring, self._place = ring, place
        self._head, self._cipher = ring.head, ring.first.cipher(place)
        self._bound = _bound_place(self._head, place)
        # By the head of a value: the cipher that opens it, and what it is bound to before its row.
        self._openers: dict[bytes, tuple[AESGCM, bytes]] = {}

    def nonces(self, count: int) -> list[bytes]:
        """So many, from one reading of the system's random numbers."""
        drawn = secrets.token_bytes(NONCE_BYTES * count)
        return [drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES)]

    def reseal(self, row: RowKey, sealed: bytes, nonce: bytes) -> tuple[bytes, bytes]:
        """The text as it is sealed, and its new sealed value, which has been opened once.

        `nonce` must never have been used. Raises `SealBroken` as opening does.
        """
        written = row_text(row).encode(errors="surrogatepass")
        plain, bound = self._opened(row, written, sealed), self._bound + written
        encrypted = self._cipher.encrypt(nonce, plain, bound)
        try:
            is_same = self._cipher.decrypt(nonce, encrypted, bound) == plain
        except InvalidTag:
            is_same = False
        if not is_same:
            raise SealBroken(self._place)
        return plain, self._head + nonce + encrypted

    def _opened(self, row: RowKey, written: bytes, sealed: bytes) -> bytes:
        opener = self._openers.get(sealed[: HEAD.size])
        if opener is None:
            text = self._ring.open_at(self._place, row, sealed)
            self._remember(sealed[: HEAD.size])
            return text.encode(errors="surrogatepass")
        cipher, bound = opener
        nonce, encrypted = sealed[HEAD.size : HEAD.size + NONCE_BYTES], sealed[_SEALED_AT:]
        try:
            return cipher.decrypt(nonce, encrypted, bound + written)
        except (InvalidTag, ValueError):
            raise SealBroken(self._place) from None

    def _remember(self, head: bytes) -> None:
        """Keeps what opens values with a head; those of the first format name no key like this."""
        version, rounds, key_id = HEAD.unpack(head)
        key = self._ring.find(rounds, key_id) if version == VERSION else None
        if key is not None:
            self._openers[head] = key.cipher(self._place), _bound_place(head, self._place)


def split_keys(written: str) -> list[str]:
    """The master keys of a list with commas."""
    return [one.strip() for one in written.split(",") if one.strip()]


def row_text(row: RowKey) -> str:
    """How a row's key is written where a value is bound to its row."""
    return row.hex() if isinstance(row, bytes) else str(row)


def _bound(head: bytes, place: str, row: RowKey) -> bytes:
    return _bound_place(head, place) + row_text(row).encode(errors="surrogatepass")


def _bound_place(head: bytes, place: str) -> bytes:
    # No name of a place has a null, so nothing can be shifted between the parts.
    return b"\0".join((head, place.encode(), b""))
