"""Rows of uploads."""

from . import FORMAT, LATER, Maker

ROWS: dict[str, Maker] = {
    "public.upload_terms": lambda user, key: {
        "id": 1,
        "url_lasts": "15 minutes",
        "waiting": "1 hour",
        "waiting_limit": 200,
    },
    "public.uploads": lambda user, key: {
        "id": key,
        "user_id": user,
        "content_type": FORMAT,
        "declared_size_bytes": 10,
        "expires_at": LATER,
    },
}

CHANGES = {"uploads": "status = 'REJECTED', rejected_code = 'INVALID_IMAGE'"}
