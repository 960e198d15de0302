"""Every setting of a deployment, read from the environment and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from settings_checks import (
    GOOD_SECRET,
    SECRET_MIN_CHARACTERS,
    BusUrl,
    DnsServer,
    EmailAddress,
    LinkUrl,
    MailFrom,
    ModelName,
    OptionalWebUrl,
    Origin,
    PasskeyOrigin,
    Proxy,
    PublicUrl,
    SmtpUrl,
    WebUrl,
    check_relying_party,
    is_this_machine,
    split_list,
)
from settings_secrets import HasSecrets, plain_variable, sealed_secrets
from settings_secrets import SettingsError as SettingsError  # noqa: PLC0414 -- goes with Settings
from vault_keys import USUAL_ROUNDS

ROLES = ("anon", "authenticated", "service")
# What reading a photo takes at most: the decoder of an animated WebP holds four canvases.
PICTURE_BASE_BYTES = 150_000_000
PICTURE_BYTES_PER_PIXEL = 20
# Written with commas.
LISTS = (
    "trusted_proxies",
    "cors_origins",
    "redirect_origins",
    "passkey_origins",
    "google_app_client_ids",
    "apple_app_client_ids",
    "oidc_providers",
    "password_blocklist",
    "paymob_integration_id",
    "tool_providers",
    "dns_servers",
)
METRICS_TOKEN_MIN_CHARACTERS = 16
PROVIDERS = ("offline", "gemini")
DEMO_ORIGINS = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"


class SealedSource(EnvSettingsSource):
    """The settings that stand in the sealed file."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in sealed_secrets().items()}


class Settings(HasSecrets, BaseSettings):
    """The settings of one deployment. Names in the environment are the upper-case field names."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["demo", "production"] = "demo"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: PublicUrl = ""
    trusted_proxies: Annotated[list[Proxy], NoDecode] = []
    cors_origins: Annotated[list[Origin], NoDecode] = []

    data_directory: Path = Path(".tallygraph")
    database_owner_url: str = ""
    database_url: str = ""
    database_direct_url: str = ""
    database_prepared_statements: bool = True
    postgres_bin: str = ""
    postgres_buffers_megabytes: Annotated[int, Field(ge=0, le=65_536)] = 0
    slow_query_milliseconds: Annotated[int, Field(ge=-1, le=3_600_000)] = 100
    pool_size: Annotated[int, Field(ge=1, le=500)] = 10
    statement_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    transaction_timeout_seconds: Annotated[float, Field(ge=1)] = 30.0
    storage_url: str = ""

    worker_jobs: Annotated[int, Field(ge=2, le=200)] = 16
    worker_health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    drain_notice_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0

    tool_providers: Annotated[list[str], NoDecode] = []
    gemini_api_key: SecretStr = SecretStr("")
    gemini_api_url: WebUrl = "https://generativelanguage.googleapis.com"
    gemini_image_model: ModelName = "gemini-2.5-flash-image"
    gemini_analysis_model: ModelName = "gemini-2.5-flash"
    gemini_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 90.0
    gemini_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    gemini_concurrent_calls: Annotated[int, Field(ge=1, le=200)] = 8
    gemini_calls_per_minute: Annotated[int, Field(ge=0, le=10_000)] = 0
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_api_url: WebUrl = "https://api.anthropic.com"
    anthropic_model: ModelName = "claude-sonnet-4-6"
    anthropic_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 120.0
    anthropic_idle_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    anthropic_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    anthropic_concurrent_calls: Annotated[int, Field(ge=1, le=200)] = 50
    anthropic_calls_per_minute: Annotated[int, Field(ge=0, le=10_000)] = 0

    secrets_file: str = ""
    vault_master_key_file: str = ""
    vault_master_key_command: str = ""
    vault_key_rounds: Annotated[int, Field(ge=100_000, le=10_000_000)] = USUAL_ROUNDS

    twilio_account_sid: str = ""
    twilio_auth_token: SecretStr = SecretStr("")
    twilio_from_number: str = ""
    twilio_voice_url: OptionalWebUrl = ""
    twilio_api_url: WebUrl = "https://api.twilio.com"
    vonage_application_id: str = ""
    vonage_private_key: SecretStr = SecretStr("")
    vonage_signature_secret: SecretStr = SecretStr("")
    vonage_from_number: str = ""
    vonage_answer_url: OptionalWebUrl = ""
    vonage_api_url: WebUrl = "https://api.nexmo.com"
    vonage_usd_per_eur: Annotated[float, Field(gt=0, le=100)] = 1.0
    # Where groups are looked at, whose ownership developers prove.
    roblox_api_url: WebUrl = "https://groups.roblox.com"
    # Who is asked for the records that prove domains: addresses, with or without a port; the
    # system's own without any.
    dns_servers: Annotated[list[DnsServer], NoDecode] = []

    telephony_seed: str = "tallygraph"
    telephony_seconds: Annotated[float, Field(ge=0, le=3_600)] = 10.0

    smtp_url: SmtpUrl = ""
    mail_from: MailFrom = ""
    link_url: LinkUrl = ""

    fcm_api_url: WebUrl = "https://fcm.googleapis.com"
    fcm_project_id: str = ""
    fcm_service_account: SecretStr = SecretStr("")
    fcm_service_account_file: str = ""
    apns_api_url: WebUrl = "https://api.push.apple.com"
    apns_key_id: str = ""
    apns_team_id: str = ""
    apns_private_key: SecretStr = SecretStr("")
    apns_private_key_file: str = ""
    apns_topic: str = ""

    access_token_seconds: Annotated[int, Field(ge=30)] = 900
    refresh_token_days: Annotated[int, Field(ge=1)] = 30
    session_lifetime_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    guest_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    password_blocklist: Annotated[list[str], NoDecode] = []
    refresh_reuse_seconds: Annotated[int, Field(ge=0, le=60)] = 10
    fresh_sign_in_seconds: Annotated[int, Field(ge=30)] = 900
    passkey_rp_id: str = ""
    passkey_origins: Annotated[list[PasskeyOrigin], NoDecode] = []
    failed_sign_ins_per_address: Annotated[int, Field(ge=1)] = 30
    wrong_passwords_per_account: Annotated[int, Field(ge=10, le=100)] = 100
    account_deletion_days: Annotated[int, Field(ge=0, le=365)] = 30
    absence_notice_hours: Annotated[int, Field(ge=0, le=8_760)] = 72
    token_issuer: str = "tallygraph"
    token_audience: str = "tallygraph"
    foreign_issuer: str = ""
    foreign_issuer_jwks_url: OptionalWebUrl = ""
    foreign_issuer_secret: SecretStr = SecretStr("")
    foreign_issuer_until: date | None = None

    confirm_email: bool | None = None
    code_requests_per_hour: Annotated[int, Field(ge=1)] = 100
    wrong_codes_per_hour: Annotated[int, Field(ge=1)] = 50

    provider_sign_ins_per_address: Annotated[int, Field(ge=1)] = 60
    redirect_origins: Annotated[list[Origin], NoDecode] = []
    google_client_id: str = ""
    google_client_secret: SecretStr = SecretStr("")
    google_issuer: str = "https://accounts.google.com"
    google_app_client_ids: Annotated[list[str], NoDecode] = []
    apple_client_id: str = ""
    apple_client_secret: SecretStr = SecretStr("")
    apple_issuer: str = "https://appleid.apple.com"
    apple_app_client_ids: Annotated[list[str], NoDecode] = []
    apple_team_id: str = ""
    apple_key_id: str = ""
    apple_private_key: SecretStr = SecretStr("")
    facebook_client_id: str = ""
    facebook_client_secret: SecretStr = SecretStr("")
    facebook_issuer: str = ""
    facebook_api_url: str = "https://graph.facebook.com"
    discord_client_id: str = ""
    discord_client_secret: SecretStr = SecretStr("")
    discord_issuer: str = ""
    discord_token: SecretStr = SecretStr("")
    discord_api_url: str = "https://discord.com/api"
    oidc_providers: Annotated[list[str], NoDecode] = []

    paymob_api_url: WebUrl = "https://accept.paymob.com"
    paymob_secret_key: SecretStr = SecretStr("")
    paymob_hmac_secret: SecretStr = SecretStr("")
    paymob_integration_id: Annotated[list[int], NoDecode] = []
    paymob_public_key: str = ""
    paymob_api_key: SecretStr = SecretStr("")
    revenuecat_api_url: WebUrl = "https://api.revenuecat.com"
    revenuecat_api_key: SecretStr = SecretStr("")
    revenuecat_webhook_authorization: SecretStr = SecretStr("")
    stripe_api_url: WebUrl = "https://api.stripe.com"
    stripe_secret_key: SecretStr = SecretStr("")
    stripe_webhook_secret: SecretStr = SecretStr("")
    # Which endpoint of Stripe's tells of connected accounts has a secret of its own.
    stripe_connect_webhook_secret: SecretStr = SecretStr("")
    paypal_api_url: WebUrl = "https://api-m.paypal.com"
    paypal_client_id: str = ""
    paypal_client_secret: SecretStr = SecretStr("")
    paypal_webhook_id: str = ""
    # Whoever runs the service as a merchant of PayPal's partner program: sellers can be onboarded.
    paypal_partner_id: str = ""
    # What whoever runs the service keeps of a store's sale, in hundredths of a percent.
    platform_fee_basis_points: Annotated[int, Field(ge=0, le=10_000)] = 500
    stripe_promotion_codes: bool = False
    stripe_automatic_tax: bool = False
    stripe_price_starter_monthly: str = ""
    stripe_price_starter_annual: str = ""
    stripe_price_pro_monthly: str = ""
    stripe_price_pro_annual: str = ""
    stripe_price_enterprise_monthly: str = ""
    stripe_price_enterprise_annual: str = ""
    app_store_bundle_id: str = ""
    app_store_apple_id: Annotated[int, Field(ge=1)] | None = None
    app_store_environment: Literal["Production", "Sandbox"] = "Production"
    # A file of certificates (PEM) that stand above what is signed, instead of Apple's own root.
    app_store_root_certificates: str = ""
    google_play_api_url: WebUrl = "https://androidpublisher.googleapis.com"
    google_play_package_name: str = ""
    google_play_service_account: SecretStr = SecretStr("")
    google_play_service_account_file: str = ""
    google_play_push_audience: str = ""
    google_play_push_email: str = ""
    google_play_push_keys_url: WebUrl = "https://www.googleapis.com/oauth2/v3/certs"

    guest_bonuses_per_hour: Annotated[int, Field(ge=0)] = 20
    sign_up_bonuses_per_hour: Annotated[int, Field(ge=0)] = 100
    accounts_per_hour: Annotated[int, Field(ge=1)] = 500
    email_in_use_answers_per_hour: Annotated[int, Field(ge=0)] = 100

    plan_grace_days: Annotated[int, Field(ge=0, le=90)] = 7
    plan_reminder_days: Annotated[int, Field(ge=0, le=30)] = 3
    low_balance_credits: Annotated[int, Field(ge=0, le=1000)] = 5
    alert_email: EmailAddress = ""
    alert_webhook_url: OptionalWebUrl = ""
    alert_ai_latency_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    alert_sync_failures_percent: Annotated[float, Field(ge=0, le=100)] = 5.0
    alert_deduction_failures_percent: Annotated[float, Field(ge=0, le=100)] = 1.0
    alert_webhook_failures: Annotated[int, Field(ge=0, le=100_000)] = 0

    # Activities that a user without a paid plan may draw in a day.
    free_daily_activities: Annotated[int, Field(ge=0, le=1000)] = 25
    # Activities that an AI writes for a play session, where there is a key.
    activities_by_ai: Annotated[int, Field(ge=0, le=20)] = 10

    mutations_per_user: Annotated[int, Field(ge=1)] = 20
    mutations_per_address: Annotated[int, Field(ge=1)] = 200
    query_cost_per_user: Annotated[int, Field(ge=1)] = 2_000_000
    query_cost_per_address: Annotated[int, Field(ge=1)] = 8_000_000
    api_key_requests_per_minute: Annotated[int, Field(ge=1)] = 600

    bus_url: BusUrl = ""
    connections_per_address: Annotated[int, Field(ge=1)] = 500
    live_connections_per_address: Annotated[int, Field(ge=1)] = 500
    live_connections_per_user: Annotated[int, Field(ge=1)] = 50
    live_subscriptions_per_user: Annotated[int, Field(ge=1)] = 200

    graphiql: bool = True
    admin_ui: bool = False
    introspection: bool = True
    trusted_documents: str = ""
    query_character_limit: Annotated[int, Field(ge=1)] = 50_000
    query_token_limit: Annotated[int, Field(ge=1)] = 2_000
    query_depth_limit: Annotated[int, Field(ge=1)] = 15
    query_alias_limit: Annotated[int, Field(ge=0)] = 100
    query_directive_limit: Annotated[int, Field(ge=0)] = 50
    query_definition_limit: Annotated[int, Field(ge=1)] = 50
    query_field_limit: Annotated[int, Field(ge=1)] = 1_000
    query_cost_limit: Annotated[int, Field(ge=1)] = 20_000
    query_row_limit: Annotated[int, Field(ge=1)] = 5_000
    answer_limit_bytes: Annotated[int, Field(ge=1_000_000, le=100_000_000)] = 8_388_608
    answer_user_bytes: Annotated[int, Field(ge=1_000_000)] = 12_582_912
    answer_process_bytes: Annotated[int, Field(ge=1_000_000)] = 67_108_864
    body_limit_bytes: int = 1_048_576
    upload_limit_bytes: int = 15 * 1_048_576
    upload_limit_pixels: Annotated[int, Field(ge=1)] = 40_000_000
    picture_memory_bytes: int = 1 << 30
    upload_quota_bytes: Annotated[int, Field(ge=0)] = 500_000_000
    upload_waiting_limit: Annotated[int, Field(ge=1)] = 200
    upload_url_seconds: int = 900
    result_url_seconds: int = 3600
    public_cache_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    metrics_token: str = ""
    otel_exporter_otlp_endpoint: OptionalWebUrl = ""
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - given by position
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, the environment, the sealed file and the file `.env`, in this order."""
        return (init_settings, env_settings, SealedSource(settings_cls), dotenv_settings)

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        """What is shown of settings: secrets and addresses that hold some are among the others."""
        return [("environment", self.environment)]

    @model_validator(mode="before")
    @classmethod
    def _lists_from_commas(cls, values: dict[str, object]) -> dict[str, object]:
        for name in LISTS:
            value = values.get(name)
            if isinstance(value, str):
                values[name] = split_list(value)
        return values

    @model_validator(mode="after")
    def _production_is_explicit(self) -> Self:
        if self.environment == "production":
            needed = ("public_url", "database_url")
            missing = [name.upper() for name in needed if not getattr(self, name)]
            if missing:
                raise ValueError(f"production needs {', '.join(missing)}; see .env.example")
            if self.public_url.startswith("http://") and not is_this_machine(self.public_url):
                raise ValueError(
                    "PUBLIC_URL: passwords and tokens would travel in the clear; let a proxy speak "
                    "TLS and write https://…"
                )
            if 0 < len(self.metrics_token) < METRICS_TOKEN_MIN_CHARACTERS:
                raise ValueError(
                    f"METRICS_TOKEN has fewer than {METRICS_TOKEN_MIN_CHARACTERS} characters; "
                    f"{GOOD_SECRET}"
                )
        return self

    @model_validator(mode="after")
    def _master_key_has_one_place(self) -> Self:
        places = {
            "VAULT_MASTER_KEY": plain_variable("VAULT_MASTER_KEY"),
            "VAULT_MASTER_KEY_FILE": self.vault_master_key_file,
            "VAULT_MASTER_KEY_COMMAND": self.vault_master_key_command,
        }
        named = [name for name, value in places.items() if value]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are given: leave one of them")
        return self

    @model_validator(mode="after")
    def _twilio_is_whole(self) -> Self:
        given = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token.get_secret_value(),
            "TWILIO_FROM_NUMBER": self.twilio_from_number,
            "TWILIO_VOICE_URL": self.twilio_voice_url,
        }
        missing = [name for name, value in given.items() if not value]
        if missing and len(missing) < len(given):
            raise ValueError(f"Twilio needs {', '.join(missing)}, too; see .env.example")
        return self

    @model_validator(mode="after")
    def _vonage_is_whole(self) -> Self:
        given = {
            "VONAGE_APPLICATION_ID": self.vonage_application_id,
            "VONAGE_PRIVATE_KEY": self.vonage_private_key.get_secret_value(),
            "VONAGE_SIGNATURE_SECRET": self.vonage_signature_secret.get_secret_value(),
            "VONAGE_FROM_NUMBER": self.vonage_from_number,
            "VONAGE_ANSWER_URL": self.vonage_answer_url,
        }
        missing = [name for name, value in given.items() if not value]
        if missing and len(missing) < len(given):
            raise ValueError(f"Vonage needs {', '.join(missing)}, too; see .env.example")
        if not missing and self.twilio_account_sid:
            raise ValueError("Calls go through Twilio or Vonage: leave out the settings of one")
        return self

    @model_validator(mode="after")
    def _passkeys_have_pages(self) -> Self:
        if self.passkey_rp_id:
            pages = (*self.cors_origins, *self.redirect_origins, *self.passkey_origins)
            check_relying_party(self.passkey_rp_id, (self.base_url, *pages))
        return self

    @model_validator(mode="after")
    def _foreign_issuer_is_whole(self) -> Self:
        secret = self.foreign_issuer_secret.get_secret_value()
        if not self.foreign_issuer:
            return self
        if self.foreign_issuer == self.token_issuer:
            raise ValueError("FOREIGN_ISSUER and TOKEN_ISSUER must differ")
        if self.foreign_issuer_until is None:
            raise ValueError("FOREIGN_ISSUER needs FOREIGN_ISSUER_UNTIL, a day such as 2027-03-31")
        if not (self.foreign_issuer_jwks_url or secret):
            raise ValueError(
                "FOREIGN_ISSUER needs FOREIGN_ISSUER_JWKS_URL or FOREIGN_ISSUER_SECRET"
            )
        if secret and len(secret) < SECRET_MIN_CHARACTERS:
            raise ValueError(
                f"FOREIGN_ISSUER_SECRET has fewer than {SECRET_MIN_CHARACTERS} characters"
            )
        return self

    @model_validator(mode="after")
    def _tools_have_providers_that_exist(self) -> Self:
        for given_to in self.tool_providers:
            tool, _, provider = given_to.partition("=")
            if not tool or provider not in PROVIDERS:
                raise ValueError(
                    f"TOOL_PROVIDERS: {given_to!r} names no tool and provider; write such as "
                    f"eye-color=offline, providers are {' and '.join(PROVIDERS)}"
                )
            if provider == "gemini" and not self.gemini_api_key.get_secret_value():
                raise ValueError(f"TOOL_PROVIDERS gives {tool} to gemini: set GEMINI_API_KEY too")
        return self

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Self:
        if self.smtp_url and not self.mail_from:
            raise ValueError("SMTP_URL needs MAIL_FROM, such as Example <no-reply@example.com>")
        return self

    @model_validator(mode="after")
    def _photos_fit_into_memory(self) -> Self:
        needed = PICTURE_BASE_BYTES + PICTURE_BYTES_PER_PIXEL * self.upload_limit_pixels
        needed += 2 * self.upload_limit_bytes
        if self.picture_memory_bytes < needed:
            raise ValueError(
                f"PICTURE_MEMORY_BYTES must be at least {needed} for photos of "
                f"UPLOAD_LIMIT_PIXELS={self.upload_limit_pixels} and UPLOAD_LIMIT_BYTES="
                f"{self.upload_limit_bytes}; raise it, or lower those"
            )
        return self

    @model_validator(mode="after")
    def _answers_fit_into_their_shares(self) -> Self:
        if not self.answer_limit_bytes <= self.answer_user_bytes <= self.answer_process_bytes:
            raise ValueError(
                "ANSWER_LIMIT_BYTES may not be more than ANSWER_USER_BYTES, nor that more than "
                "ANSWER_PROCESS_BYTES"
            )
        return self

    @model_validator(mode="after")
    def _requests_fit_into_their_budgets(self) -> Self:
        if self.query_cost_limit > min(self.query_cost_per_user, self.query_cost_per_address):
            raise ValueError(
                "QUERY_COST_LIMIT may not be more than QUERY_COST_PER_USER or "
                "QUERY_COST_PER_ADDRESS: such a request could never run"
            )
        return self

    @property
    def production(self) -> bool:
        """Whether this deployment serves real users and must bring its own secrets."""
        return self.environment == "production"

    @property
    def confirms_email(self) -> bool:
        """Whether who signs up proves first that the address is theirs; production's default."""
        return self.production if self.confirm_email is None else self.confirm_email

    @property
    def base_url(self) -> str:
        """Where clients reach this server; never taken from a request's Host header."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def product_name(self) -> str:
        """What people know the product by: the name in MAIL_FROM, else the server's host.

        `localhost` and addresses in numbers are no names.
        """
        host = urlsplit(self.base_url).hostname or ""
        is_name = host != "localhost" and ":" not in host and not host.rpartition(".")[2].isdigit()
        return parseaddr(self.mail_from)[0] or (host if is_name else "") or "Tallygraph"

    @property
    def blocked_words(self) -> tuple[str, ...]:
        """What no password is made of: the product, its host, and what the operator adds."""
        host = urlsplit(self.base_url).hostname or ""
        return ("Tallygraph", self.product_name, host.rpartition(".")[0], *self.password_blocklist)

    @property
    def stripe_organization_prices(self) -> dict[tuple[str, str], str]:
        """Stripe's prices of organizations' plans, by plan and interval, as far as they are set."""
        found = {
            ("starter", "MONTH"): self.stripe_price_starter_monthly,
            ("starter", "YEAR"): self.stripe_price_starter_annual,
            ("pro", "MONTH"): self.stripe_price_pro_monthly,
            ("pro", "YEAR"): self.stripe_price_pro_annual,
            ("enterprise", "MONTH"): self.stripe_price_enterprise_monthly,
            ("enterprise", "YEAR"): self.stripe_price_enterprise_annual,
        }
        return {key: price for key, price in found.items() if price}

    @property
    def outbox_directory(self) -> Path:
        """Where e-mails land while there is no SMTP_URL."""
        return self.data_directory.absolute() / "outbox"


@cache
def get_settings() -> Settings:
    """The settings of this process; tests call `get_settings.cache_clear()` after changing one."""
    return Settings()
