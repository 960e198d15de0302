"""Settings are checked once, and a wrong or missing one is named."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cli.core.faults import explained
from server.start_checks import dangers
from settings import Settings, SettingsError
from settings_secrets import SECRETS, write_secret


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without `.env`, an environment without settings; gives the data directory."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.usefixtures("bare")
def test_without_any_setting_a_demo_serves_this_machine_only() -> None:
    settings = Settings()
    assert not settings.production
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.cors_origins == settings.trusted_proxies == []


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("PORT", "65536"), ("PORT", "-1"), ("ENVIRONMENT", "prod"),
     ("LOG_LEVEL", "loud"), ("POOL_SIZE", "0"), ("STATEMENT_TIMEOUT_SECONDS", "0"),
     ("SMTP_URL", "http://mail.test"), ("MAIL_FROM", "nobody"), ("LINK_URL", "https://app.test/"),
     ("LINK_URL", "{token}"), ("ACCESS_TOKEN_SECONDS", "1"), ("GRAPHIQL", "perhaps"),
     ("BUS_URL", "memcached://host"), ("GEMINI_API_URL", "host"), ("GEMINI_IMAGE_MODEL", "../x"),
     ("FOREIGN_ISSUER_JWKS_URL", "host"),
     ("TRUSTED_PROXIES", "proxy"), ("TRUSTED_PROXIES", "10.0.0.7,localhost"),
     ("TRUSTED_PROXIES", "10.0.0.0/40"), ("TRUSTED_PROXIES", "10.0.0.7:8080"),
     ("PUBLIC_URL", "foo"), ("PUBLIC_URL", "api.example.com"), ("PUBLIC_URL", "https://"),
     ("PUBLIC_URL", "ftp://api.example.com"), ("PUBLIC_URL", "https://api.example.com:x"),
     ("PUBLIC_URL", "https://api.example.com/?a=b"), ("PUBLIC_URL", "https://me:pw@api.example.com"),
     ("CORS_ORIGINS", "app.example.com"), ("CORS_ORIGINS", "https://a.example,b.example"),
     ("CORS_ORIGINS", "https://app.example.com/"), ("CORS_ORIGINS", "*"), ("CORS_ORIGINS", "null"),
     ("REDIRECT_ORIGINS", "https://app.example.com/in"), ("PASSKEY_ORIGINS", "app.example.com"),
     ("PASSKEY_RP_ID", "https://example.com"), ("PASSKEY_RP_ID", "example.com"),
     ("PASSKEY_RP_ID", "127.0.0.1"), ("PASSKEY_RP_ID", "com")],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name_and_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    found = explained(refused.value)
    assert found is not None
    (sentence,) = found[1]
    assert sentence.startswith(f"{name}: ")
    # None shows a pattern, or the password of a URL.
    assert "^" not in sentence
    assert "me:pw" not in sentence


ORIGINS = "https://App.example.com:443, http://localhost:3000, capacitor://localhost"


@pytest.mark.usefixtures("bare")
def test_origins_and_proxies_are_kept_as_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", ORIGINS)
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.7/8, 2001:DB8::0:1, *")
    settings = Settings()
    assert settings.cors_origins == [
        "https://app.example.com", "http://localhost:3000", "capacitor://localhost",
    ]  # fmt: skip
    assert settings.trusted_proxies == ["10.0.0.0/8", "2001:db8::1", "*"]


PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "public_url": "https://api.example.com",
    "database_url": "postgresql://db.example/tallygraph?sslmode=verify-full",
}


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"public_url": "http://api.example.com"}, "PUBLIC_URL: passwords and tokens would travel"),
        ({"metrics_token": "a"}, "METRICS_TOKEN has fewer than 16 characters"),
        ({"passkey_rp_id": "example.org"}, "no page of example.org is known"),
    ],
)
def test_production_refuses_what_is_lawful_in_a_demo(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Settings(**PRODUCTION | given)
    # What stays on the machine itself is nobody's to read.
    assert Settings(**PRODUCTION | {"public_url": "http://127.0.0.1:8000"}).production


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "given",
    [
        {"public_url": "https://api.example.com"},
        {"public_url": "https://example.com"},
        {"cors_origins": ["https://app.example.com"]},
        {"passkey_origins": ["android:apk-key-hash:x"]},
    ],
)
def test_a_relying_party_is_a_domain_of_some_page(given: dict[str, Any]) -> None:
    assert Settings(passkey_rp_id="example.com", **given).passkey_rp_id == "example.com"


@pytest.mark.parametrize(
    ("name", "secret", "said"),
    [
        ("signed-url-key", "a", "SIGNED_URL_KEY has fewer than 32 characters"),
        ("refresh-token-key", "ab" * 40, "REFRESH_TOKEN_KEY repeats a few characters"),
        ("vault-master-key", f"{'0123456789abcdef' * 2},short", "VAULT_MASTER_KEY has fewer"),
        ("vault-master-key", ", ,", "VAULT_MASTER_KEY names no key"),
        ("database-anon-password", "postgres", "DATABASE_ANON_PASSWORD has fewer"),
    ],
)
def test_production_refuses_secrets_that_can_be_guessed(
    bare: Path, monkeypatch: pytest.MonkeyPatch, name: str, secret: str, said: str
) -> None:
    good = {other: f"{other}, good enough for tests".replace(",", "") for other in SECRETS}
    for other, value in {**good, name: secret}.items():
        monkeypatch.setenv(other.upper().replace("-", "_"), value)
    with pytest.raises(SettingsError, match=said) as refused:
        Settings(**PRODUCTION).require_secrets()
    assert "openssl rand -base64 32" in str(refused.value)
    monkeypatch.delenv(name.upper().replace("-", "_"))
    with pytest.raises(SettingsError, match=f"set {name.upper().replace('-', '_')} or write it"):
        Settings(**PRODUCTION).require_secrets()
    write_secret(bare / "secrets" / name, good[name])
    Settings(**PRODUCTION).require_secrets()


def test_a_key_list_without_a_key_is_refused_in_a_demo_too(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_MASTER_KEY", ",")
    with pytest.raises(SettingsError, match="VAULT_MASTER_KEY names no key"):
        Settings().require_secrets()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("given", "dangerous"),
    [
        ({}, []),
        ({"host": "::1"}, []),
        ({"host": "0.0.0.0"}, ["ENVIRONMENT"]),
        ({"trusted_proxies": ["*"]}, ["TRUSTED_PROXIES"]),
        (PRODUCTION, ["SMTP_URL", "TRUSTED_PROXIES"]),
        (PRODUCTION | {"database_url": "postgresql://db.example/t?sslmode=require",
                       "database_direct_url": "postgresql://[fd00::1]/t"},
         ["DATABASE_URL", "DATABASE_DIRECT_URL", "SMTP_URL", "TRUSTED_PROXIES"]),
        (PRODUCTION | {"database_url": "postgresql://127.0.0.1/t",
                       "database_direct_url": "postgresql://db.example/t?sslmode=verify-ca"},
         ["SMTP_URL", "TRUSTED_PROXIES"]),
        (PRODUCTION | {"smtp_url": "smtp://mail.test", "mail_from": "a@b.test",
                       "trusted_proxies": ["10.0.0.7"], "host": "0.0.0.0"}, []),
        (PRODUCTION | {"smtp_url": "smtp://mail.test", "mail_from": "a@b.test",
                       "trusted_proxies": ["10.0.0.7"], "confirm_email": False,
                       "cors_origins": ["http://app.example.com", "http://localhost:3000"]},
         ["CONFIRM_EMAIL", "CORS_ORIGINS"]),
    ],
)  # fmt: skip
def test_what_is_lawful_and_dangerous_is_warned_of(
    given: dict[str, Any], dangerous: list[str]
) -> None:
    assert [name for name, _ in dangers(Settings(**given))] == dangerous


@pytest.mark.usefixtures("bare")
def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("TRUSTED_PROXIES", "")
    settings = Settings()
    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.trusted_proxies == []


@pytest.mark.usefixtures("bare")
def test_production_names_what_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ValidationError, match="PUBLIC_URL, DATABASE_URL"):
        Settings()
    monkeypatch.setenv("PUBLIC_URL", "https://api.example/")
    with pytest.raises(ValidationError, match="needs DATABASE_URL"):
        Settings()
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/tallygraph")
    assert Settings().base_url == "https://api.example"


@pytest.mark.usefixtures("bare")
def test_a_mail_server_needs_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", "smtps://ada:secret@mail.test")
    with pytest.raises(ValidationError, match="SMTP_URL needs MAIL_FROM"):
        Settings()
    monkeypatch.setenv("MAIL_FROM", "Aura <no-reply@aura.test>")
    assert Settings().mail_from == "Aura <no-reply@aura.test>"


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("10.0.0.7", "http://10.0.0.7:80")],
)  # fmt: skip
@pytest.mark.usefixtures("bare")
def test_the_base_url_can_be_opened(host: str, url: str) -> None:
    assert Settings(host=host, port=80).base_url == url


def test_a_demo_makes_each_secret_once_for_its_owner_only(bare: Path) -> None:
    first = Settings().secret("signed-url-key")
    assert len(first) >= 32
    assert Settings().secret("signed-url-key") == first
    assert Settings().secret("another-key") != first
    path = bare / "secrets" / "signed-url-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_environment_comes_before_the_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Settings().secret("signed-url-key")
    monkeypatch.setenv("SIGNED_URL_KEY", "from the environment")
    assert Settings().secret("signed-url-key") == "from the environment"


def test_production_invents_no_secret(bare: Path) -> None:
    settings = Settings(
        environment="production", public_url="https://api.example", database_url="postgresql://x/y"
    )
    with pytest.raises(SettingsError, match="set SIGNED_URL_KEY or write it to"):
        settings.secret("signed-url-key")
    assert not bare.exists()


def test_of_two_that_write_a_secret_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    assert write_secret(path, "first") == "first"
    assert write_secret(path, "second") == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("bare")
def test_photos_of_every_size_that_is_taken_fit_into_the_picture_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PICTURE_MEMORY_BYTES", "500000000")
    with pytest.raises(ValidationError, match="PICTURE_MEMORY_BYTES must be at least 981457280"):
        Settings()
    monkeypatch.setenv("UPLOAD_LIMIT_PIXELS", "10000000")
    assert Settings().picture_memory_bytes == 500_000_000
