"""What a person would call the device behind a User-Agent header.

Small rules: they name what people sign in with, and say nothing rather than something wrong.
"""

from __future__ import annotations

import re

# The first that matches: what is built on another browser names that one, too, and stands above.
_BROWSERS = (
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/")),
    ("Opera", re.compile(r"\b(?:OPR|Opera)/")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|Chromium|HeadlessChrome)/")),
    ("Safari", re.compile(r"\bVersion/[\d.]+ .*\bSafari/")),
)
_SYSTEMS = (
    ("iPhone", re.compile(r"\biPhone\b")),
    ("iPad", re.compile(r"\biPad\b")),
    ("Android", re.compile(r"\bAndroid\b|\bokhttp\b", re.IGNORECASE)),
    ("Chromebook", re.compile(r"\bCrOS\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("Mac", re.compile(r"\bMacintosh\b|\bmacOS\b|\bDarwin\b")),
    ("Linux", re.compile(r"\bLinux\b|\bX11\b")),
)
# The product that stands first (RFC 9110, 10.1.5): an app's own name, or a library's.
_PRODUCT = re.compile(r"([A-Za-z][\w.+ -]{0,39}?)/\d")
_NO_NAMES = frozenset({"mozilla", "okhttp", "cfnetwork", "dalvik"})


def device_name(user_agent: str | None) -> str | None:
    """A name such as `Firefox on Linux`, `Aura on iPhone` or `curl`; nothing where none is told."""
    if user_agent is None:
        return None
    program = _first(_BROWSERS, user_agent) or _product(user_agent)
    system = _first(_SYSTEMS, user_agent)
    if program and system:
        return f"{program} on {system}"
    return program or system


def _first(names: tuple[tuple[str, re.Pattern[str]], ...], user_agent: str) -> str | None:
    return next((name for name, pattern in names if pattern.search(user_agent)), None)


def _product(user_agent: str) -> str | None:
    found = _PRODUCT.match(user_agent)
    return found[1] if found and found[1].lower() not in _NO_NAMES else None
