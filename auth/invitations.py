"""Tokens of invitations."""

from __future__ import annotations

from functools import cache

from auth.signed_ids import SignedIds
from settings import get_settings


@cache
def invitation_tokens() -> SignedIds:
    """Those of this deployment."""
    return SignedIds(get_settings(), "organization-invitation")
