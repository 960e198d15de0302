"""Signing keys are private, made once, rotated without a gap, never invented in production."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auth import keys
from auth.keys import FILE_NAME, MARGIN_SECONDS, SigningKey, SigningKeys, rotate
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


class Clock:
    """A time that the test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


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
    assert rotate(production).new.kid == SigningKeys.load(production).signing.kid


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


def kids_of(loaded: SigningKeys) -> list[str]:
    return [key["kid"] for key in reversed(loaded.jwks()["keys"])]


def test_rotation_signs_anew_and_verifies_the_old_for_a_tokens_life(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    clock = Clock(now)
    monkeypatch.setattr(keys.time, "time", clock)
    monkeypatch.setattr(keys, "RELOAD_AT_MOST_EVERY_SECONDS", 0)
    running = SigningKeys.load(own)
    kids = [running.signing.kid]
    life = own.access_token_seconds + MARGIN_SECONDS
    # However often it is done, no token dies of it.
    for seconds in (0, 5, 10, 15):
        clock.now = now + seconds
        rotation = rotate(own)
        kids.append(rotation.new.kid)
        assert list(rotation.verifying) == kids[:-1]
        assert rotation.since_last_seconds == (5 if seconds else None)
    for loaded in (SigningKeys.load(own), running):
        assert loaded.verifying(kids[-1]) is not None
        assert loaded.signing.kid == kids[-1]
        assert kids_of(loaded) == kids
    # Each ends a life after the next one began to sign.
    for seconds, ended in ((life - 1, 0), (life + 1, 1), (life + 6, 2), (life + 100, 4)):
        clock.now = now + seconds
        assert kids_of(running) == kids[ended:]
        assert [running.verifying(kid) is None for kid in kids] == [
            n < ended for n in range(len(kids))
        ]
    assert rotate(own).since_last_seconds is None
    assert len(SigningKeys.load(own).jwks()["keys"]) == 2


def test_keys_of_the_variable_verify_until_they_are_taken_out(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = SigningKey.generate(), SigningKey.generate()
    monkeypatch.setenv(keys.VARIABLE, private_set(older, newer))
    loaded = SigningKeys.load(own)
    monkeypatch.setattr(keys.time, "time", Clock(time.time() + 10 * own.access_token_seconds))
    assert kids_of(loaded) == [older.kid, newer.kid]


def test_a_key_without_its_time_is_as_old_as_its_file(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own.secrets_directory / FILE_NAME
    file.parent.mkdir(parents=True)
    pairs = [SigningKey.from_private(SigningKey.generate().private) for _ in range(2)]
    file.write_text(private_set(*pairs))
    loaded = SigningKeys.load(own)
    assert kids_of(loaded) == [pair.kid for pair in pairs]
    later = time.time() + own.access_token_seconds + MARGIN_SECONDS + 1
    monkeypatch.setattr(keys.time, "time", Clock(later))
    assert kids_of(loaded) == [pairs[1].kid]
    assert list(rotate(own).verifying) == [pairs[1].kid]


def test_rotations_at_once_are_all_done(own: Settings) -> None:
    SigningKeys.load(own)
    # The lock is one of open files, so threads meet at it as processes do.
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: rotate(own).new.kid, range(20)))
    assert set(made) < set(kids_of(SigningKeys.load(own)))


def test_a_running_process_finds_a_rotated_key(own: Settings) -> None:
    running = SigningKeys.load(own)
    new = rotate(own).new
    assert running.signing.kid == new.kid
    assert running.verifying(new.kid) is not None


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
