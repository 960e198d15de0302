"""What a process tells the database of its keys and of the secrets that it read."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection

from db.audit.operations import record_audit
from db.core.actor import SERVICE
from db.core.commands import SqlFunction, call_as_service
from db.core.pool import Database
from db.vault.sealing import Vault
from db.vault.watching import missing_keys
from settings import SettingsError

_USE_KEY = SqlFunction[list[str]](
    "app.use_vault_key", "text[]", current_head="text", current_rounds="integer"
)


class VaultKeyMissing(SettingsError):
    """Something in the database is sealed with a key that this process does not have."""


async def check_keys(database: Database, vault: Vault) -> None:
    """Notes the key that this process seals with; `VaultKeyMissing` where it lacks one in use."""
    in_use = await call_as_service(
        database, _USE_KEY(current_head=vault.head.hex(), current_rounds=vault.rounds)
    )
    _refuse(sum(not vault.has_key(bytes.fromhex(head)) for head in in_use))


async def refuse_missing_keys(database: Database, vault: Vault) -> None:
    """The same without noting a key, for a start that takes the key from a file of its own."""
    _refuse(await missing_keys(database, vault))


def _refuse(missing: int) -> None:
    if missing:
        raise VaultKeyMissing(
            f"VAULT_MASTER_KEY lacks {missing} of the keys that values are sealed with: put it"
            " behind the first, separated by a comma, until `tallygraph vault rotate` is done"
        )


async def note_secrets_read(database: Database, names: Collection[str]) -> None:
    """Notes which secrets of the sealed file this process has read; nothing where it read none."""
    if not names:
        return
    by = f"{socket.gethostname()}, process {os.getpid()}"
    async with database.transaction(SERVICE) as transaction:
        await record_audit(transaction, None, "read_secrets", names=sorted(names), by=by)
