"""What somebody opens an account with, checked as a whole: all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from db.accounts import emails, rules
from db.accounts.user_rules import problems_of_locale, problems_of_username, written_locale
from db.core.errors import Problems


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An e-mail address and a password that may be signed up with; the password is normalised."""

    email: str
    password: str
    username: str | None = None
    locale: str | None = None


def check_new_account(
    email: str,
    password: str,
    username: str | None = None,
    locale: str | None = None,
    *,
    blocked_words: Iterable[str] = (),
) -> NewAccount:
    """Raises what is wrong with a sign-up, all of it."""
    problems = Problems()
    password = rules.normalise_password(password)
    address = problems.of(emails.check_new_email, email)
    if username is not None:
        username = username.strip()
        problems.add(problems_of_username(username))
    if locale is not None:
        locale = written_locale(locale)
        problems.add(problems_of_locale(locale))
    problems.of(rules.check_new_password, password, "password", (address, username, *blocked_words))
    problems.refuse()
    return NewAccount(address or "", password, username, locale)
