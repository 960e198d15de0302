"""Payhip and Roblox as their documents describe them, behind one address, for a bot that asks both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .http_stub import Stub, StubAnswer, StubRequest, stub_server

SECRET, CLOUD_KEY, GROUP = "prod_sk_secret", "cloud-key", "4400"
_GROUP_PATH = f"/cloud/v2/groups/{GROUP}"


@dataclass
class FakeShops:
    """Keys with how often each was used, people by number, and who is in the group or asks to be.

    The next `failures` requests are answered 503, and 429 in turn.
    """

    url: str
    stub: Stub
    keys: dict[str, int] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    asking: set[str] = field(default_factory=set)
    failures: int = 0

    def meet(self, number: str, name: str) -> None:
        """Somebody who asks to join."""
        self.people[number] = name
        self.asking.add(number)
        self.stub.answers[f"/v1/users/{number}"] = self._answering(self._person)
        accept = f"{_GROUP_PATH}/join-requests/{number}:accept"
        self.stub.answers[accept] = self._answering(self._accept)

    def count(self, end: str) -> int:
        """How often an address with this end was asked."""
        return sum(one.path.endswith(end) for one in self.stub.asked)

    def open(self) -> None:
        """Answers what is not about one person."""
        for path, answer in {
            "/api/v2/license/verify": self._verify,
            "/api/v2/license/disable": self._disable,
            "/v1/usernames/users": self._named,
            f"{_GROUP_PATH}/memberships": self._memberships,
            f"{_GROUP_PATH}/join-requests": self._join_requests,
        }.items():
            self.stub.answers[path] = self._answering(answer)

    def _answering(self, make: Any) -> Any:
        def answer(asked: StubRequest) -> StubAnswer:
            if self.failures:
                self.failures -= 1
                return (503, 429)[self.failures % 2], {}
            found: StubAnswer = make(asked)
            return found

        return answer

    def _verify(self, asked: StubRequest) -> StubAnswer:
        if asked.headers.get("product-secret-key") != SECRET:
            return 401, {"error": "unauthorized"}
        key = asked.given["license_key"]
        if key not in self.keys:
            return 200, b""
        return 200, {
            "data": {
                "enabled": key not in self.disabled,
                "license_key": key,
                "buyer_email": "buyer@example.com",
                "uses": self.keys[key],
            }
        }

    def _disable(self, asked: StubRequest) -> StubAnswer:
        assert (asked.method, asked.headers["product-secret-key"]) == ("PUT", SECRET)
        self.disabled.append(asked.given["license_key"])
        return 200, {"data": {"enabled": False}}

    def _person(self, asked: StubRequest) -> StubAnswer:
        number = asked.path.rpartition("/")[2]
        return 200, {"id": int(number), "name": self.people[number]}

    def _named(self, asked: StubRequest) -> StubAnswer:
        found = [
            {"id": int(number), "name": name, "requestedUsername": name}
            for number, name in self.people.items()
            if f'"{name.lower()}"' in asked.body.lower()
        ]
        return 200, {"data": found}

    def _memberships(self, asked: StubRequest) -> StubAnswer:
        return self._listed(asked, self.members, "groupMemberships")

    def _join_requests(self, asked: StubRequest) -> StubAnswer:
        return self._listed(asked, self.asking, "groupJoinRequests")

    @staticmethod
    def _listed(asked: StubRequest, people: set[str], name: str) -> StubAnswer:
        if asked.headers.get("x-api-key") != CLOUD_KEY:
            return 403, {"code": "PERMISSION_DENIED"}
        number = asked.given["filter"].removeprefix("user == 'users/").removesuffix("'")
        found = [{"path": f"groups/{GROUP}/x/{number}", "user": f"users/{number}"}]
        return 200, {name: found if number in people else []}

    def _accept(self, asked: StubRequest) -> StubAnswer:
        number = asked.path.rpartition("/")[2].removesuffix(":accept")
        if number not in self.asking:
            return 404, {"code": "NOT_FOUND"}
        self.asking.remove(number)
        self.members.add(number)
        return 200, {}


@contextmanager
def fake_shops() -> Iterator[FakeShops]:
    """Both for a block."""
    with stub_server() as stub:
        shops = FakeShops(stub.url, stub)
        shops.open()
        yield shops
