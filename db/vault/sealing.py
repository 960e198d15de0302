"""The vault: seals what must be read again for one column of one row, and opens it there only."""

from __future__ import annotations

import secrets
import struct
import threading
from functools import cache
from typing import Any, Protocol, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from sqlalchemy import Table
from sqlalchemy.orm import InstrumentedAttribute

from db.core.sealed import BlindIndex, Sealed
from db.vault.keys import KEY_ID_BYTES, MasterKey, master_key
from settings import Settings, get_settings

# Version, rounds of PBKDF2, id of the key: what stands before the nonce, and is authenticated too.
_VERSION = 2
_HEAD = struct.Struct(f">BI{KEY_ID_BYTES}s")
_FORMER_VERSION = 1
_FORMER_HEAD = struct.Struct(f">B{KEY_ID_BYTES}s")
# What stood between the column and the row in the place of a value of the first format.
_FORMER_PLACES = {"totp_factors.sealed_secret": ":", "push_tokens.sealed_token": " "}
# NIST SP 800-38D: random nonces of 96 bits, for at most 2^32 messages under one key.
_NONCE_BYTES = 12
# A value names its rounds. Nobody who writes into the database has a process count for hours.
_MOST_ROUNDS = 10_000_000

RowKey = UUID | bytes | str | int


class HasSettings(Protocol):
    """What the vault of a process is made of."""

    @property
    def settings(self) -> Settings: ...


class SealBroken(Exception):
    """A sealed value was changed, moved to another row, or sealed with a key that is not here."""


class Vault:
    """Seals with AES-256-GCM by the first of the master keys, and opens by any of them.

    What is sealed for one column and row opens in no other. Text goes in and comes out; the blind
    index of a column finds rows by equal texts. Nothing of this is done in SQL.
    """

    def __init__(self, settings: Settings) -> None:
        written = settings.secret("vault-master-key").split(",")
        texts = [one.strip() for one in written if one.strip()]
        self._texts = tuple(dict.fromkeys(texts))
        self._rounds = settings.vault_key_rounds
        self._known: dict[tuple[int, bytes], MasterKey] = {}

    @classmethod
    def of(cls, services: HasSettings) -> Self:
        """The vault of one process."""
        return cls(services.settings)

    def seal(self, column: SealedColumn, row: RowKey, text: str) -> bytes:
        """A text as it may be stored in a column of a row."""
        return self.seal_at(place_of(column), row, text)

    def open(self, column: SealedColumn, row: RowKey, sealed: bytes) -> str:
        """The text again; raises `SealBroken` when it was not sealed for this column and row."""
        return self.open_at(place_of(column), row, sealed)

    def seal_at(self, place: str, row: RowKey, text: str) -> bytes:
        """The same for what is no column: `place` is its name."""
        key = self._first
        head, nonce = self.head, secrets.token_bytes(_NONCE_BYTES)
        plain = text.encode(errors="surrogatepass")
        return head + nonce + key.cipher(place).encrypt(nonce, plain, _bound(head, place, row))

    def open_at(self, place: str, row: RowKey, sealed: bytes) -> str:
        """The text that was sealed for a place of this name; raises `SealBroken`."""
        if sealed[:1] == bytes([_FORMER_VERSION]):
            return self._open_former(place, row, sealed)
        head, rest = sealed[: _HEAD.size], sealed[_HEAD.size :]
        try:
            version, rounds, key_id = _HEAD.unpack(head)
            key = self._key(rounds, key_id) if version == _VERSION else None
            if key is None:
                raise SealBroken(place)
            nonce, encrypted = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
            plain = key.cipher(place).decrypt(nonce, encrypted, _bound(head, place, row))
        except (InvalidTag, ValueError, struct.error):
            raise SealBroken(place) from None
        return plain.decode(errors="surrogatepass")

    def blind(self, column: SealedColumn, text: str) -> bytes:
        """What a blind index holds of a text: the column is the index, or what it finds."""
        return self._first.blind(_found_place(column), text)

    def blinds(self, column: SealedColumn, text: str) -> list[bytes]:
        """All that a blind index may hold of a text, the one to store first.

        While the master key is rotated that is one for each key.
        """
        place = _found_place(column)
        return [key.blind(place, text) for key in self._masters()]

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first key sealed it; otherwise whoever opens it may seal it anew."""
        return sealed.startswith(self.head)

    @property
    def head(self) -> bytes:
        """What every value begins with that the first key seals."""
        return _HEAD.pack(_VERSION, self._rounds, self._first.id)

    def warm(self) -> None:
        """Begins to make the keys beside what else the process does, before somebody waits."""
        threading.Thread(target=lambda: self._first.id, daemon=True).start()

    @property
    def _first(self) -> MasterKey:
        return master_key(self._texts[0], self._rounds)

    def _masters(self) -> list[MasterKey]:
        return [master_key(text, self._rounds) for text in self._texts]

    def _key(self, rounds: int, key_id: bytes) -> MasterKey | None:
        found = self._known.get((rounds, key_id))
        if found is None and rounds <= _MOST_ROUNDS:
            keys = (master_key(text, rounds) for text in self._texts)
            found = next((key for key in keys if key.id == key_id), None)
            if found is not None:
                self._known[rounds, key_id] = found
        return found

    def _open_former(self, place: str, row: RowKey, sealed: bytes) -> str:
        """Opens a value of the first format, which rotating makes anew."""
        head, rest = sealed[: _FORMER_HEAD.size], sealed[_FORMER_HEAD.size :]
        former = [key.former for key in self._masters()]
        key = next((one for one in former if one.id == head[1:]), None)
        if key is None or place not in _FORMER_PLACES:
            raise SealBroken(place)
        bound = f"{place}{_FORMER_PLACES[place]}{row_text(row)}".encode()
        try:
            plain = key.cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + bound)
        except (InvalidTag, ValueError):
            raise SealBroken(place) from None
        return plain.decode()


SealedColumn = InstrumentedAttribute[bytes] | InstrumentedAttribute[bytes | None]


def place_of(column: SealedColumn) -> str:
    """What a sealed column is called where its values are bound to it."""
    found: Any = column.expression
    if not isinstance(found.type, Sealed):
        raise TypeError(f"{found} is not sealed")
    return f"{found.table.name}.{found.name}"


def _found_place(column: SealedColumn) -> str:
    found: Any = column.expression
    table = found.table
    assert isinstance(table, Table)
    name = found.type.of if isinstance(found.type, BlindIndex) else found.name
    return f"{table.name}.{name}"


def row_text(row: RowKey) -> str:
    """How a row's key is written where a value is bound to its row."""
    return row.hex() if isinstance(row, bytes) else str(row)


@cache
def process_vault() -> Vault:
    """The vault of this process, for what is computed of a row that was read."""
    return Vault(get_settings())


def _bound(head: bytes, place: str, row: RowKey) -> bytes:
    # No name of a table has a null, so nothing can be shifted between the parts.
    return b"\0".join((head, place.encode(), row_text(row).encode(errors="surrogatepass")))
