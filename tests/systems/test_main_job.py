"""The main job, end to end: a photo in, a credit spent, a result out, live, and every bad input refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import asyncpg
import httpx
import pytest

from tests import pictures
from tests.running import RunningServer

from .client import Client

VIEWER = """{ viewer { id email credits { balance held available }
  creditTransactions { nodes { amount balanceAfter type referenceId createdAt } }
  generations { nodes { id status tool { id } imageUrl result creditsCharged fromCache madeOffline createdAt } }
  notifications { nodes { type titleKey read } } } }"""
WATCH_CREDITS = "subscription($after: Cursor) { creditsChanged(after: $after) { cursor credits { balance held available } } }"
WATCH_GENERATION = """subscription($id: ID!, $after: Cursor) { generationUpdated(id: $id, after: $after) {
  cursor generation { id status tool { id type } imageUrl result error { code message } } } }"""
WATCH_NOTIFICATIONS = """subscription($after: Cursor) { notificationAdded(after: $after) {
  cursor notification { id type titleKey messageKey read createdAt } } }"""


@cache
def portrait() -> bytes:
    """A real JPEG with EXIF in it."""
    return pictures.jpeg_with_exif(pictures.portrait().picture)


async def test_the_whole_job_is_seen_live_and_afterwards(client: Client) -> None:
    before = await client.ask(VIEWER)
    assert before["viewer"]["credits"] == {"balance": 10, "held": 0, "available": 10}
    async with client.socket() as socket:
        await socket.subscribe("credits", WATCH_CREDITS)
        await socket.subscribe("notifications", WATCH_NOTIFICATIONS)
        first = await socket.next_data("credits")
        assert first["credits"]["balance"] == 10
        assert (await socket.next_data("notifications"))["notification"] is None
        upload_id, put = await client.upload(portrait())
        assert put.status_code == 201, put.text
        payload = await client.generate(upload_id)
        assert payload["errors"] == []
        assert payload["generation"]["status"] == "QUEUED"
        generation_id = payload["generation"]["id"]
        await socket.subscribe("generation", WATCH_GENERATION, {"id": generation_id})
        statuses: list[str] = []
        while "SUCCEEDED" not in statuses:
            shown = (await socket.next_data("generation"))["generation"]
            statuses.append(shown["status"])
            assert shown["error"] is None
            assert shown["tool"] == {"id": "tool_hair-color", "type": "TRANSFORMATION"}
        assert sorted(set(statuses), key=statuses.index) == statuses, "no state is shown twice"
        held = (await socket.next_data("credits"))["credits"]
        assert held == {"balance": 10, "held": 1, "available": 9}
        captured = (await socket.next_data("credits"))["credits"]
        assert captured == {"balance": 9, "held": 0, "available": 9}
        added = (await socket.next_data("notifications"))["notification"]
        assert added["titleKey"] == "notifications.generationSucceeded.title"
    picture = await client.http.get(shown["imageUrl"])
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/jpeg"
    assert b"Exif" not in picture.content
    after = (await client.ask(VIEWER))["viewer"]
    assert after["generations"]["nodes"][0]["status"] == "SUCCEEDED"
    assert after["generations"]["nodes"][0]["creditsCharged"] == 1
    assert after["generations"]["nodes"][0]["madeOffline"] is True
    moves = [
        (m["type"], m["amount"], m["balanceAfter"]) for m in after["creditTransactions"]["nodes"]
    ]
    assert moves == [("CAPTURE", -1, 9), ("HOLD", 0, 10), ("SIGNUP_BONUS", 10, 10)]


async def test_a_subscription_continues_behind_its_cursor(client: Client) -> None:
    spend = "mutation($k: String!) { spendCredits(input: {amount: 1, idempotencyKey: $k}) { errors { code } } }"
    async with client.socket() as socket:
        await socket.subscribe("a", WATCH_CREDITS)
        cursor = (await socket.next_data("a"))["cursor"]
    for number in range(3):
        await client.ask(spend, {"k": str(number)})
    async with client.socket() as socket:
        await socket.subscribe("a", WATCH_CREDITS, {"after": cursor})
        seen = [(await socket.next_data("a"))["credits"]["balance"] for _ in range(3)]
        assert seen == [9, 8, 7]
        await client.ask(spend, {"k": "last"})
        assert (await socket.next_data("a"))["credits"]["balance"] == 6


async def test_the_same_request_again_comes_from_the_cache_and_is_free(client: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    first = await client.generate(upload_id, "analysis", key="one")
    async with client.socket() as socket:
        await socket.subscribe("g", WATCH_GENERATION, {"id": first["generation"]["id"]})
        while (shown := (await socket.next_data("g"))["generation"])["status"] != "SUCCEEDED":
            pass
    assert shown["result"]["dimensions"]
    again = await client.generate(upload_id, "analysis", key="one")
    assert again["generation"]["id"] == first["generation"]["id"]
    other = await client.generate(upload_id, "analysis", key="two")
    assert other["generation"]["status"] == "SUCCEEDED"
    assert other["generation"]["fromCache"] is True
    credits = (await client.ask(VIEWER))["viewer"]["credits"]
    assert credits == {"balance": 9, "held": 0, "available": 9}


async def unchanged(client: Client) -> dict[str, Any]:
    viewer: dict[str, Any] = (await client.ask(VIEWER))["viewer"]
    return {"credits": viewer["credits"], "generations": viewer["generations"]["nodes"]}


async def test_an_unknown_tool_is_refused(client: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    before = await unchanged(client)
    payload = await client.generate(upload_id, "no-such-tool", {})
    assert payload["generation"] is None
    assert payload["errors"][0]["code"] == "NOT_FOUND"
    assert await unchanged(client) == before


async def test_a_preview_is_announced_and_free_and_its_pictures_are_there(client: Client) -> None:
    shown = await client.ask("{ tools { id isPreview creditsCost } hairstyles { id imageUrl } }")
    previews = {tool["id"]: tool["creditsCost"] for tool in shown["tools"] if tool["isPreview"]}
    assert set(previews) == {
        f"tool_{slug}" for slug in ("age", "bald", "fat", "hairstyle", "smile")
    }
    assert set(previews.values()) == {0}
    hairstyle = shown["hairstyles"][0]
    answer = await client.http.get(hairstyle["imageUrl"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    upload_id, _ = await client.upload(portrait())
    before = await unchanged(client)
    payload = await client.generate(upload_id, "hairstyle", {"hairstyle": hairstyle["id"]})
    assert payload["errors"] == []
    assert (await unchanged(client))["credits"] == before["credits"]


async def test_parameters_that_break_the_tools_schema_are_refused(client: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    before = await unchanged(client)
    for parameters in ({}, {"color": "red"}, {"color": "#8e1f3a", "more": 1}, [], "x"):
        payload = await client.generate(upload_id, "hair-color", parameters)
        assert payload["errors"][0]["code"] == "BAD_USER_INPUT"
        assert payload["errors"][0]["path"][:2] == ["input", "parameters"]
    assert await unchanged(client) == before


async def test_a_foreign_upload_is_not_found(client: Client, stranger: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    before = await unchanged(stranger)
    payload = await stranger.generate(upload_id)
    assert payload["errors"][0]["code"] == "NOT_FOUND"
    assert await unchanged(stranger) == before


async def test_an_upload_that_never_came_is_missing(client: Client) -> None:
    data = await client.ask(
        'mutation { createUpload(input: {contentType: "image/jpeg", sizeBytes: 9}) { upload { id } } }'
    )
    payload = await client.generate(data["createUpload"]["upload"]["id"])
    assert payload["errors"][0]["code"] == "UPLOAD_MISSING"


async def test_an_upload_whose_time_is_over_has_expired(
    client: Client, server: RunningServer
) -> None:
    data = await client.ask(
        'mutation { createUpload(input: {contentType: "image/jpeg", sizeBytes: 9}) { upload { id url } } }'
    )
    upload = data["createUpload"]["upload"]
    owner = await asyncpg.connect(server.owner_url)
    await owner.execute(
        "update uploads set expires_at = now() - interval '1 second' where id = $1::text::uuid",
        upload["id"].removeprefix("upload_"),
    )
    await owner.close()
    put = await client.http.put(upload["url"], content=portrait())
    assert put.status_code == 410
    payload = await client.generate(upload["id"])
    assert payload["errors"][0]["code"] == "UPLOAD_EXPIRED"


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [("empty", "EMPTY_FILE", 422), ("text", "INVALID_IMAGE", 422), ("bomb", "INVALID_IMAGE", 422)],
)
async def test_what_is_no_photo_is_refused_at_the_door_and_again_at_the_tool(
    client: Client, name: str, code: str, status: int
) -> None:
    files = {"empty": b"", "text": b"this is no picture", "bomb": pictures.bomb_png()}
    before = await unchanged(client)
    upload_id, put = await client.upload(files[name])
    assert put.status_code == status
    assert put.json()["errors"][0]["extensions"]["code"] == code
    payload = await client.generate(upload_id)
    assert payload["errors"][0]["code"] == code
    assert await unchanged(client) == before


async def test_a_stale_or_forged_token_is_401_everywhere(client: Client, server_url: str) -> None:
    token = client.token
    assert token
    for bad in (token[:-4] + "AAAA", "nonsense", "a.b.c", token + "x"):
        client.token = bad
        response = await client.post("{ viewer { id } }")
        assert response.status_code == 401
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    client.token = token
    signed_out = await client.ask("mutation { signOut { signedOut errors { code } } }")
    assert signed_out["signOut"] == {"signedOut": True, "errors": []}
    assert (await client.post("{ viewer { id } }")).status_code == 401


async def test_an_email_in_use_is_refused(client: Client) -> None:
    email = (await client.ask("{ viewer { email } }"))["viewer"]["email"]
    text = """mutation($email: String!) { signUp(input: {email: $email, password: "another one"}) {
      session { accessToken } errors { code message path } } }"""
    payload = (await client.ask(text, {"email": email.upper()}))["signUp"]
    assert payload["session"] is None
    assert payload["errors"][0]["code"] == "EMAIL_IN_USE"


async def test_a_key_with_other_parameters_conflicts(client: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    first = await client.generate(upload_id, key="same")
    assert first["errors"] == []
    other = await client.generate(upload_id, "analysis", {}, key="same")
    assert other["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"


async def test_without_credits_nothing_starts(client: Client) -> None:
    spend = 'mutation { spendCredits(input: {amount: 10, idempotencyKey: "all"}) { credits { balance } errors { code } } }'
    assert (await client.ask(spend))["spendCredits"]["credits"] == {"balance": 0}
    upload_id, _ = await client.upload(portrait())
    before = await unchanged(client)
    payload = await client.generate(upload_id)
    assert payload["errors"][0]["code"] == "INSUFFICIENT_CREDITS"
    assert await unchanged(client) == before


async def test_another_users_generation_cannot_be_watched(client: Client, stranger: Client) -> None:
    upload_id, _ = await client.upload(portrait())
    generation_id = (await client.generate(upload_id))["generation"]["id"]
    async with stranger.socket() as socket:
        await socket.subscribe("g", WATCH_GENERATION, {"id": generation_id})
        message = await socket.next("g")
    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_signed_link_opens_only_what_it_was_made_for(client: Client) -> None:
    data = await client.ask(
        'mutation { createUpload(input: {contentType: "image/jpeg", sizeBytes: 9}) { upload { url } } }'
    )
    url: str = data["createUpload"]["upload"]["url"]
    async with httpx.AsyncClient() as http:
        assert (await http.get(url)).status_code == 403
        assert (
            await http.put(url.replace("expires=", "expires=9"), content=b"x")
        ).status_code == 403
        assert (
            await http.put(url.replace("/files/user_uploads/", "/files/generations/"), content=b"x")
        ).status_code == 403
