"""Asking a running server over HTTP, and reading its refusals."""

from __future__ import annotations

import httpx

JSON = {"content-type": "application/json"}
NEWER = {"accept": "application/graphql-response+json"}
GUEST = "mutation { signInAnonymously { session { accessToken } errors { code } } }"


async def ask(http: httpx.AsyncClient, text: str, **headers: str) -> httpx.Response:
    """The response to a document."""
    return await http.post("/graphql", json={"query": text}, headers=headers)


def codes(response: httpx.Response) -> list[str]:
    """The codes of its top-level errors."""
    found: list[str] = [error["extensions"]["code"] for error in response.json()["errors"]]
    return found


def assert_refused(response: httpx.Response, status: int, code: str = "BAD_USER_INPUT") -> None:
    """Nothing ran, and the one error says no more than it should."""
    assert response.status_code == status, response.text
    assert codes(response) == [code]
    assert "data" not in response.json()
    assert "Traceback" not in response.text
    assert response.headers["x-request-id"]
