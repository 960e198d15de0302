"""Discord's API for servers and their members, as its documents describe it, as a bot sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

TOKEN = "a bot's token"
ADMINISTRATOR = 0x8


@dataclass
class FakeDiscord:
    """Its address, and the servers that its bot is in."""

    url: str
    stub: Stub
    is_down: bool = False

    def guild(
        self, guild_id: str, owner_id: str, members: Mapping[str, int], everybody: int = 0
    ) -> None:
        """Makes a server; `members` are its members' permissions, by a role that each has alone."""
        roles = [{"id": guild_id, "permissions": str(everybody)}]
        roles += [
            {"id": f"{member}9", "permissions": str(bits)} for member, bits in members.items()
        ]
        found = {"id": guild_id, "name": "A server", "owner_id": owner_id, "roles": roles}
        self._answer(f"/guilds/{guild_id}", found)
        for member in {owner_id, *members}:
            own = {"user": {"id": member}, "roles": [f"{member}9"] if member in members else []}
            self._answer(f"/guilds/{guild_id}/members/{member}", own)

    def _answer(self, path: str, body: Any) -> None:
        def answer(asked: StubRequest) -> StubAnswer:
            if self.is_down:
                return 502, b"<html>"
            if asked.headers.get("authorization") != f"Bot {TOKEN}":
                return 401, {"message": "401: Unauthorized", "code": 0}
            return 200, body

        self.stub.answers[path] = answer


@contextmanager
def fake_discord() -> Iterator[FakeDiscord]:
    """The API for a block; what is not made is not there."""
    with stub_server() as stub:
        yield FakeDiscord(stub.url, stub)
