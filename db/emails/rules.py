"""Which e-mails there are, what each needs, and how long it is of use: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

# A code is asked for anew when it did not come; what happened to an account stays worth knowing.
# RFC 5321, 4.5.4.1: a sender gives up after four to five days.
_CODE_IS_OF_USE = timedelta(hours=1)
_NEWS_IS_OF_USE = timedelta(days=4)

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 900.0


@dataclass(frozen=True)
class EmailTemplate:
    """What a template is filled with, and until when its mail is worth sending.

    Values are texts, numbers, ids and times (ISO 8601); none is a secret, since they are stored.
    """

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    is_of_use: timedelta = _NEWS_IS_OF_USE


def _code(is_of_use: timedelta = _CODE_IS_OF_USE, *more: str) -> EmailTemplate:
    """A mail with a one-time code and its link, and from where it was asked for."""
    optional = frozenset({"valid_minutes", "device", "address", *more})
    return EmailTemplate(frozenset({"code_id"}), optional, is_of_use)


def _news(*required: str, optional: tuple[str, ...] = ()) -> EmailTemplate:
    """A mail that says what happened; `device` and `address` say from where."""
    return EmailTemplate(frozenset(required), frozenset({"device", "address", *optional}))


TEMPLATES: Mapping[str, EmailTemplate] = {
    "confirm_email": _code(),
    "reset_password": _code(),
    "sign_in_code": _code(),
    "confirm_email_change": _code(),
    "email_changed": _news(),
    "email_changed_undo": _code(_NEWS_IS_OF_USE),
    "password_changed": _news(),
    "password_was_reset": _news(optional=("passkeys",)),
    "email_in_use": _news(),
    "email_wanted": _news(),
    "organization_invitation": _news(
        "invitation_id", "organization", "role", optional=("inviter", "expires_at")
    ),
    "partner_request": _news("requester", optional=("expires_at",)),
    "new_sign_in": _news(),
    "second_factor_changed": _news(optional=("change",)),
    "factor_added_undo": _code(_NEWS_IS_OF_USE, "change"),
    "account_deletion_scheduled": _news("delete_at"),
    "account_deletion_cancelled": _news(),
    "account_deleted": _news(),
    "export_ready": _news(optional=("expires_at",)),
    "identity_linked": _news("provider"),
    "api_key_created": _news("name"),
    "subscription_payment_failed": _news("plan", "expires_at", optional=("name",)),
    "subscription_ended": _news("plan", optional=("name",)),
    "alert_firing": _news("alert", "measured", "threshold"),
    "alert_over": _news("alert", "threshold", optional=("measured",)),
}


def check_parameters(template: str, parameters: Mapping[str, object]) -> None:
    """Raises ValueError for a template that is none, or parameters that are not its own."""
    known = TEMPLATES.get(template)
    if known is None:
        raise ValueError(f"there is no template {template}")
    if missing := known.required - parameters.keys():
        raise ValueError(f"{template} lacks {', '.join(sorted(missing))}")
    if unknown := parameters.keys() - known.required - known.optional:
        raise ValueError(f"{template} has no {', '.join(sorted(unknown))}")


def is_of_use(template: str, parameters: Mapping[str, object], age: timedelta) -> bool:
    """Whether a mail of some age still says something that its reader needs.

    A code that is over is not mailed. What is no template is for the one that writes it to refuse.
    """
    known = TEMPLATES.get(template)
    if known is None:
        return True
    minutes = parameters.get("valid_minutes")
    lasts = timedelta(minutes=minutes) if isinstance(minutes, int) else known.is_of_use
    return age < min(lasts, known.is_of_use)


def retry_seconds(attempt: int) -> float:
    """How long a mail waits after its first, second, … attempt that no server took."""
    return float(min(FIRST_RETRY_SECONDS * 3 ** min(attempt - 1, 9), LONGEST_RETRY_SECONDS))
