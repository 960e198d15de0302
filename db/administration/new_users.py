"""What an admin or the operator opens an account with, checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from db.accounts import emails, rules
from db.accounts.user_rules import cleaned, problems_of_user
from db.core.errors import Problems


@dataclass(frozen=True, slots=True)
class NewUser:
    """Who is given an account. The password is normalised; without one, a code opens it."""

    email: str
    is_confirmed: bool
    password: str | None = None
    display_name: str | None = None
    locale: str | None = None

    def with_hash(self, password_hash: str | None) -> dict[str, Any]:
        """What `app.add_user()` takes."""
        return {
            "email": self.email,
            "email_key": emails.email_key(self.email),
            "is_confirmed": self.is_confirmed,
            "display_name": self.display_name,
            "locale": self.locale,
            "password_hash": password_hash,
        }


def check_new_user(
    email: str,
    password: str | None,
    *,
    is_confirmed: bool,
    display_name: str | None = None,
    locale: str | None = None,
    blocked_words: Iterable[str] = (),
) -> NewUser:
    """Raises all that is wrong with an account that is to be opened."""
    problems = Problems()
    address = problems.of(emails.check_new_email, email)
    said = cleaned({"display_name": display_name, "locale": locale})
    problems.add(problems_of_user(said))
    if password is not None:
        password = rules.normalise_password(password)
        problems.of(rules.check_new_password, password, "password", (address, *blocked_words))
    problems.refuse()
    return NewUser(address or "", is_confirmed, password, said["display_name"], said["locale"])
