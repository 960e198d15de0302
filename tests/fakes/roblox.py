"""Roblox's API for groups, as its documents describe it, with the groups that a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .http_stub import Stub, StubAnswer, StubRequest, stub_server


@dataclass
class FakeRoblox:
    """Its address, and the descriptions of its groups by their numbers."""

    url: str
    stub: Stub
    descriptions: dict[int, str] = field(default_factory=dict)
    is_down: bool = False

    def describe(self, group_id: int, description: str) -> None:
        """Makes a group, or writes into its description."""
        self.descriptions[group_id] = description
        self.stub.answers[f"/v1/groups/{group_id}"] = self._answer

    def _answer(self, asked: StubRequest) -> StubAnswer:
        if self.is_down:
            return 503, {"errors": [{"code": 0, "message": "ServiceUnavailable"}]}
        group_id = int(asked.path.rpartition("/")[2])
        return 200, {
            "id": group_id,
            "name": f"Group {group_id}",
            "description": self.descriptions[group_id],
            "owner": {"userId": 1, "username": "builderman"},
            "memberCount": 1,
        }


@contextmanager
def fake_roblox() -> Iterator[FakeRoblox]:
    """The API for a block; what is not made is not there."""
    with stub_server() as stub:
        yield FakeRoblox(stub.url, stub)
