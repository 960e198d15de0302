"""Rows of organizations' audit logs."""

from __future__ import annotations

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.organization_audit_log": lambda user, key: {
        "organization_id": known_id(user, "public.organizations"),
        "user_id": user,
        "actor": f"{user}@example.test",
        "action": "rename",
        "subject": f"user_{user}",
    },
}
