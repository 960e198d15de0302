"""Settings are checked once, and a wrong or missing one is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import Settings, SettingsError, write_secret


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
     ("LINK_URL", "{token}"), ("ACCESS_TOKEN_SECONDS", "1"), ("GRAPHIQL", "perhaps")],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (fault,) = refused.value.errors()
    assert fault["loc"] == (name.lower(),)


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
