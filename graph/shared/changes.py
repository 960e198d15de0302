"""What can happen to a row that clients watch, and how events of the log say it."""

from __future__ import annotations

from enum import Enum

import strawberry


class ChangeKind(Enum):
    """What has happened to a row; the value is what an event says of it."""

    ADDED = "INSERT"
    UPDATED = "UPDATE"
    DELETED = "DELETE"


strawberry.enum(
    ChangeKind,
    description="What has happened to what is watched. `ADDED` is also what came from another "
    "account, `DELETED` what the caller may see no more.",
)
