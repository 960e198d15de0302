"""Rows of jobs, and of the queue."""

from . import LATER, Maker, known_id, serial

ROWS: dict[str, Maker] = {
    "public.dead_jobs": lambda user, key: {
        "id": key,
        "entrypoint": "run_generation",
        "payload": f"\\x{key.hex}",
        "generation_id": known_id(user, "public.generations"),
        "attempts": 3,
        "error": "ProviderFailed",
    },
    "public.scheduled_runs": lambda user, key: {
        "name": key,
        "times": "* * * * *",
        "next_run_at": LATER,
    },
    "queue.pgqueuer": lambda user, key: {
        "priority": 0,
        "status": "queued",
        "entrypoint": "test",
        "dedupe_key": key,
    },
    "queue.pgqueuer_log": lambda user, key: {
        "job_id": serial(key),
        "status": "queued",
        "priority": 0,
        "entrypoint": "test",
    },
    "queue.pgqueuer_schedules": lambda user, key: {"expression": key, "entrypoint": "test"},
    "queue.pgqueuer_statistics": lambda user, key: {
        "count": 1,
        "priority": serial(key),
        "status": "successful",
        "entrypoint": "test",
    },
}
