"""Rows of workflows: each user's organization has one of one version."""

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.workflows": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "name": f"Workflow of {user}",
    },
    "public.workflow_versions": lambda user, key: {
        "id": key,
        "workflow_id": known_id(user, "public.workflows"),
        "organization_id": known_id(user, "public.organizations"),
        "number": int(key) % 1_000_000 + 1,
        "hash": f"{int(key):064x}",
        "definition": '{"edges": [], "nodes": []}',
        "is_current": False,
    },
}
