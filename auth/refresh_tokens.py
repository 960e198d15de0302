"""Refresh tokens: opaque, single-use, and each the parent of exactly one successor."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

PREFIX = "tgr_"
TOKEN_BYTES = 32

_SHAPE = re.compile(r"tgr_[A-Za-z0-9_-]{43}", re.ASCII)


def new_refresh_token() -> str:
    """The first token of a session."""
    return _write(secrets.token_bytes(TOKEN_BYTES))


def successor_of(token: str, key: bytes) -> str:
    """The token that replaces this one.

    It follows from the old token and a key only the server has, so that two refreshes at once, or
    a retry after a lost answer, are given the same successor although only hashes are stored.
    """
    return _write(hmac.digest(key, token.encode(), "sha256"))


def token_hash(token: str) -> bytes:
    """What is stored of a token; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def is_refresh_token(token: str) -> bool:
    """Whether this has the form of a refresh token."""
    return _SHAPE.fullmatch(token) is not None


def _write(value: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(value).rstrip(b"=").decode()
