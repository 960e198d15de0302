"""What users may use, as a statement reads it."""

from __future__ import annotations

from typing import Any

from db.core.commands import SqlFunction

ENTITLEMENTS = SqlFunction[Any](
    "app.entitlements_of",
    "table(name text, is_active boolean, expires_at timestamp with time zone, will_renew boolean,"
    " has_billing_issue boolean, store text, product text)",
    owner_id="uuid",
)
