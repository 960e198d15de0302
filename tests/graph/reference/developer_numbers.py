"""What a developer may have and has, as the reference makes it: from their tier and their rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from db.core.base import Base
from db.credits.tables import Wallet
from db.developers.tables import UNLIMITED, DeveloperKey, DeveloperTier, ObfuscationUse
from db.whitelists.tables import DeveloperProduct, WhitelistEntry

from .rows import Reader, Row

# The types whose objects are a developer's numbers.
DEVELOPER_NUMBERS = {"DeveloperLimits", "DeveloperUsage", "Obfuscation"}
LIMITS = {
    "requestsPerMinute": "requests_per_minute",
    "whitelistEntries": "whitelist_entries",
    "obfuscations": "obfuscations",
}


async def tier_of(reader: Reader, user: Row) -> dict[str, Any]:
    """The tier of a user; nothing where there are none."""
    rows = await reader.rows(DeveloperTier, "DeveloperTier")
    plan = user.values["plan_id"]
    found = sorted(rows, key=lambda row: (row.values["id"] != plan, row.values["sort_order"]))
    return dict(found[0].values) if found else {}


async def developer_number(reader: Reader, user: Row, type_name: str, name: str) -> Any:
    """A field of a developer's limits, use or obfuscations."""
    tier = await tier_of(reader, user)
    if type_name == "DeveloperLimits":
        return tier.get(LIMITS[name], 0)
    now = datetime.now(UTC)
    began = now.replace(hour=0, minute=0, second=0, microsecond=0)
    length = timedelta(days=1)
    if tier.get("obfuscation_period") == "WEEK":
        began -= timedelta(days=(began.weekday() + 1) % 7)
        length = timedelta(days=7)
    if name == "periodStartsAt":
        return began
    if name == "resetsAt":
        return began + length

    async def of_user(model: type[Base]) -> list[dict[str, Any]]:
        rows = await reader.rows(
            model, model.__name__, "user_id", user.values["id"], as_admin=user.as_admin
        )
        return [dict(row.values) for row in rows]

    if name == "credits":
        return sum(one["balance"] - one["held"] for one in await of_user(Wallet))
    if name == "products":
        return len(await of_user(DeveloperProduct))
    if name == "keys":
        return sum(one["revoked_at"] is None for one in await of_user(DeveloperKey))
    if name == "whitelistEntries":
        return sum(one["expires_at"] > now for one in await of_user(WhitelistEntry))
    uses = [one for one in await of_user(ObfuscationUse) if one["created_at"] >= began]
    if name == "obfuscations":
        return len(uses)
    used = sum(one["source"] == "ALLOWANCE" for one in uses)
    if name == "used":
        return used
    limit = tier.get("obfuscations", 0)
    return UNLIMITED if limit == UNLIMITED else max(0, limit - used)
