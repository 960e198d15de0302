"""Rows of runs: each user's organization makes one call, which the simulator knows."""

from __future__ import annotations

from . import Maker, known_id

ROWS: dict[str, Maker] = {
    "public.workflow_runs": lambda user, key: {
        "id": key,
        "organization_id": known_id(user, "public.organizations"),
        "workflow_id": known_id(user, "public.workflows"),
        "version_id": known_id(user, "public.workflow_versions"),
        "phone_number": "+4930901820",
    },
    "public.call_lines": lambda user, key: {
        "organization_id": known_id(user, "public.organizations"),
        "at_once": int(key) % 100 + 1,
    },
    "public.simulated_calls": lambda user, key: {
        "run_id": known_id(user, "public.workflow_runs"),
        "dials": int(key) % 100 + 1,
        "plan": "{}",
    },
}
CHANGES = {"workflow_runs": "status = 'DIALLING'"}
