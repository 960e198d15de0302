"""The actor: on whose behalf a statement runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal
from uuid import UUID

Role = Literal["anon", "authenticated", "service"]
KeyHolder = Literal["user", "organization", "bot"]


class Scope(StrEnum):
    """What an API key may be used for."""

    READ = "READ"
    WRITE = "WRITE"
    BOT = "BOT"


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What an API key lets its bearer do; `secret_id` names the secret that was sent.

    A key of an organization does what is open to those, a bot's what is open to bots, and a user's
    what is open to users'.
    """

    key_id: UUID
    secret_id: UUID
    scopes: frozenset[Scope]
    requests_per_minute: int
    is_of_organization: bool = False

    @property
    def holder(self) -> KeyHolder:
        """Whose key it is."""
        if Scope.BOT in self.scopes:
            return "bot"
        return "organization" if self.is_of_organization else "user"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking. `role` is also the name of the Postgres LOGIN role that asks for them.

    `expires_at` is when the token or API key stops working, in Unix seconds; 0 means never (no
    token, a key without an end, or a job). `assurance_level` says with how many factors they signed
    in (`db/accounts/assurance.py`), and `authenticated_at` when they last did, in Unix seconds; 0
    means that nobody knows. Who came with an API key has its `grant` and no session. Who came with
    a token of another issuer is `is_foreign` (`auth/foreign_tokens.py`).

    `user_claim` is what a statement sets as `app.user_id`: the user's id, empty for nobody. With an
    API key or a foreign token it stands in braces, which Postgres reads as the same UUID and
    `app.is_admin()` as nobody's who is an admin: neither does or sees what is for admins.
    """

    role: Role
    user_id: UUID | None = None
    session_id: UUID | None = None
    is_anonymous: bool = False
    is_admin: bool = False
    expires_at: int = 0
    assurance_level: int = 1
    authenticated_at: int = 0
    grant: KeyGrant | None = None
    is_foreign: bool = False
    user_text: str = field(init=False, repr=False, compare=False)
    user_claim: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Writes the user's id as text, and the claim, once."""
        text = str(self.user_id) if self.user_id else ""
        object.__setattr__(self, "user_text", text)
        is_lesser = self.grant is not None or self.is_foreign
        object.__setattr__(self, "user_claim", f"{{{text}}}" if is_lesser else text)

    @property
    def revocable_id(self) -> UUID | None:
        """What is revoked when this actor's right to ask ends: the session, or the key's secret."""
        return self.grant.secret_id if self.grant else self.session_id


NOBODY = Actor("anon")
SERVICE = Actor("service")
