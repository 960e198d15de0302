"""The secrets of a deployment: in the environment, `.env`, a file or a command, or made here."""

from __future__ import annotations

import os
import secrets as random_secrets
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from settings_checks import GOOD_SECRET, problem_of_secret, split_list

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
COMMAND_SECONDS = 30


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
        if value := given(name.upper().replace("-", "_")):
            return value
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


class SecretUnavailable(Exception):
    """A secret can't be read where it is said to be; the message says why, and never the secret."""


def secret_in_file(name: str) -> str:
    """What a file holds, without the white space around it."""
    try:
        found = Path(name).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SecretUnavailable(f"FILE: {name} can't be read ({reason})") from None
    if not found:
        raise SecretUnavailable(f"FILE: {name} is empty")
    return found


@cache
def secret_of_command(command: str) -> str:
    """What a command prints; it runs once for each process, without a shell.

    What it says on standard error goes to this process's own.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the operator names it
            shlex.split(command), stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
        found = done.stdout.decode().strip()
    except subprocess.TimeoutExpired:
        raise SecretUnavailable(f"COMMAND took more than {COMMAND_SECONDS} seconds") from None
    except OSError as error:
        raise SecretUnavailable(f"COMMAND can't be run ({error.strerror})") from None
    except ValueError:
        raise SecretUnavailable("COMMAND is no command, or what it prints is no text") from None
    if done.returncode != 0:
        raise SecretUnavailable(f"COMMAND ended with status {done.returncode}")
    if not found:
        raise SecretUnavailable("COMMAND printed nothing")
    return found


def given(variable: str) -> str | None:
    """A variable of the environment or, behind it, of the file `.env`."""
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
