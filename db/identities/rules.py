"""What becomes of an external identity, and where a browser may be sent back to: no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl

from db.accounts.emails import check_new_email, email_key
from db.core.errors import DomainError, ErrorCode, bad_input
from db.core.texts import is_visible_line
from settings import DEMO_ORIGINS

MOST_IDENTITIES = 20
REDIRECT_MAX_CHARACTERS = 2048
NAME_MAX_CHARACTERS = 100
SUBJECT_MAX_CHARACTERS = 255
NONCE_MAX_CHARACTERS = 255

# What a browser reads as it is written: no blanks, no control characters, no backslash, which some
# take for a slash, and no fragment, which would swallow what is appended.
_PLAIN_URL = re.compile(r"[!$-;=?-\[\]_a-z~]+", re.ASCII)
_DEMO_REDIRECT = re.compile(DEMO_ORIGINS + r"(?:[/?].*)?")
# RFC 7636, 4.1 and 4.2: the SHA-256 of a verifier.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
# What is appended to the address that a browser is sent back to.
APPENDED = frozenset({"code", "error", "error_description"})


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """What a provider says of a person; `email` counts only when the provider has verified it."""

    provider: str
    subject: str
    email: str | None = None
    is_email_verified: bool = False
    name: str | None = None

    @property
    def verified_email(self) -> str | None:
        """The address, where it proves who somebody is."""
        return self.email if self.is_email_verified else None


def external_identity(
    provider: str, subject: object, email: object, *, is_email_verified: bool, name: object = None
) -> ExternalIdentity | None:
    """What a provider said, cleaned; None without a usable subject.

    An address that nobody may sign up with is kept as one that proves nothing.
    """
    if not isinstance(subject, str) or not _is_text(subject, SUBJECT_MAX_CHARACTERS):
        return None
    address, is_verified = _address(email, is_email_verified=is_email_verified)
    return ExternalIdentity(provider, subject, address, is_verified, clean_name(name))


def _address(email: object, *, is_email_verified: bool) -> tuple[str | None, bool]:
    if not isinstance(email, str):
        return None, False
    try:
        return check_new_email(email), is_email_verified
    except DomainError:
        return None, False


def clean_name(name: object) -> str | None:
    """A person's name as a provider gives it: one line that can be seen, and short."""
    if not isinstance(name, str):
        return None
    composed = unicodedata.normalize("NFC", name)
    printable = "".join(one if one.isprintable() else " " for one in composed)
    line = " ".join(printable.split())[:NAME_MAX_CHARACTERS].strip()
    return line if is_visible_line(line) else None


def _is_text(value: str, longest: int) -> bool:
    return 0 < len(value) <= longest and value.isprintable()


class Arrival(Enum):
    """What becomes of somebody who comes with an identity that no account has yet."""

    OPEN = "open an account, or make the guest who asks a member"
    LINK = "sign in to the account with the same address, whose owner has confirmed it"
    CLAIM = "the same, after ending every way in that somebody made without confirming the address"


def decide_arrival(*, has_account: bool, is_confirmed: bool) -> Arrival:
    """The linking rule, for an address that the provider has verified.

    Whoever opened an account with an address that nobody confirmed may be a stranger who waits for
    its owner (pre-hijacking): the address's owner gets the account, and the stranger is out.
    """
    if not has_account:
        return Arrival.OPEN
    return Arrival.LINK if is_confirmed else Arrival.CLAIM


def email_follows(
    external: ExternalIdentity, *, known_email: str | None, account_email_key: str | None
) -> bool:
    """Whether the account's address becomes the provider's: it was its last one, and has changed.

    An account without an address takes the first that is verified.
    """
    wanted = external.verified_email
    if wanted is None or email_key(wanted) == account_email_key:
        return False
    if account_email_key is None:
        return True
    return known_email is not None and email_key(known_email) == account_email_key


def is_allowed_redirect(url: str, origins: Sequence[str], *, lets_demo_in: bool) -> bool:
    """Whether a browser may be sent to an address: its origin is one of `origins`, to the letter.

    Comparing text, not parsed parts, leaves nothing to be read in two ways (RFC 9700, 4.1).
    """
    if len(url) > REDIRECT_MAX_CHARACTERS or not _PLAIN_URL.fullmatch(url):
        return False
    if not APPENDED.isdisjoint(dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))):
        return False
    if any(url == origin or url.startswith((f"{origin}/", f"{origin}?")) for origin in origins):
        return True
    return lets_demo_in and _DEMO_REDIRECT.fullmatch(url) is not None


def redirect_refused() -> DomainError:
    """The refusal of an address that browsers are not sent to."""
    return DomainError(
        ErrorCode.REDIRECT_NOT_ALLOWED,
        "`redirect_to` leads to an origin that is not in REDIRECT_ORIGINS.",
        ("redirect_to",),
    )


def check_challenge(challenge: str | None, method: str | None) -> None:
    """Raise BAD_USER_INPUT when this is no challenge of PKCE's S256."""
    if challenge is None and method is None:
        return
    if challenge is None or not _CHALLENGE.fullmatch(challenge) or method not in {None, "S256"}:
        raise bad_input(
            "`code_challenge` is the SHA-256 of the verifier in base64url, and "
            "`code_challenge_method` is S256.",
            "code_challenge",
        )


def challenge_of(verifier: str) -> str:
    """The challenge that a verifier answers (RFC 7636, S256)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def answers_challenge(challenge: str | None, verifier: str | None) -> bool:
    """Whether whoever exchanges a code is who began; a verifier without a challenge is none.

    The last is what stops a code from elsewhere in an app that always begins with a challenge
    (RFC 9700, 4.8.2, PKCE downgrade).
    """
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    if not _VERIFIER.fullmatch(verifier):
        return False
    return hmac.compare_digest(challenge_of(verifier), challenge)


def is_nonce_of(claimed: object, given: str) -> bool:
    """Whether an ID token was made for who gives this nonce: it holds it, or its SHA-256 in hex.

    Apps on Apple's and Google's phones send the hash along and keep the nonce to themselves.
    """
    if not isinstance(claimed, str) or not _is_text(given, NONCE_MAX_CHARACTERS):
        return False
    hashed = hashlib.sha256(given.encode()).hexdigest()
    expected = claimed.encode("utf-8", "replace")
    return hmac.compare_digest(expected, given.encode()) or hmac.compare_digest(
        expected, hashed.encode()
    )
