"""What mails say: the parts of each template, and its texts in every language (`texts/*.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"
ENGLISH = "en"


@dataclass(frozen=True)
class Parts:
    """What a letter has in every language, beside its subject and its paragraphs.

    `purpose` is that of its link, where it has one. `closing` is the text at its end, and
    `details` are shown where their values are known. Where a code lasts for days it `shows_token`,
    the link's, since six digits are soon guessed.
    """

    purpose: str = ""
    closing: str = ""
    details: tuple[str, ...] = ()
    shows_token: bool = False


_WHERE_FROM = ("time", "device", "address")
_MEASURED = ("alert", "measured", "threshold", "time")

PARTS: Mapping[str, Parts] = {
    "confirm_email": Parts("confirm-email", "ignore", _WHERE_FROM),
    "reset_password": Parts("reset-password", "ignore", _WHERE_FROM),
    "sign_in_code": Parts("sign-in", "ignore", _WHERE_FROM),
    "confirm_email_change": Parts("confirm-email-change", "ignore", _WHERE_FROM),
    "email_changed": Parts(closing="ask_for_help", details=_WHERE_FROM),
    "email_changed_undo": Parts("undo-email-change", "", _WHERE_FROM, shows_token=True),
    "password_changed": Parts(closing="reset_password", details=_WHERE_FROM),
    "password_was_reset": Parts(closing="reset_password", details=(*_WHERE_FROM, "passkeys")),
    "email_in_use": Parts(closing="ignore", details=_WHERE_FROM),
    "email_wanted": Parts(closing="ignore", details=_WHERE_FROM),
    "organization_invitation": Parts("invitation", "ignore", ("inviter", "expires_at")),
    "partner_request": Parts(closing="ignore", details=("requester", "expires_at")),
    "new_sign_in": Parts(closing="secure_account", details=_WHERE_FROM),
    "second_factor_changed": Parts(closing="secure_account", details=_WHERE_FROM),
    "factor_added_undo": Parts("undo-added-factor", "", _WHERE_FROM, shows_token=True),
    "account_deletion_scheduled": Parts(closing="secure_account", details=_WHERE_FROM),
    "account_deletion_cancelled": Parts(details=_WHERE_FROM),
    "account_deleted": Parts(),
    "export_ready": Parts(closing="secure_account", details=("expires_at",)),
    "identity_linked": Parts(closing="remove_added", details=_WHERE_FROM),
    "api_key_created": Parts(closing="end_keys", details=("name", *_WHERE_FROM)),
    "subscription_payment_failed": Parts(details=("name", "expires_at")),
    "subscription_ended": Parts(details=("name",)),
    "alert_firing": Parts(details=_MEASURED),
    "alert_over": Parts(details=_MEASURED),
}


@dataclass(frozen=True)
class LetterTexts:
    """What one letter says in one language; `{names}` stand for values."""

    subject: str
    paragraphs: tuple[str, ...]
    button: str = ""


@dataclass(frozen=True)
class Texts:
    """All that mails say in one language."""

    language: str
    direction: str
    common: Mapping[str, str]
    details: Mapping[str, str]
    roles: Mapping[str, str]
    changes: Mapping[str, str]
    letters: Mapping[str, LetterTexts]


@cache
def languages() -> frozenset[str]:
    """The languages that there are texts in, by their codes (ISO 639-1)."""
    return frozenset(file.stem for file in FOLDER.glob("*.toml"))


def texts_for(locale: str | None) -> Texts:
    """The texts for a locale such as `pt-BR`: those of its language, else the English ones."""
    language = (locale or ENGLISH).replace("_", "-").partition("-")[0].lower()
    return read_texts(language if language in languages() else ENGLISH)


@cache
def read_texts(language: str) -> Texts:
    """The texts in a language."""
    read: dict[str, Any] = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    letters = {
        name: LetterTexts(one["subject"], tuple(one["paragraphs"]), one.get("button", ""))
        for name, one in read["letters"].items()
    }
    return Texts(
        language=language,
        direction=read["direction"],
        common=read["common"],
        details=read["details"],
        roles=read["roles"],
        changes=read["changes"],
        letters=letters,
    )
