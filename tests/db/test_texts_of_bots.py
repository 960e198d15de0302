"""What a bot sends to be read by others shows all that is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from db.core.errors import DomainError, Problems
from db.discord.rules import problems_of_message
from db.whitelists.sync import WhitelistChange, sync_whitelist

UNSEEN = ["a\x00b", "a\x1b[31m", "a\u202eb", "a\u2066b", "a\x85b"]
SEEN = ["Leaked it.\nTwice.\tIndeed.", "👩‍🚀 à bientôt"]


@pytest.mark.parametrize("text", UNSEEN)
def test_6_4_what_cannot_be_seen_is_refused_with_its_path(text: str) -> None:
    (problem,) = problems_of_message(text, ("input", "products", "0"))
    assert problem.path == ("input", "products", "0", "redemptionMessage")
    with pytest.raises(DomainError) as refused:
        synced(text)
    assert refused.value.path == ("input", "changes", "0", "banReason")


@pytest.mark.parametrize("text", SEEN)
def test_6_4_lines_and_joined_signs_are_taken(text: str) -> None:
    assert list(problems_of_message(text, ("input",))) == []
    synced(text)


def synced(reason: str) -> Any:
    """A sync of one change with this reason."""
    change = WhitelistChange(
        external_id="1",
        changed_at=datetime.now(UTC),
        status="BANNED",
        username=None,
        discord_id=None,
        roblox_id=None,
        licence_key=None,
        expires_at=None,
        ban_reason=reason,
        details=None,
    )
    keys: Any = None
    return sync_whitelist(Problems(), keys, uuid4(), "bot", None, [change])
