"""Rows of campaigns: each user's organization has one, of a list with one contact."""

from __future__ import annotations

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.contact_lists": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "size_bytes": int(key) % 1_000 + 1,
    },
    "public.campaigns": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "workflow_id": known_id(user, "public.workflows"),
        "contact_list_id": known_id(user, "public.contact_lists"),
        "name": f"Campaign of {user}",
    },
    "public.campaign_progress": lambda user, _: {
        "campaign_id": known_id(user, "public.campaigns"),
    },
    "public.campaign_contacts": lambda user, key: {
        "id": key,
        "campaign_id": known_id(user, "public.campaigns"),
        "organization_id": known_id(user, "public.organizations"),
        "row_number": int(key) % 1_000_000 + 1,
        "phone_number": f"+49{int(key) % 1_000_000_000:09}",
    },
    "public.refused_rows": lambda user, key: {
        "id": key,
        "campaign_id": known_id(user, "public.campaigns"),
        "organization_id": known_id(user, "public.organizations"),
        "row_number": int(key) % 1_000_000 + 1,
        "message": "Nobody has this number.",
    },
}
CHANGES = {"campaigns": "call_count = call_count + 1"}
