"""Rows of leaving."""

from . import LATER, Maker

ROWS: dict[str, Maker] = {
    "public.account_deletions": lambda user, key: {"user_id": user, "deletes_at": LATER},
    "public.data_exports": lambda user, key: {"id": key, "user_id": user},
}
