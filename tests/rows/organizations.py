"""Rows of organizations: each user owns one, and has invited somebody."""

from . import LATER, Maker, known_id

ROWS: dict[str, Maker] = {
    "public.organizations": lambda user, key: {"id": key, "name": f"Organization of {user}"},
    "public.organization_members": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "user_id": user,
        "role": "OWNER",
    },
    "public.organization_invitations": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "email": f"{key}@example.test",
        "email_key": f"{key}@example.test",
        "role": "MEMBER",
        "expires_at": LATER,
    },
}
CHANGES = {"organizations": "name = 'Another'"}
