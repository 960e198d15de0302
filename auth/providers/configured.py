"""The providers that the settings name; one without a client id is off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import jwt

from auth.providers.apple import AppleKey, AppleProvider
from auth.providers.base import SignInProvider
from auth.providers.discord import DiscordProvider
from auth.providers.discovery import Issuer
from auth.providers.facebook import FacebookProvider
from auth.providers.openid import OpenIdProvider, ProviderClient
from settings import Settings, SettingsError
from settings_secrets import given

GOOGLE_OTHER_NAME = "accounts.google.com"
BUILT_IN = ("google", "apple", "facebook", "discord")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/.*)?", re.ASCII)


def configured_providers(settings: Settings) -> dict[str, SignInProvider]:
    """The providers that can be signed in with, by name."""
    makers: Mapping[str, Callable[[Settings], SignInProvider]] = {
        "google": _google,
        "apple": _apple,
        "facebook": _facebook,
        "discord": _discord,
    }
    wanted = {name: make for name, make in makers.items() if getattr(settings, f"{name}_client_id")}
    found = {name: make(settings) for name, make in wanted.items()}
    return found | {provider.name: provider for provider in _named(settings)}


def _google(settings: Settings) -> SignInProvider:
    client = _client(settings, "google")
    issuer = Issuer("google", _checked("GOOGLE_ISSUER", settings.google_issuer))
    return OpenIdProvider("google", client, issuer, GOOGLE_OTHER_NAME)


def _apple(settings: Settings) -> SignInProvider:
    # A PEM in one line, as files of variables have it.
    private_key = settings.apple_private_key.get_secret_value().replace("\\n", "\n")
    key = None
    if private_key:
        if not (settings.apple_team_id and settings.apple_key_id):
            raise SettingsError("APPLE_PRIVATE_KEY needs APPLE_TEAM_ID and APPLE_KEY_ID beside it")
        key = AppleKey(settings.apple_team_id, settings.apple_key_id, private_key)
    issuer = Issuer("apple", _checked("APPLE_ISSUER", settings.apple_issuer))
    provider = AppleProvider(_client(settings, "apple"), issuer, key)
    try:
        provider.client_secret()
    except (ValueError, TypeError, jwt.PyJWTError):
        # Nothing of the key may stand in what is raised.
        raise SettingsError("APPLE_PRIVATE_KEY must be a P-256 key as a PEM text") from None
    return provider


def _facebook(settings: Settings) -> SignInProvider:
    client = _client(settings, "facebook")
    if url := settings.facebook_issuer:
        issuer = Issuer("facebook", _checked("FACEBOOK_ISSUER", url))
        return OpenIdProvider("facebook", client, issuer, vouches_for_emails=False)
    return FacebookProvider(client, _checked("FACEBOOK_API_URL", settings.facebook_api_url))


def _discord(settings: Settings) -> SignInProvider:
    client = _client(settings, "discord")
    if url := settings.discord_issuer:
        issuer = Issuer("discord", _checked("DISCORD_ISSUER", url))
        return OpenIdProvider("discord", client, issuer)
    return DiscordProvider(client, _checked("DISCORD_API_URL", settings.discord_api_url))


def _client(settings: Settings, name: str) -> ProviderClient:
    return ProviderClient(
        getattr(settings, f"{name}_client_id"),
        getattr(settings, f"{name}_client_secret").get_secret_value(),
        tuple(getattr(settings, f"{name}_app_client_ids", ())),
    )


def _named(settings: Settings) -> Iterator[OpenIdProvider]:
    """Further issuers: `acme` has its settings in ACME_ISSUER, ACME_CLIENT_ID and so on."""
    for name in settings.oidc_providers:
        if name in BUILT_IN or not _NAME.fullmatch(name):
            raise SettingsError(
                f"OIDC_PROVIDERS: {name!r} is no name for one; write lower-case letters and "
                "digits, as in acme"
            )
        variable = name.upper().replace("-", "_")
        url, client_id = given(f"{variable}_ISSUER"), given(f"{variable}_CLIENT_ID")
        if not url or not client_id:
            raise SettingsError(
                f"OIDC_PROVIDERS names {name}: set {variable}_ISSUER and {variable}_CLIENT_ID"
            )
        app_ids = (given(f"{variable}_APP_CLIENT_IDS") or "").split(",")
        client = ProviderClient(
            client_id,
            given(f"{variable}_CLIENT_SECRET") or "",
            tuple(one.strip() for one in app_ids if one.strip()),
        )
        yield OpenIdProvider(name, client, Issuer(name, _checked(f"{variable}_ISSUER", url)))


def _checked(variable: str, url: str) -> str:
    """A provider's URL; without TLS only on this machine."""
    if not url.startswith("https://") and not _LOCAL.fullmatch(url):
        raise SettingsError(f"{variable} must begin with https://")
    return url
