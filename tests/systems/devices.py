"""Somebody's device, in the two ways that clients have: plain POSTs with event streams, or one socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from .client import Client, Socket


@dataclass
class Device:
    """A device of one user; `ask` gives the answer's data, `watch` the items of a subscription."""

    client: Client
    stack: AsyncExitStack

    async def ask(self, text: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError

    async def watch(self, text: str, variables: dict[str, Any] | None = None) -> Watched:
        raise NotImplementedError

    async def get(self, text: str, path: str, **variables: Any) -> Any:
        """The value at a path of the answer, as FlutterFlow takes it: `viewer.partners.nodes.0.id`."""
        value: Any = await self.ask(text, variables)
        for step in path.split("."):
            value = value[int(step) if step.isdigit() else step]
        return value

    async def do(self, text: str, **variables: Any) -> Any:
        """The payload of a mutation that is done."""
        (payload,) = (await self.ask(text, variables)).values()
        assert payload["errors"] == [], payload
        return payload

    async def refused(self, text: str, **variables: Any) -> tuple[list[str], Any]:
        """The codes of a mutation that is refused, and its payload."""
        (payload,) = (await self.ask(text, variables)).values()
        return [error["code"] for error in payload["errors"]], payload


class Watched:
    """The items of a subscription."""

    async def next(self) -> dict[str, Any]:
        """The payload of the next item's only field."""
        raise NotImplementedError

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The next item in which the entity has these values."""
        while True:
            item = await self.next()
            entity = next((one for one in item.values() if isinstance(one, dict)), {})
            if all(entity.get(name) == value for name, value in wanted.items()):
                return entity


@dataclass
class PostingDevice(Device):
    """A request for each operation, and an event stream for each subscription."""

    async def ask(self, text: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.client.ask(text, variables)

    async def watch(self, text: str, variables: dict[str, Any] | None = None) -> Watched:
        headers = self.client.headers | {"accept": "text/event-stream"}
        sent = {"query": text, "variables": variables or {}}
        url = f"{self.client.url}/graphql"
        response = await self.stack.enter_async_context(
            self.client.http.stream("POST", url, json=sent, headers=headers)
        )
        return StreamedItems(response)


class StreamedItems(Watched):
    """Items of an event stream."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            async for line in self._lines:
                name, _, value = line.partition(":")
                if name == "data" and value.strip():
                    (payload,) = json.loads(value)["data"].values()
                    found: dict[str, Any] = payload
                    return found
        raise AssertionError("the stream has ended")


@dataclass
class SocketDevice(Device):
    """One socket for operations and subscriptions alike."""

    socket: Socket = field(kw_only=True)

    async def ask(self, text: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        name = str(uuid4())
        await self.socket.subscribe(name, text, variables)
        message = await self.socket.next(name)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        assert (await self.socket.next(name))["type"] == "complete"
        found: dict[str, Any] = message["payload"]["data"]
        return found

    async def watch(self, text: str, variables: dict[str, Any] | None = None) -> Watched:
        name = str(uuid4())
        await self.socket.subscribe(name, text, variables)
        return SocketItems(self.socket, name)


class SocketItems(Watched):
    """Items of one subscription of a socket."""

    def __init__(self, socket: Socket, name: str) -> None:
        self._socket, self._name = socket, name

    async def next(self) -> dict[str, Any]:
        return await self._socket.next_data(self._name)


@asynccontextmanager
async def device(client: Client, *, over_socket: bool) -> AsyncIterator[Device]:
    """A device of whoever the client has signed in."""
    async with AsyncExitStack() as stack:
        if over_socket:
            socket = await stack.enter_async_context(client.socket())
            yield SocketDevice(client, stack, socket=socket)
        else:
            yield PostingDevice(client, stack)
