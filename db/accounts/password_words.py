"""Words that somebody who knows an account or the product guesses first; no I/O.

NIST SP 800-63B-4 (3.1.1.2) has the name of the service, the username and derivatives of them
refused as a whole password, and no password for a word somewhere in it. So a long one may contain
such words; one of which little is left without them may not be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# Shorter ones are in too many passwords by chance.
WORD_MIN_CHARACTERS = 4

_BETWEEN_WORDS = re.compile(r"[\W_]+")
# What is written for another letter.
_LOOKALIKES = str.maketrans("01!i3@4$57", "ollleaasst")


def is_made_of(password: str, names: Iterable[str], least_characters: int) -> bool:
    """Whether a password has words of names in it, and fewer characters than that without them."""
    whole = _plain(password)
    words = {_plain(word) for name in names for word in _words(name)}
    rest = whole
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "\0")
    return rest != whole and len(rest.replace("\0", "")) < least_characters


def _words(name: str) -> Iterator[str]:
    """A name, and the words in it; of an e-mail's host all labels but the last."""
    local_part, at, host = name.rpartition("@")
    parts = (local_part, host.rpartition(".")[0]) if at else (name,)
    found = (name, *parts, *(word for part in parts for word in _BETWEEN_WORDS.split(part)))
    return (word for word in found if len(word) >= WORD_MIN_CHARACTERS)


def _plain(text: str) -> str:
    return text.casefold().translate(_LOOKALIKES)
