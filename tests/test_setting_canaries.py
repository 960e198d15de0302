"""No secret among the settings is told: not where it is wrong, nor where all of them are shown."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from auth.providers.configured import configured_providers as sign_in_providers
from cli.core.faults import explained
from db.files.storage import open_store
from jobs.mailing.smtp import SmtpServer
from jobs.pushing.configured import check_push_settings
from payments.registry import configured_tellers
from server.start_checks import dangers
from settings import Settings, SettingsError, get_settings

from .running import ROOT

CANARY = "canary4c9e"
FAILING = """
import os
from cli import main
value = os.environ["VALUE"]
def app():
    try:
        int(value)
    except ValueError as error:
        raise KeyError(value) from error
main.app = app
main.main()
"""
# What is a secret, or an address in which one may stand.
SECRETS = {
    name for name, field in Settings.model_fields.items() if isinstance(field.default, SecretStr)
} | {
    "alert_webhook_url",
    "bus_url",
    "database_direct_url",
    "database_owner_url",
    "database_url",
    "metrics_token",
    "paypal_client_id",
    "paypal_webhook_id",
    "smtp_url",
    "storage_url",
}
# Wrong in one way each; that some are right for some settings is no harm.
WRITTEN = (
    CANARY,
    f"{CANARY}://user:{CANARY}@host:x/y",
    f"https://user:{CANARY}@host:x/",
    f"smtp://user:{CANARY}@host:x?tls={CANARY}",
    f"postgresql://user:{CANARY}@[host/x?sslmode={CANARY}",
    f"s3://{CANARY}:{CANARY}@bucket[",
    f"redis://:{CANARY}@host:x",
    f'{{"type": "service_account", "private_key": "{CANARY}", "client_email": "{CANARY}"}}',
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
)
# What belongs beside a secret, so that it is looked at.
BESIDE = {
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_FROM_NUMBER": "+15550100",
    "TWILIO_VOICE_URL": "https://v.test",
    "APNS_KEY_ID": "K",
    "APNS_TEAM_ID": "T",
    "APNS_TOPIC": "t",
    "APPLE_CLIENT_ID": "c",
    "APPLE_TEAM_ID": "T",
    "APPLE_KEY_ID": "K",
    "MAIL_FROM": "a@b.test",
    "APP_STORE_BUNDLE_ID": "b",
    "GOOGLE_PLAY_PACKAGE_NAME": "p",
    "FOREIGN_ISSUER": "https://f.test",
    "FOREIGN_ISSUER_UNTIL": "2099-01-01",
}


def use(settings: Settings) -> None:
    """Everything that reads a secret as a process starts."""
    list(dangers(settings))
    if settings.smtp_url:
        SmtpServer.of(settings.smtp_url)
    if settings.storage_url:
        open_store(settings)
    check_push_settings(settings)
    sign_in_providers(settings)
    configured_tellers(settings)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_requirement_9_4_a_secret_that_is_wrong_is_refused_and_not_shown(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for other, value in BESIDE.items():
        monkeypatch.setenv(other, value)
    told = []
    for value in WRITTEN:
        monkeypatch.setenv(name.upper(), value)
        get_settings.cache_clear()
        try:
            use(Settings())
        except (ValidationError, SettingsError, ValueError, TypeError) as error:
            sentences = explained(error)
            told += [repr(sentences), str(error), "".join(traceback.format_exception(error))]
    told += capfd.readouterr()
    assert [one for one in told if CANARY in one] == []


def test_requirement_9_4_a_command_that_fails_tells_where_and_no_value() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "VALUE": CANARY},
        check=False,
    )
    assert (done.returncode, CANARY in done.stdout + done.stderr) == (1, False)
    assert "in app" in done.stderr
    assert done.stderr.rstrip().endswith("KeyError")


@pytest.mark.usefixtures("bare")
def test_requirement_9_4_settings_that_are_shown_show_no_secret() -> None:
    given = dict.fromkeys(SECRETS, CANARY)
    settings = Settings.model_construct(
        **{
            name: SecretStr(CANARY) if isinstance(field.default, SecretStr) else given.get(name, "")
            for name, field in Settings.model_fields.items()
        }
    )
    assert "environment" in repr(settings)
    for shown in (repr(settings), str(settings), f"{settings}", repr({"settings": settings})):
        assert CANARY not in shown
