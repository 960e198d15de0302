"""What of a user of Supabase Auth is taken, and why one is not: pure decisions, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from db.accounts.emails import clean_email, could_be_email, email_key
from db.accounts.user_rules import problems_of_locale, problems_of_username, written_locale
from db.core.errors import DomainError

# bcrypt's own lowest cost, and one whose work is a second: a row with a higher one would keep a
# thread busy for hours.
LOWEST_COST = 4
HIGHEST_COST = 14
# Of one user; what the metadata has beyond is left out.
METADATA_LIMIT_BYTES = 65_536
NAME_LIMIT_CHARACTERS = 100
SUBJECT_LIMIT_CHARACTERS = 255

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_DISPLAY_NAMES = ("display_name", "full_name", "name")
_USERNAMES = ("username", "user_name", "preferred_username")
_LOCALES = ("locale", "language", "lang")
_OF_NO_PROVIDER = frozenset({"email", "phone", ""})


@dataclass(frozen=True, slots=True)
class ImportedIdentity:
    """Who a user is at a sign-in provider."""

    provider: str
    subject: str
    email: str | None
    is_email_verified: bool
    name: str | None


@dataclass(frozen=True, slots=True)
class NewImport:
    """A user as they are to be here."""

    id: UUID
    email: str | None
    email_key: str | None
    is_anonymous: bool
    created_at: datetime
    email_confirmed_at: datetime | None
    password_hash: str | None
    is_locked: bool
    display_name: str | None
    username: str | None
    locale: str | None
    metadata: dict[str, Any]
    identities: Sequence[ImportedIdentity] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Refused:
    """A user who is not taken, and why."""

    id: str
    reason: str


def decide_import(
    row: Mapping[str, Any], identities: Sequence[Mapping[str, Any]], now: datetime
) -> NewImport | Refused:
    """What becomes of a row of `auth.users`, as Postgres or a CSV file has it."""
    try:
        user_id = UUID(str(row.get("id", "")))
    except ValueError:
        return Refused(str(row.get("id", ""))[:50], "the id is no UUID")
    if _given(row, "deleted_at"):
        return Refused(str(user_id), "deleted")
    if _is_true(row.get("is_sso_user")):
        return Refused(str(user_id), "signs in by SSO, which has no counterpart here")
    is_anonymous = _is_true(row.get("is_anonymous"))
    email = clean_email(str(row.get("email") or ""))
    if not email and not is_anonymous:
        reason = "has a phone number only" if _given(row, "phone") else "has no e-mail address"
        return Refused(str(user_id), reason)
    if email and not could_be_email(email):
        return Refused(str(user_id), "the e-mail address is none")
    password_hash = _given(row, "encrypted_password")
    if password_hash and cost_of(password_hash) is None:
        return Refused(
            str(user_id),
            f"the password's hash is not bcrypt of a cost from {LOWEST_COST} to {HIGHEST_COST}",
        )
    try:
        said = _json(row, "raw_user_meta_data")
        return NewImport(
            id=user_id,
            email=email or None,
            email_key=email_key(email) if email else None,
            is_anonymous=is_anonymous and not email,
            created_at=_time(row, "created_at") or now,
            email_confirmed_at=_time(row, "email_confirmed_at") or _time(row, "confirmed_at"),
            password_hash=password_hash,
            is_locked=(_time(row, "banned_until") or now) > now,
            display_name=_display_name(said),
            username=_lawful(said, _USERNAMES, problems_of_username),
            locale=_lawful(said, _LOCALES, problems_of_locale),
            metadata=_metadata(row),
            identities=tuple(_identities(identities)),
        )
    except ValueError as error:
        return Refused(str(user_id), str(error))


def cost_of(password_hash: str) -> int | None:
    """The cost of a bcrypt hash that may be verified; nothing for any other text."""
    found = _BCRYPT.fullmatch(password_hash)
    cost = int(found[1]) if found else 0
    return cost if LOWEST_COST <= cost <= HIGHEST_COST else None


def _is_true(value: object) -> bool:
    return (
        value is True or value in {"t", "true", "TRUE"} if isinstance(value, bool | str) else False
    )


def _given(row: Mapping[str, Any], name: str) -> str | None:
    """A text of the row; nothing for null, an empty one, and CSV's ways of writing null."""
    value = row.get(name)
    if value is None or value in {"", "NULL", "null", "\\N"}:
        return None
    return str(value)


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    text = _given(row, name)
    if text is None:
        return None
    if text == "infinity":
        return datetime.max.replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is no time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _json(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = row.get(name)
    if isinstance(value, str) and (text := _given(row, name)):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError(f"{name} is no JSON") from None
    return value if isinstance(value, dict) else {}


def _display_name(metadata: Mapping[str, Any]) -> str | None:
    """The first name there is, as one line of characters that can be seen."""
    for name in _DISPLAY_NAMES:
        value = metadata.get(name)
        if isinstance(value, str):
            line = "".join(c if c.isprintable() else " " for c in value).strip()
            if line:
                return line[:NAME_LIMIT_CHARACTERS].strip()
    return None


def _lawful(
    metadata: Mapping[str, Any],
    names: tuple[str, ...],
    problems: Callable[[str], Iterator[DomainError]],
) -> str | None:
    """The first value that may be had here."""
    for name in names:
        value = metadata.get(name)
        if isinstance(value, str):
            text = written_locale(value) if names is _LOCALES else value.strip()
            if not list(problems(text)):
                return text
    return None


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the service kept beside the account, unless it is too much or has a NUL."""
    known: dict[str, Any] = {
        name: value
        for name in ("raw_user_meta_data", "raw_app_meta_data")
        if (value := _json(row, name))
    }
    if phone := _given(row, "phone"):
        known["phone"] = phone
    try:
        text = orjson.dumps(known)
    except orjson.JSONEncodeError:
        raise ValueError("the metadata has a broken character") from None
    if len(text) > METADATA_LIMIT_BYTES or b"\\u0000" in text:
        return {}
    return known


def _identities(rows: Sequence[Mapping[str, Any]]) -> Iterator[ImportedIdentity]:
    for row in rows:
        provider = str(row.get("provider") or "").lower()
        data = _json(row, "identity_data")
        # Before `provider_id` there was, the id itself was the provider's.
        subject = _given(row, "provider_id") or data.get("sub") or _given(row, "id")
        if (
            provider in _OF_NO_PROVIDER
            or not subject
            or len(str(subject)) > SUBJECT_LIMIT_CHARACTERS
        ):
            continue
        name = _display_name(data)
        email = data.get("email") if isinstance(data.get("email"), str) else None
        verified = _is_true(data.get("email_verified"))
        yield ImportedIdentity(provider, str(subject), email, verified, name)
