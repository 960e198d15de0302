"""Signing keys are private, made once, rotated without a gap, never invented in production."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from auth import keys
from auth.keys import FILE_NAME, KEPT_KEYS, SigningKey, SigningKeys, rotate
from settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def _no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.VARIABLE, raising=False)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(data_directory=tmp_path / "data of a server")


@pytest.fixture
def production(tmp_path: Path) -> Settings:
    return Settings(
        environment="production",
        public_url="https://api.example.com",
        database_url="postgresql://authenticated@db/app",
        data_directory=tmp_path,
    )


def private_set(*pairs: SigningKey) -> str:
    return json.dumps({"keys": [pair.private_jwk() for pair in pairs]})


def test_a_demo_makes_its_key_once(own: Settings) -> None:
    first, second = SigningKeys.load(own), SigningKeys.load(own)
    assert first.signing.kid == second.signing.kid
    file = own.secrets_directory / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    rotate(own)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [FILE_NAME]


def test_processes_that_start_together_share_one_key(own: Settings) -> None:
    program = (
        "from auth.keys import SigningKeys; from settings import Settings;"
        "from pathlib import Path;"
        f"print(SigningKeys.load(Settings(data_directory=Path("
        f"{str(own.data_directory)!r}))).signing.kid)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


def test_production_brings_its_own(production: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"SIGNING_KEYS.*signing-keys\.json"):
        SigningKeys.load(production)
    assert not (production.secrets_directory / FILE_NAME).exists()
    older, newer = SigningKey.generate(), SigningKey.generate()
    monkeypatch.setenv(keys.VARIABLE, private_set(older, newer))
    loaded = SigningKeys.load(production)
    assert loaded.signing.kid == newer.kid
    assert loaded.verifying(older.kid) is not None
    with pytest.raises(SettingsError, match="SIGNING_KEYS"):
        rotate(production)
    monkeypatch.delenv(keys.VARIABLE)
    assert rotate(production).kid == SigningKeys.load(production).signing.kid


@pytest.mark.parametrize(
    "value",
    [
        "canary",
        "{}",
        "[]",
        "7",
        '{"keys": []}',
        '{"keys": [{"d": "canary"}]}',
        '{"keys": [{"d": 7}]}',
        '{"keys": ["canary"]}',
        '{"keys": 7}',
    ],
)
def test_unreadable_keys_are_named_and_never_quoted(
    own: Settings, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(keys.VARIABLE, value)
    with pytest.raises(SettingsError, match="SIGNING_KEYS") as refused:
        SigningKeys.load(own)
    assert "canary" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_rotation_signs_anew_and_verifies_the_old(own: Settings) -> None:
    kids = [SigningKeys.load(own).signing.kid]
    kids += [rotate(own).kid for _ in range(KEPT_KEYS)]
    loaded = SigningKeys.load(own)
    assert loaded.signing.kid == kids[-1]
    assert [key["kid"] for key in loaded.jwks()["keys"]] == kids[:0:-1]
    assert loaded.verifying(kids[0]) is None


def test_a_running_process_finds_a_rotated_key(own: Settings) -> None:
    running = SigningKeys.load(own)
    new = rotate(own)
    assert running.verifying(new.kid) is not None
    assert running.signing.kid == new.kid


def test_unknown_ids_seldom_touch_the_file(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    running = SigningKeys.load(own)
    looks = 0

    def count(_: Path | None) -> int:
        nonlocal looks
        looks += 1
        return 0

    monkeypatch.setattr(keys, "_changed_at", count)
    for _ in range(100):
        running.verifying("forged")
    assert looks == 1


def test_the_public_set_is_public(own: Settings) -> None:
    (jwk,) = SigningKeys.load(own).jwks()["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")


def test_the_key_id_is_the_rfc_8037_thumbprint() -> None:
    """The key pair and the thumbprint of RFC 8037, appendix A."""
    published = {"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
    (key,) = keys._parse(json.dumps({"keys": [published]}), "RFC 8037")
    assert key.public_jwk()["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
