"""What a checkout may be asked for: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from db.core.errors import DomainError, ErrorCode

URL_MAX_CHARACTERS = 2_000
# Nothing that browsers read in another way than this does: no backslash, space or control
# character, no user before the host.
_WEB_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?([/?#][!-\[\]-~]*)?", re.ASCII)
_APP_URL = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://[!-\[\]-~]*", re.ASCII)


def problems_of_return(
    field: str, url: str | None, origins: Sequence[str], *, takes_any: bool
) -> Iterator[DomainError]:
    """What is wrong with an address that the buyer's browser is sent to after the checkout.

    Its origin is one of `origins`, to the letter (RFC 9700, 4.1); a demo takes any web page.
    """
    if url is None:
        return
    path = ("input", field)
    is_ours = any(
        url == one or url.startswith((f"{one}/", f"{one}?", f"{one}#")) for one in origins
    )
    if len(url) > URL_MAX_CHARACTERS or not (_WEB_URL.fullmatch(url) or _APP_URL.fullmatch(url)):
        yield DomainError(
            ErrorCode.BAD_USER_INPUT,
            f"{field} must be an address of at most {URL_MAX_CHARACTERS} characters, such as "
            "https://example.com/paid.",
            path,
        )
    elif not is_ours and not (takes_any and _WEB_URL.fullmatch(url)):
        yield DomainError(
            ErrorCode.REDIRECT_NOT_ALLOWED,
            f"{field} leads to an origin that is not in REDIRECT_ORIGINS.",
            path,
        )
