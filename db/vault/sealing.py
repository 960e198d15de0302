"""The vault: seals what must be read again for one column of one row, and opens it there only."""

from __future__ import annotations

import struct
import threading
from functools import cache
from typing import Any, Protocol, Self

from cryptography.exceptions import InvalidTag
from sqlalchemy import Table
from sqlalchemy.orm import InstrumentedAttribute

from db.core.sealed import BlindIndex, Sealed
from settings import Settings, get_settings
from vault_keys import (
    KEY_ID_BYTES,
    NONCE_BYTES,
    KeyRing,
    RowKey,
    SealBroken,
    row_text,
    split_keys,
)

_FORMER_VERSION = 1
_FORMER_HEAD = struct.Struct(f">B{KEY_ID_BYTES}s")
# What stood between the column and the row in the place of a value of the first format.
_FORMER_PLACES = {"totp_factors.sealed_secret": ":", "push_tokens.sealed_token": " "}

SealedColumn = InstrumentedAttribute[bytes] | InstrumentedAttribute[bytes | None]


class HasSettings(Protocol):
    """What the vault of a process is made of."""

    @property
    def settings(self) -> Settings: ...


class Vault(KeyRing):
    """Seals with AES-256-GCM by the first of the master keys, and opens by any of them.

    What is sealed for one column and row opens in no other. Text goes in and comes out; the blind
    index of a column finds rows by equal texts. Nothing of this is done in SQL.
    """

    def __init__(self, settings: Settings) -> None:
        written = settings.secret("vault-master-key")
        super().__init__(split_keys(written), settings.vault_key_rounds)

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

    def open_at(self, place: str, row: RowKey, sealed: bytes) -> str:
        """The same for what is no column: `place` is its name."""
        if sealed[:1] == bytes([_FORMER_VERSION]):
            return self._open_former(place, row, sealed)
        return super().open_at(place, row, sealed)

    def blind(self, column: SealedColumn, text: str) -> bytes:
        """What a blind index holds of a text: the column is the index, or what it finds."""
        return self.blind_at(_found_place(column), text)

    def blinds(self, column: SealedColumn, text: str) -> list[bytes]:
        """All that a blind index may hold of a text, the one to store first.

        While the master key is rotated that is one for each key.
        """
        place = _found_place(column)
        return [key.blind(place, text) for key in self.masters()]

    def warm(self) -> None:
        """Begins to make the keys beside what else the process does, before somebody waits."""
        threading.Thread(target=lambda: self.first.id, daemon=True).start()

    def _open_former(self, place: str, row: RowKey, sealed: bytes) -> str:
        """Opens a value of the first format, which rotating makes anew."""
        head, rest = sealed[: _FORMER_HEAD.size], sealed[_FORMER_HEAD.size :]
        former = [key.former for key in self.masters()]
        key = next((one for one in former if one.id == head[1:]), None)
        if key is None or place not in _FORMER_PLACES:
            raise SealBroken(place)
        bound = f"{place}{_FORMER_PLACES[place]}{row_text(row)}".encode()
        try:
            plain = key.cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], head + bound)
        except (InvalidTag, ValueError):
            raise SealBroken(place) from None
        return plain.decode()


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


@cache
def process_vault() -> Vault:
    """The vault of this process, for what is computed of a row that was read."""
    return Vault(get_settings())
