"""Rows of partners: each user has a partner, was asked by one and has blocked one."""

from __future__ import annotations

from uuid import UUID

from . import ADMIN, FIRST, LATER, Maker, Row, known_id


def _other(user: UUID) -> UUID:
    """Somebody else that every test has."""
    return ADMIN.user_id if user != ADMIN.user_id else FIRST.user_id


def _compared(user: UUID) -> Row:
    return {"user_id": user, "partner_id": _other(user)}


def _of_compatibility(user: UUID, key: UUID) -> Row:
    return _compared(user) | {"id": key, "connection_id": known_id(user, "public.partners")}


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
    "public.compatibilities": lambda user, key: (
        _compared(user)
        | {
            "connection_id": known_id(user, "public.partners")
            if key == known_id(user, "public.compatibilities")
            else key,
            "own_profile_id": known_id(user, "public.survey_profiles"),
            "partner_profile_id": known_id(user, "public.survey_profiles"),
            "score": 70,
            "word": "HIGH",
        }
    ),
    "public.compatibility_parts": lambda user, key: (
        _of_compatibility(user, key)
        | {"kind": "TOTAL", "name": "POWER", "score": 50, "points": 7.5, "sort_order": 0}
    ),
    "public.compatibility_items": lambda user, key: (
        _of_compatibility(user, key) | {"kind": "MUTUAL", "item_id": "B1a"}
    ),
    "public.compatibility_conflicts": lambda user, key: (
        _of_compatibility(user, key) | {"limit_key": "impact", "is_own": True, "item_ids": "{}"}
    ),
    "public.sharing_choices": lambda user, key: {
        "id": key,
        "user_id": user,
        "partner_id": _other(user),
        "level": "DEMOGRAPHICS",
    },
    "public.partner_blocks": lambda user, key: {
        "id": key,
        "user_id": user,
        "blocked_id": _other(user),
    },
}
CHANGES = {"partner_requests": "status = 'DECLINED'", "partners": "sharing = 'ALL'"}
