"""Notifications on two devices of one user, over real sockets."""

from __future__ import annotations

from typing import Any

from .client import Client, Socket
from .test_main_job import portrait

WATCH = """subscription($after: Cursor) { notificationsChanged(after: $after) {
  cursor kind notification { id titleKey read } deletedId } }"""
COUNT = "{ viewer { unreadNotificationCount notifications { nodes { id } } } }"
MARK_ALL = "mutation { markAllNotificationsRead { errors { code } } }"
DELETE = "mutation($id: ID!) { deleteNotification(input: {id: $id}) { errors { code } } }"


async def next_kind(socket: Socket, kind: str) -> dict[str, Any]:
    """The next item, which is of this kind."""
    shown = await socket.next_data("n")
    assert shown["kind"] == kind
    return shown


async def test_both_devices_of_a_user_show_the_same(client: Client, stranger: Client) -> None:
    await client.ask(MARK_ALL)
    async with client.socket() as phone, client.socket() as tablet, stranger.socket() as foreign:
        for socket in (phone, tablet, foreign):
            await socket.subscribe("n", WATCH)
            assert (await socket.next_data("n"))["kind"] is None
        upload_id, _ = await client.upload(portrait())
        assert (await client.generate(upload_id))["errors"] == []
        added = [await next_kind(socket, "ADDED") for socket in (phone, tablet)]
        assert added[0]["notification"] == added[1]["notification"]
        made = added[0]["notification"]
        assert (made["titleKey"], made["read"]) == (
            "notifications.generationSucceeded.title",
            False,
        )
        assert (await client.ask(COUNT))["viewer"]["unreadNotificationCount"] == 1
        await client.ask(MARK_ALL)
        for socket in (phone, tablet):
            assert (await next_kind(socket, "UPDATED"))["notification"] == {**made, "read": True}
    await client.ask(DELETE, {"id": made["id"]})
    async with client.socket() as phone:
        # It was away, and goes on where it was.
        await phone.subscribe("n", WATCH, {"after": added[0]["cursor"]})
        await next_kind(phone, "UPDATED")
        assert (await next_kind(phone, "DELETED"))["deletedId"] == made["id"]
    viewer = (await client.ask(COUNT))["viewer"]
    assert viewer["unreadNotificationCount"] == 0
    assert made["id"] not in [node["id"] for node in viewer["notifications"]["nodes"]]
