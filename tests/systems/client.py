"""A client of the running product: GraphQL over HTTP, subscriptions over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect

SIGN_UP = """mutation($email: String!, $password: String!) {
  signUp(input: {email: $email, password: $password}) {
    session { accessToken refreshToken expiresAt user { id email isAnonymous } }
    errors { code message path }
  }
}"""
CREATE_UPLOAD = """mutation($size: Int!, $type: String!) {
  createUpload(input: {contentType: $type, sizeBytes: $size}) {
    upload { id url method headers { name value } expiresAt } errors { code message }
  }
}"""
CREATE_GENERATION = """mutation($tool: ID!, $upload: ID!, $parameters: JSON, $key: String!) {
  createGeneration(input: {toolId: $tool, uploadId: $upload, parameters: $parameters, idempotencyKey: $key}) {
    generation { id status fromCache creditsCharged tool { id } } errors { code message path }
  }
}"""


@dataclass
class Client:
    """One user at one server."""

    url: str
    http: httpx.AsyncClient
    token: str | None = None
    refresh_token: str | None = None
    user_id: str | None = None
    email: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def post(self, text: str, variables: dict[str, Any] | None = None) -> httpx.Response:
        return await self.http.post(
            f"{self.url}/graphql",
            json={"query": text, "variables": variables or {}},
            headers=self.headers,
        )

    async def ask(self, text: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        response = await self.post(text, variables)
        answer: dict[str, Any] = response.json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def sign_up(self) -> None:
        email = f"{uuid4()}@example.test"
        data = await self.ask(SIGN_UP, {"email": email, "password": "correct horse"})
        assert data["signUp"]["errors"] == []
        session = data["signUp"]["session"]
        self.token, self.refresh_token = session["accessToken"], session["refreshToken"]
        self.user_id = session["user"]["id"]

    async def upload(
        self, photo: bytes, content_type: str = "image/jpeg"
    ) -> tuple[str, httpx.Response]:
        variables = {"size": max(len(photo), 1), "type": content_type}
        data = await self.ask(CREATE_UPLOAD, variables)
        assert data["createUpload"]["errors"] == []
        upload = data["createUpload"]["upload"]
        headers = {header["name"]: header["value"] for header in upload["headers"]}
        response = await self.http.request(
            upload["method"], upload["url"], content=photo, headers=headers
        )
        return upload["id"], response

    async def generate(
        self,
        upload_id: str,
        tool: str = "hair-color",
        parameters: Any = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        if parameters is None:
            parameters = {"color": "#8e1f3a"} if tool == "hair-color" else {}
        data = await self.ask(
            CREATE_GENERATION,
            {
                "tool": tool,
                "upload": upload_id,
                "parameters": parameters,
                "key": key or str(uuid4()),
            },
        )
        payload: dict[str, Any] = data["createGeneration"]
        return payload

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        """An acknowledged graphql-transport-ws connection."""
        async with connect(
            self.url.replace("http", "ws", 1) + "/graphql",
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        ) as raw:
            payload = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            await raw.send(json.dumps({"type": "connection_init", "payload": payload}))
            assert json.loads(await raw.recv())["type"] == "connection_ack"
            yield Socket(raw)


@dataclass
class Socket:
    """A connection that can watch several subscriptions."""

    raw: ClientConnection
    waiting: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def subscribe(
        self, name: str, text: str, variables: dict[str, Any] | None = None
    ) -> None:
        payload = {"query": text, "variables": variables or {}}
        await self.raw.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))

    async def next(self, name: str, timeout_seconds: float = 30) -> dict[str, Any]:
        """The next message of one subscription."""
        async with asyncio.timeout(timeout_seconds):
            while not self.waiting.get(name):
                message = json.loads(await self.raw.recv())
                if "id" in message:
                    self.waiting.setdefault(message["id"], []).append(message)
        return self.waiting[name].pop(0)

    async def next_data(self, name: str) -> dict[str, Any]:
        """The next item of one subscription: the payload of its only field."""
        message = await self.next(name)
        assert message["type"] == "next", message
        (payload,) = message["payload"]["data"].values()
        found: dict[str, Any] = payload
        return found
