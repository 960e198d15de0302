"""Rows of partners: each user has a partner, was asked by one and has blocked one."""

from __future__ import annotations

from uuid import UUID

from . import ADMIN, FIRST, LATER, Maker


def _other(user: UUID) -> UUID:
    """Somebody else that every test has."""
    return ADMIN.user_id if user != ADMIN.user_id else FIRST.user_id


ROWS: dict[str, Maker] = {
    "public.partner_requests": lambda user, key: {
        "id": key,
        "requester_id": user,
        "email": f"{key}@example.test",
        "email_key": f"{key}@example.test",
        "expires_at": LATER,
    },
    "public.partners": lambda user, key: {
        "id": key,
        "user_id": user,
        "partner_id": _other(user),
    },
    "public.partner_blocks": lambda user, key: {
        "id": key,
        "user_id": user,
        "blocked_id": _other(user),
    },
}
CHANGES = {"partner_requests": "status = 'DECLINED'", "partners": "sharing = 'ALL'"}
