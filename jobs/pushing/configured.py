"""Which push providers a deployment has, by its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from db.push.tables import PushProvider
from jobs.pushing.base import Gateway
from settings import SettingsError

if TYPE_CHECKING:
    from db.core.service_account import ServiceAccount
    from jobs.pushing.apns import ApnsKey
    from settings import Settings

log = structlog.get_logger(__name__)


def check_push_settings(settings: Settings) -> None:
    """Raises SettingsError for a key that cannot be used; says which providers are off."""
    for provider in PushProvider:
        if missing := missing_settings(settings, provider):
            log.info("push provider is off", provider=provider.value, missing=missing)
    _service_account(settings)
    _apns_key(settings)


def missing_settings(settings: Settings, provider: PushProvider) -> list[str]:
    """What a provider lacks; nothing when it is on."""
    if provider is PushProvider.FCM:
        needed = {"FCM_SERVICE_ACCOUNT": _account(settings)}
    else:
        needed = {
            "APNS_KEY_ID": settings.apns_key_id,
            "APNS_TEAM_ID": settings.apns_team_id,
            "APNS_PRIVATE_KEY": _private_key(settings),
            "APNS_TOPIC": settings.apns_topic,
        }
    return [name for name, value in needed.items() if not value]


def choose_gateways(settings: Settings) -> dict[PushProvider, Gateway]:
    """The gateways of the providers that are on."""
    gateways: dict[PushProvider, Gateway] = {}
    if account := _service_account(settings):
        from jobs.pushing.fcm import FcmGateway

        project_id = settings.fcm_project_id or account.project_id
        gateways[PushProvider.FCM] = FcmGateway(settings.fcm_api_url, project_id, account)
    if key := _apns_key(settings):
        from jobs.pushing.apns import ApnsGateway

        gateways[PushProvider.APNS] = ApnsGateway(settings.apns_api_url, settings.apns_topic, key)
    return gateways


def _service_account(settings: Settings) -> ServiceAccount | None:
    if missing_settings(settings, PushProvider.FCM):
        return None
    from db.core.service_account import ServiceAccount

    account = ServiceAccount.of(_account(settings), "FCM_SERVICE_ACCOUNT")
    if not (settings.fcm_project_id or account.project_id):
        raise SettingsError("FCM_PROJECT_ID: the service account names no project; write it here")
    return account


def _apns_key(settings: Settings) -> ApnsKey | None:
    if missing_settings(settings, PushProvider.APNS):
        return None
    from jobs.pushing.apns import ApnsKey

    return ApnsKey.of(settings.apns_team_id, settings.apns_key_id, _private_key(settings))


def _account(settings: Settings) -> str:
    given = settings.fcm_service_account.get_secret_value()
    return given or _file("FCM_SERVICE_ACCOUNT_FILE", settings.fcm_service_account_file)


def _private_key(settings: Settings) -> str:
    given = settings.apns_private_key.get_secret_value()
    return given or _file("APNS_PRIVATE_KEY_FILE", settings.apns_private_key_file)


def _file(variable: str, path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: cannot be read: {type(error).__name__}") from None
