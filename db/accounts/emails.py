"""E-mail addresses: which can be signed up with, and the key by which equal ones are found."""

from __future__ import annotations

import re
import unicodedata

import idna

from db.core.errors import DomainError, bad_input

# RFC 5321: 64 before the @, and a path of 256 with its two angle brackets.
EMAIL_MAX_BYTES = 254
EMAIL_LOCAL_MAX_BYTES = 64

# Default-ignorable code points and blanks that Python counts among the printable ones.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
# RFC 5322, the characters of an unquoted local part but its dots.
_ASCII_PUNCTUATION = re.compile(r"[!#$%&'*+/=?^_`{|}~.-]")
_NOT_IN_LOCAL = re.compile(r'[\x00-\x20"(),:;<>@\[\\\]\x7f]')
# Writing systems whose letters stand together in ordinary names (UTS 39, "highly restrictive").
_MIXED_SCRIPTS = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
# Letters of other alphabets that a reader takes for Latin ones.
_LATIN_LOOKALIKES = frozenset("асԁеһіјӏոорԛѕѵԝхуᴠᴡοναρτυικγω")
_NO_ADDRESS = "This is not an e-mail address; write one like name@example.com."
_LOOKALIKE = "The e-mail address has letters that look like others; type it in one alphabet."


def clean_email(email: str) -> str:
    """The address as it is kept and shown: composed, without the blanks that a keyboard adds."""
    return unicodedata.normalize("NFC", email.strip())


def email_key(email: str) -> str:
    """What two spellings of one address have in common; whoever looks for an account uses this.

    The domain is written as DNS has it (IDNA, UTS 46), the local part without case. It has an
    answer for every text, since addresses that were taken in by older rules must be found, too.
    """
    local, at, domain = clean_email(email).rpartition("@")
    return f"{_without_case(local)}{at}{_domain_key(domain)}"


def could_be_email(email: str) -> bool:
    """Whether there can be an account with this address at all."""
    cleaned = clean_email(email)
    is_text = not any("\ud800" <= c <= "\udfff" or c == "\0" for c in cleaned)
    return is_text and "@" in cleaned and len(cleaned.encode()) <= EMAIL_MAX_BYTES


def check_new_email(email: str) -> str:
    """The address to keep; raises BAD_USER_INPUT when nobody may sign up with it."""
    cleaned = clean_email(email)
    local, at, domain = cleaned.rpartition("@")
    if not at or not local or not domain or not could_be_email(cleaned):
        raise _refused(_NO_ADDRESS)
    if not cleaned.replace(" ", "").isprintable() or _UNSEEN.search(cleaned):
        raise _refused("The e-mail address has a character that cannot be seen; type it by hand.")
    _check_local(local)
    labels = _check_domain(domain).split(".")
    _check_letters(labels, labels[-1])
    _check_letters(_ASCII_PUNCTUATION.split(_without_case(local)), labels[-1])
    return cleaned


def _check_local(local: str) -> None:
    if _NOT_IN_LOCAL.search(local) or len(local.encode()) > EMAIL_LOCAL_MAX_BYTES:
        raise _refused(_NO_ADDRESS)
    if unicodedata.normalize("NFKC", local) != local:
        raise _refused(_LOOKALIKE)
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _refused("The part before the @ has a dot too many.")
    try:
        for piece in _ASCII_PUNCTUATION.split(_without_case(local)):
            if not piece.isascii():
                idna.check_label(piece)
    except UnicodeError:
        raise _refused("The part before the @ has characters that addresses do not have.") from None


def _check_domain(domain: str) -> str:
    """The domain in Unicode's letters; refused when DNS cannot have it."""
    try:
        name = idna.decode(idna.encode(domain, uts46=True, std3_rules=True))
    except UnicodeError:
        name = ""
    labels = name.split(".")
    if len(labels) < 2 or not all(labels) or labels[-1].isdigit():
        raise _refused(
            "The part after the @ is not a domain; look at its dots and hyphens, as in example.com."
        )
    return name


def _check_letters(labels: list[str], top_level_domain: str) -> None:
    """Refuses letters that pass for those of another alphabet (UTS 39)."""
    scripts = [{script for c in label if (script := _script(c))} for label in labels]
    others = {c for label in labels for c in label if _script(c) not in {"", "LATIN"}}
    # A word of another alphabet all of whose letters are also Latin ones to the eye.
    disguised = top_level_domain.isascii() and others and others <= _LATIN_LOOKALIKES
    if disguised or not all(len(found) < 2 or _may_mix(found) for found in scripts):
        raise _refused(_LOOKALIKE)


def _may_mix(scripts: set[str]) -> bool:
    return any(scripts <= allowed for allowed in _MIXED_SCRIPTS)


def _script(character: str) -> str:
    """The alphabet of a letter, as its name begins; empty for what belongs to several."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    script = unicodedata.name(character, "UNKNOWN").partition(" ")[0]
    return "" if script in {"MODIFIER", "IDEOGRAPHIC", "KATAKANA-HIRAGANA"} else script


def _without_case(text: str) -> str:
    """Unicode's canonical caseless form (definition D145), composed."""
    folded = text
    while True:
        decomposed = unicodedata.normalize("NFD", folded)
        again = unicodedata.normalize("NFC", decomposed.casefold())
        if again == folded:
            return folded
        folded = again


def _domain_key(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        return _without_case(domain)


def _refused(message: str) -> DomainError:
    return bad_input(message, "input", "email")
