"""Members watch their organization: each change once and in order, and nothing after having left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Subscriber
from graph.live.access import AccessWatch
from server.services import Services
from tests.conftest import MakeUser
from tests.graph.conftest import Ask
from tests.graph.test_organizations import People, user

WATCH = """subscription($o: ID!, $after: Cursor) {
  organizationChanged(id: $o, after: $after) {
    cursor organization { name members { nodes { role user { id } } } } } }"""


class Client:
    """What one user is shown of an organization."""

    def __init__(
        self, engine: Engine, services: Services, actor: Actor, organization: str, **more: Any
    ) -> None:
        subscriber = Subscriber(engine, services.hub.subscribe, lambda: actor)
        text = more.pop("text", WATCH)
        self._items: AsyncIterator[Any] = subscriber.stream(text, {"o": organization, **more}, None)
        self.cursor = ""

    async def next(self) -> Any:
        """The organization in the next item."""
        async with asyncio.timeout(10):
            item = await anext(self._items)
        shown = orjson.loads(item.body)["data"]["organizationChanged"]
        self.cursor = shown.get("cursor", "")
        return shown["organization"]

    async def end(self) -> ErrorCode:
        """How the stream ends, nothing more being shown."""
        with pytest.raises(DomainError) as ended:
            await self.next()
        return ended.value.code

    async def quiet(self) -> bool:
        """Whether nothing waits to be shown; ends the stream."""
        try:
            async with asyncio.timeout(0.2):
                await anext(self._items)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        await self._items.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def people(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> People:
    return People(ask, owner, make_user)


@pytest.fixture
async def client(engine: Engine, services: Services) -> AsyncIterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(actor: Actor, organization: str, **more: Any) -> Client:
        made.append(Client(engine, services, actor, organization, **more))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def roles(shown: Any) -> dict[str, str]:
    return {node["user"]["id"]: node["role"] for node in shown["members"]["nodes"]}


async def test_each_change_is_shown_to_every_member_once_and_in_order(
    people: People, services: Services, client: Callable[..., Client]
) -> None:
    wanted, actors = await people.staffed()
    comes = await people.make_user()
    watching = [client(actor, wanted) for actor in actors.values()]
    assert [(await one.next())["name"] for one in watching] == ["Acme"] * 4
    boss = actors["OWNER"]

    async def shown() -> Any:
        services.wake()
        items = [await one.next() for one in watching]
        assert all(item == items[0] for item in items)
        return items[0]

    assert await people.codes("rename", boss, o=wanted, name="New") == []
    assert (await shown())["name"] == "New"
    invited = await people("invite", boss, o=wanted, email=await people.email(comes), role="VIEWER")
    assert len(roles(await shown())) == 4
    assert await people.codes("accept", comes, token=invited["invitation"]["token"]) == []
    assert roles(await shown())[user(comes)] == "VIEWER"
    assert await people.codes("set_role", boss, o=wanted, u=user(comes), role="ADMIN") == []
    assert roles(await shown())[user(comes)] == "ADMIN"
    # One that changes nothing is no change.
    assert await people.codes("set_role", boss, o=wanted, u=user(comes), role="ADMIN") == []
    assert await people.codes("leave", comes, o=wanted) == []
    assert user(comes) not in roles(await shown())
    assert [await one.quiet() for one in watching] == [True] * 4


@pytest.mark.parametrize("how", ["remove", "leave"])
async def test_who_is_no_member_any_more_is_shown_nothing_more_and_the_stream_ends(
    people: People, services: Services, client: Callable[..., Client], how: str
) -> None:
    wanted, actors = await people.staffed()
    gone, stays = client(actors["MEMBER"], wanted), client(actors["OWNER"], wanted)
    for one in (gone, stays):
        await one.next()
    if how == "remove":
        given = {"o": wanted, "u": user(actors["MEMBER"])}
        assert await people.codes("remove", actors["OWNER"], **given) == []
    else:
        assert await people.codes("leave", actors["MEMBER"], o=wanted) == []
    assert await people.codes("rename", actors["OWNER"], o=wanted, name="Secret") == []
    services.wake()
    await stays.next()
    assert (await stays.next())["name"] == "Secret"
    # A server looks every two seconds.
    await AccessWatch(services.database, services.hub).look()
    assert await gone.end() is ErrorCode.NOT_FOUND


async def test_strangers_watch_nothing(people: People, client: Callable[..., Client]) -> None:
    wanted, _ = await people.staffed()
    stranger = await people.make_user()
    for organization in (wanted, f"organization_{uuid4()}"):
        assert await client(stranger, organization).end() is ErrorCode.NOT_FOUND


async def test_who_left_does_not_resume_and_who_comes_back_is_shown_what_was_missed(
    people: People, services: Services, client: Callable[..., Client]
) -> None:
    wanted, actors = await people.staffed()
    boss, comes_back = actors["OWNER"], actors["VIEWER"]
    first = client(comes_back, wanted)
    await first.next()
    cursor = first.cursor
    await first.close()
    assert await people.codes("leave", comes_back, o=wanted) == []
    assert await people.codes("rename", boss, o=wanted, name="Meanwhile") == []
    services.wake()
    assert await client(comes_back, wanted, after=cursor).end() is ErrorCode.NOT_FOUND
    await people.join(wanted, comes_back, "VIEWER")
    assert await people.codes("rename", boss, o=wanted, name="Again") == []
    services.wake()
    resumed = client(comes_back, wanted, after=cursor)
    assert [(await resumed.next())["name"] for _ in range(3)] == ["Acme", "Meanwhile", "Again"]
    assert await resumed.quiet()


async def test_an_organization_that_goes_with_its_last_member_ends_the_stream(
    people: People, services: Services, client: Callable[..., Client]
) -> None:
    last = await people.owner.fetchval(
        "insert into users (email) values ($1) returning id", f"{uuid4()}@example.test"
    )
    wanted = await people.owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    organization = f"organization_{wanted}"
    actor = Actor("authenticated", UUID(str(last)))
    await people.join(organization, actor, "OWNER")
    watching = client(actor, organization)
    await watching.next()
    await people.owner.execute("delete from users where id = $1", last)
    assert not await people.owner.fetchval(
        "select exists (select from organizations where id = $1)", wanted
    )
    services.wake()
    await AccessWatch(services.database, services.hub).look()
    # The account is gone with it.
    assert await watching.end() in (ErrorCode.NOT_FOUND, ErrorCode.UNAUTHENTICATED)
