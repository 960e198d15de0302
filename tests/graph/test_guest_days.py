"""The free activities of guests: another account on the same device is no other day."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from auth.budgets import DEVICES_OF_AN_ADDRESS, GUESTS_OF_AN_ADDRESS
from auth.sessions import SignedIn
from db.core.actor import Actor
from server.services import Services

from ..conftest import MakeUser
from .conftest import Ask
from .playing import Play, codes

LIMIT = 25


@pytest.fixture
def play(ask: Ask, owner: asyncpg.Connection) -> Play:
    """Who plays in these tests."""
    return Play(ask, owner)


class Devices:
    """Opens accounts of guests."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def guest(self, device: str | None, network: str) -> Actor:
        """A new guest of a device and an address."""
        opened = await self._services.accounts.sign_in_anonymously(
            network=network, device_id=device
        )
        assert isinstance(opened, SignedIn)
        return opened.actor


@pytest.fixture
def devices(services: Services) -> Devices:
    return Devices(services)


async def drawn(play: Play, actor: Actor, times: int) -> dict[str, object]:
    """Draws so often; the day's state after it, or the code of the refusal."""
    session = await play.started(actor, activities=2 * times + 4)
    found = await play("draw", actor, id=session["id"], version=1)
    for version in range(2, times + 1):
        assert codes(found) == []
        found = await play("skip", actor, id=session["id"], version=version)
    state: dict[str, object] = found["dailyLimit"]
    return state | {"codes": codes(found)}


async def count(owner: asyncpg.Connection, actor: Actor, used: int) -> None:
    """Says that so many were drawn by the guests of an actor's device and address."""
    await owner.execute(
        "update guest_days d set used = $2 from guest_holders h"
        " where h.holder = d.holder and h.user_id = $1",
        actor.user_id, used,
    )  # fmt: skip


async def test_another_guest_of_the_device_goes_on_with_its_day(
    play: Play, devices: Devices
) -> None:
    device, network = str(uuid4()), str(uuid4())
    first = await drawn(play, await devices.guest(device, network), 4)
    assert (first["used"], first["remaining"]) == (4, LIMIT - 4)
    second = await devices.guest(device, str(uuid4()))
    assert (await drawn(play, second, 1))["used"] == 5
    await count(play.owner, second, LIMIT)
    third = await devices.guest(device, network)
    session = await play.started(third, activities=2)
    refused = await play("draw", third, id=session["id"], version=1)
    assert codes(refused) == ["DAILY_LIMIT_REACHED"]
    limit = refused["dailyLimit"]
    assert (limit["used"], limit["remaining"], limit["upgradeRequired"]) == (LIMIT, 0, True)
    other = await devices.guest(str(uuid4()), str(uuid4()))
    assert (await drawn(play, other, 1))["used"] == 1


async def test_an_address_has_the_days_of_several_guests(play: Play, devices: Devices) -> None:
    network = str(uuid4())
    first = await devices.guest(None, network)
    assert (await drawn(play, first, 1))["used"] == 1
    await count(play.owner, first, LIMIT * GUESTS_OF_AN_ADDRESS - 2)
    second = await devices.guest(None, network)
    found = await drawn(play, second, 3)
    assert (found["remaining"], found["codes"]) == (0, ["DAILY_LIMIT_REACHED"])
    assert (await drawn(play, await devices.guest(None, str(uuid4())), 1))["used"] == 1
    # Whose device is known shares other days, of which there are more.
    known = [await devices.guest(str(uuid4()), network) for _ in range(2)]
    assert (await drawn(play, known[0], 1))["used"] == 1
    await count(play.owner, known[0], LIMIT * DEVICES_OF_AN_ADDRESS - 1)
    found = await drawn(play, known[1], 2)
    assert (found["used"], found["codes"]) == (LIMIT, ["DAILY_LIMIT_REACHED"])


async def test_a_guest_whose_day_others_used_is_told_to_sign_up(
    play: Play, devices: Devices
) -> None:
    guest = await devices.guest(None, str(uuid4()))
    session = await play.started(guest, activities=60)
    drawn_first = await play("draw", guest, id=session["id"], version=1)
    assert codes(drawn_first) == []
    await count(play.owner, guest, LIMIT * GUESTS_OF_AN_ADDRESS)
    refused = await play("skip", guest, id=session["id"], version=2)
    assert codes(refused) == ["DAILY_LIMIT_REACHED"]
    assert "Sign up for a day of your own" in refused["errors"][0]["message"]
    await play.owner.execute(
        "update play_days set used = $2 where user_id = $1", guest.user_id, LIMIT
    )
    refused = await play("skip", guest, id=session["id"], version=2)
    assert "or get a plan" in refused["errors"][0]["message"]


async def test_their_day_ends_and_an_account_has_its_own(play: Play, devices: Devices) -> None:
    device, network = str(uuid4()), str(uuid4())
    guest = await devices.guest(device, network)
    await drawn(play, guest, 1)
    await count(play.owner, guest, LIMIT * GUESTS_OF_AN_ADDRESS)
    later = await devices.guest(device, network)
    await play.owner.execute(
        "update guest_days d set resets_at = now() from guest_holders h"
        " where h.holder = d.holder and h.user_id = $1",
        guest.user_id,
    )
    assert (await drawn(play, later, 2))["used"] == 2
    await count(play.owner, later, LIMIT * GUESTS_OF_AN_ADDRESS)
    await play.owner.execute(
        "update users set is_anonymous = false, email = $2, email_key = $2 where id = $1",
        later.user_id, f"{uuid4()}@example.test",
    )  # fmt: skip
    assert (await drawn(play, later, 1))["used"] == 3, "who has signed up counts alone"


async def test_guests_of_a_device_who_draw_at_once_never_pass_its_limit(
    play: Play, devices: Devices
) -> None:
    device, network = str(uuid4()), str(uuid4())
    guests = [await devices.guest(device, network) for _ in range(4)]
    await drawn(play, guests[0], 1)
    await count(play.owner, guests[0], LIMIT - 2)
    sessions = [await play.started(guest, activities=4) for guest in guests[1:]]
    found = await asyncio.gather(
        *(
            play("draw", guest, id=session["id"], version=1)
            for guest, session in zip(guests[1:], sessions, strict=True)
        )
    )
    assert sorted(codes(one) for one in found) == [[], [], ["DAILY_LIMIT_REACHED"]]


async def test_nobody_asks_for_the_day_of_another(
    play: Play, devices: Devices, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    guest = await devices.guest(str(uuid4()), str(uuid4()))
    await drawn(play, guest, 1)
    transaction = owner.transaction()
    await transaction.start()
    try:
        for actor, expected in ((guest, 1), (await make_user(), None)):
            await owner.execute("select set_config('app.user_id', $1, true)", str(actor.user_id))
            used = await owner.fetchval(
                "select max(used) from app.guest_allowance($1)", guest.user_id
            )
            assert used == expected
    finally:
        await transaction.rollback()
