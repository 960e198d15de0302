"""Rows of imports."""

from . import Maker

ROWS: dict[str, Maker] = {
    "public.imported_users": lambda user, key: {
        "user_id": user,
        "source": "supabase",
        "metadata": "{}",
    },
}
