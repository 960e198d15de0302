"""Secrets in the sealed file reach the settings, and no output but the one that asks for them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import settings_sealed
from cli.secrets import commands
from settings import Settings, SettingsError, get_settings
from settings_sealed import (
    problem_of_name,
    sealed_lines,
    secrets_read,
    write_secrets,
)
from settings_secrets import sealed_secrets, secrets_file, secrets_ring
from vault_keys import KeyRing

KEY = "a master key of a test that is long enough"
CANARY = "canary-5f3a1c"
SEVEN = (
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "DISCORD_TOKEN",
    "DISCORD_CLIENT_ID",
    "ROBLOX_API_KEY",
    "PAYPAL_CLIENT_ID",
    "PAYPAL_CLIENT_SECRET",
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A deployment with nothing but a master key."""
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("VAULT_MASTER_KEY", KEY)
    monkeypatch.setattr(settings_sealed, "_read", set())
    for name in SEVEN:
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield tmp_path
    # What commands read here is of this folder alone.
    get_settings.cache_clear()


def test_requirement_9_2_and_9_3_the_file_is_sealed_and_read_by_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sealed_secrets() == {}
    write_secrets(secrets_file(), secrets_ring(), {name: f"{CANARY} {name}" for name in SEVEN})
    assert stat.S_IMODE(secrets_file().stat().st_mode) == 0o600
    assert CANARY not in secrets_file().read_text()
    settings = Settings()
    assert settings.discord_token.get_secret_value() == f"{CANARY} DISCORD_TOKEN"
    assert settings.discord_client_id == f"{CANARY} DISCORD_CLIENT_ID"
    assert set(SEVEN) <= secrets_read()
    assert CANARY not in repr(settings.discord_token)
    monkeypatch.setenv("DISCORD_CLIENT_ID", "from the environment")
    assert Settings().discord_client_id == "from the environment"


def test_requirement_9_4_a_key_that_does_not_fit_is_told_without_a_value(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_secrets(secrets_file(), secrets_ring(), {"DISCORD_TOKEN": CANARY})
    monkeypatch.setenv("VAULT_MASTER_KEY", "another master key that is long enough")
    secrets_file().touch()
    with pytest.raises(SettingsError, match="no key of it opens DISCORD_TOKEN") as refused:
        Settings()
    assert CANARY not in str(refused.value)


def test_a_value_does_not_open_under_another_name(folder: Path) -> None:
    write_secrets(secrets_file(), secrets_ring(), {"DISCORD_TOKEN": CANARY})
    text = secrets_file().read_text().replace("DISCORD_TOKEN", "PAYPAL_CLIENT_SECRET")
    secrets_file().write_text(text)
    with pytest.raises(SettingsError, match="no key of it opens PAYPAL_CLIENT_SECRET"):
        Settings()


def test_what_leads_to_the_file_stands_outside_of_it() -> None:
    assert problem_of_name("VAULT_MASTER_KEY")
    assert problem_of_name("discord_token")
    assert problem_of_name("DISCORD_TOKEN") is None
    ring = KeyRing([KEY], 100_000)
    assert ring.open_at("sealed file", "A", ring.seal_at("sealed file", "A", CANARY)) == CANARY


def told(*arguments: str, given: str | None = None) -> tuple[int, str]:
    """The status of a command of `secrets`, and all that it says."""
    done = CliRunner().invoke(commands, list(arguments), input=given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def held() -> str:
    return secrets_file().read_text() if secrets_file().exists() else ""


@pytest.mark.parametrize(
    "text",
    [
        "PORT=notanumber\n",
        f"GOOD={CANARY}\nno equals here\n",
        "A=\n",
        "",
        f"NUL={CANARY}\0b\n",
        f"lower={CANARY}\n",
        f"VAULT_MASTER_KEY={CANARY}\n",
        f"TRUSTED_PROXIES={CANARY}\n",
        f"LONG={'x' * 1_000_001}\n",
    ],
)
def test_requirement_9_4_what_cannot_be_taken_changes_nothing_and_is_not_told(
    folder: Path, text: str
) -> None:
    assert told("set", "DISCORD_TOKEN", given=CANARY)[0] == 0
    before, file = held(), folder / "given.env"
    file.write_text(text)
    status, said = told("import", str(file))
    assert (status, held()) == (1, before)
    assert said
    assert CANARY not in said


def test_requirement_9_2_odd_files_are_imported_as_they_are_meant(folder: Path) -> None:
    file = folder / "given.env"
    file.write_text("# x\nexport A=1\r\n\nB='two words # and more'\nC=\"x\\ny\"\nA=3\nD=$A\n")
    assert told("import", str(file))[0] == 0
    assert dict(sealed_secrets()) == {"A": "3", "B": "two words # and more", "C": "x\ny", "D": "$A"}
    assert told("import", str(folder / "missing.env"))[0] == 1


def test_requirement_9_2_an_editor_that_fails_or_spoils_a_line_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("set", "DISCORD_TOKEN", given=CANARY)[0] == 0
    before = held()
    monkeypatch.delenv("VISUAL", raising=False)
    for editor in (
        "false",
        "sh -c 'echo spoilt >> \"$0\"'",
        "no-such-editor-here",
        # Killed, or out of space: the file is empty, is no text, or is gone.
        "sh -c ': > \"$0\"'",
        'sh -c \'echo "# nothing" > "$0"\'',
        "sh -c 'echo DISCORD_TOKEN= > \"$0\"'",
        'sh -c \'printf "\\377" > "$0"\'',
        "sh -c 'rm \"$0\"'",
    ):
        monkeypatch.setenv("EDITOR", editor)
        status, said = told("edit")
        assert (status, held(), CANARY in said) == (1, before, False)
    monkeypatch.setenv("EDITOR", "sh -c 'echo NEW=1 >> \"$0\"'")
    assert told("edit")[0] == 0
    assert set(sealed_secrets()) == {"DISCORD_TOKEN", "NEW"}


def test_an_edit_says_what_it_removes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AA", "BB"):
        assert told("set", name, given=CANARY)[0] == 0
    monkeypatch.setenv("EDITOR", 'sh -c \'sed -i "s/^AA=.*/CC=1/" "$0"\'')
    status, said = told("edit")
    assert (status, set(sealed_secrets())) == (0, {"BB", "CC"})
    assert "CC: saved." in said
    assert "AA: removed." in said


def test_requirement_3_5_what_no_key_opens_is_set_anew_or_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AA", "BB", "CC"):
        assert told("set", name, given=CANARY)[0] == 0
    before = sealed_lines(secrets_file())
    monkeypatch.setenv("VAULT_MASTER_KEY", "another key, of another deployment")
    with pytest.raises(SettingsError, match="secrets set AA"):
        sealed_secrets()
    assert told("set", "AA", given="anew")[0] == 0
    assert told("remove", "BB")[0] == 0
    # What nobody named is as it was: the key that sealed it may come back.
    assert sealed_lines(secrets_file())["CC"] == before["CC"]
    with pytest.raises(SettingsError, match="opens CC"):
        sealed_secrets()
    assert told("remove", "CC")[0] == 0
    assert sealed_secrets() == {"AA": "anew"}


def test_a_bad_value_that_stands_already_stops_no_repair(folder: Path) -> None:
    write_secrets(secrets_file(), secrets_ring(), {"PORT": "x", "DISCORD_TOKEN": CANARY})
    status, said = told("get", "DISCORD_TOKEN")
    assert (status, CANARY in said) == (0, True)
    assert told("remove", "PORT")[0] == 0
    assert Settings().port == 8000


def test_a_sealed_file_that_is_no_text_is_told_of(folder: Path) -> None:
    secrets_file().parent.mkdir(parents=True)
    secrets_file().write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="it is no text"):
        sealed_secrets()
