"""Rows of the vault."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.vault_keys": lambda user, key: {"head": key.hex[:18], "rounds": 600_000},
}
