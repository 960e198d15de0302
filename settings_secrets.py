"""The secrets of a deployment: in the environment, `.env`, a file or a command, or made here."""

from __future__ import annotations

import os
import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from settings_checks import GOOD_SECRET, problem_of_secret, split_list
from settings_sealed import (
    BOOTSTRAP,
    SEALED_FILE,
    SecretUnavailable,
    opened_secrets,
    secret_in_file,
    secret_of_command,
)
from vault_keys import USUAL_ROUNDS, KeyRing, split_keys

# What a production deployment brings of its own, beside the keys that sign tokens.
SECRETS = (
    "database-anon-password",
    "database-authenticated-password",
    "database-service-password",
    "signed-url-key",
    "refresh-token-key",
    "vault-master-key",
)
# Several with commas: the first seals, all of them open.
SECRET_LISTS = ("vault-master-key",)


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which one and what to write."""


class HasSecrets:
    """What settings are to have secrets."""

    if TYPE_CHECKING:
        data_directory: Path
        vault_master_key_file: str
        vault_master_key_command: str

        @property
        def production(self) -> bool:
            """Whether secrets must be the deployment's own."""

    @property
    def secrets_directory(self) -> Path:
        """Where generated secrets live, one file each, mode 0600."""
        return self.data_directory.absolute() / "secrets"

    def secret(self, name: str) -> str:
        """A secret by name: the environment first, then its file, made at first start.

        `name` is lower case with hyphens (`signed-url-key`); the variable is SIGNED_URL_KEY.
        Production never invents a secret, nor takes one that can be guessed: `SettingsError`.
        """
        variable, path = name.upper().replace("-", "_"), self.secrets_directory / name
        value = self._known_secret(name)
        if value is None and self.production:
            raise SettingsError(
                f"production needs its own secrets: set {variable} or write it to {path}"
            )
        if value is None:
            return write_secret(path, random_secrets.token_urlsafe(32))
        keys = split_list(value) if name in SECRET_LISTS else [value]
        if not keys:
            raise SettingsError(f"{variable} names no key; {GOOD_SECRET}")
        problems = [problem_of_secret(key) for key in keys] if self.production else []
        if problem := next(filter(None, problems), None):
            raise SettingsError(f"{variable} {problem}")
        return value

    def require_secrets(self) -> None:
        """Raises SettingsError where production lacks secrets, all of them told, or one is weak."""
        names = {name.upper().replace("-", "_"): self.secrets_directory / name for name in SECRETS}
        known = {name.upper().replace("-", "_"): self._known_secret(name) for name in SECRETS}
        lacking = [name for name, value in known.items() if value is None]
        if self.production and len(lacking) > 1:
            raise SettingsError(
                f"production needs its own secrets: set {', '.join(lacking)}, or write them to "
                f"files such as {names[lacking[0]]}; {GOOD_SECRET}"
            )
        for name in SECRETS:
            self.secret(name)

    def _known_secret(self, name: str) -> str | None:
        variable = name.upper().replace("-", "_")
        found = plain_variable(variable) if variable in BOOTSTRAP else given(variable)
        if found:
            return found
        if name == "vault-master-key" and (value := self._master_key_elsewhere()):
            return value
        path = self.secrets_directory / name
        return path.read_text().strip() if path.exists() else None

    def _master_key_elsewhere(self) -> str | None:
        """The vault's key from the file or the command that the settings name."""
        try:
            if self.vault_master_key_file:
                return secret_in_file(self.vault_master_key_file)
            if self.vault_master_key_command:
                return secret_of_command(self.vault_master_key_command)
        except SecretUnavailable as reason:
            raise SettingsError(f"VAULT_MASTER_KEY_{reason}") from None
        return None


@dataclass(frozen=True)
class _Outside(HasSecrets):
    """What leads to the sealed file, before there are settings."""

    production: bool
    data_directory: Path
    vault_master_key_file: str
    vault_master_key_command: str


def given(variable: str) -> str | None:
    """A variable of the environment or, behind it, of the sealed file, or of the file `.env`."""
    return os.environ.get(variable) or sealed_secrets().get(variable) or _dotenv().get(variable)


def sealed_secrets() -> Mapping[str, str]:
    """What the sealed file holds; nothing where there is none."""
    path = secrets_file()
    try:
        return opened_secrets(path, secrets_ring) if path.exists() else {}
    except SecretUnavailable as reason:
        raise SettingsError(f"VAULT_MASTER_KEY{reason}") from None


def secrets_file() -> Path:
    """Where the sealed file is: SECRETS_FILE, or beside the generated secrets."""
    named = plain_variable("SECRETS_FILE")
    directory = Path(plain_variable("DATA_DIRECTORY") or ".tallygraph").absolute()
    return Path(named) if named else directory / "secrets" / SEALED_FILE


def secrets_ring() -> KeyRing:
    """The keys that seal the file. What leads to them can't be in it."""
    chosen = {name: value for name in BOOTSTRAP if (value := plain_variable(name))}
    bare = _Outside(
        production=chosen.get("ENVIRONMENT") == "production",
        data_directory=Path(chosen.get("DATA_DIRECTORY", ".tallygraph")),
        vault_master_key_file=chosen.get("VAULT_MASTER_KEY_FILE", ""),
        vault_master_key_command=chosen.get("VAULT_MASTER_KEY_COMMAND", ""),
    )
    rounds = int(chosen.get("VAULT_KEY_ROUNDS", USUAL_ROUNDS))
    return KeyRing(split_keys(bare.secret("vault-master-key")), rounds)


def plain_variable(variable: str) -> str | None:
    """A variable of the environment or of the file `.env`, and never of the sealed file."""
    return os.environ.get(variable) or _dotenv().get(variable)


def written(prefix: str) -> dict[str, str]:
    """The variables of the file `.env` whose names begin with `prefix`."""
    return {name: value for name, value in _dotenv().items() if name.startswith(prefix) and value}


@cache
def _dotenv() -> dict[str, str | None]:
    """What the file `.env` says: secrets may stand there beside the settings."""
    return dotenv_values(".env")


def write_secret(path: Path, value: str) -> str:
    """Write `value` to a new file of mode 0600; if another process was first, return its value."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{random_secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(value)
        os.link(temporary, path)
    except FileExistsError:
        return path.read_text().strip()
    finally:
        temporary.unlink()
    return value
