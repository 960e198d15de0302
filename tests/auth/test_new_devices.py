"""The owner of an account is mailed of a sign-in from a device that is new to it, and of no other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest

from tests.auth.services import PASSWORD, AuthServices, an_email

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{}) Gecko/20100101 Firefox/{}"
IPHONE = "Aura/3.1 (iPhone; iOS 19.0)"
MAILED = "select * from emails where user_id = :id and template = 'new_sign_in' order by id"


async def mailed(services: AuthServices, user_id: UUID) -> list[Any]:
    return list(await services.all(MAILED, id=user_id))


async def test_a_new_device_is_told_once(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(
        email, PASSWORD, user_agent=FIREFOX.format(120, 120), network="203.0.113.9"
    )
    for user_agent, mails in (
        (FIREFOX.format(120, 120), 0),
        (FIREFOX.format(121, 121), 0),
        (IPHONE, 1),
        (IPHONE, 1),
        (None, 2),
        (FIREFOX.format(122, 122), 2),
    ):
        await services.accounts.sign_in(
            email, PASSWORD, user_agent=user_agent, network="203.0.113.77"
        )
        assert len(await mailed(services, ana.user_id)) == mails, user_agent
    first, second = await mailed(services, ana.user_id)
    assert first["recipient"] == email
    assert orjson.loads(orjson.dumps(first["parameters"])) == {
        "device": "Aura on iPhone", "address": "203.0.113.0/24",
    }  # fmt: skip
    assert second["parameters"] == {"address": "203.0.113.0/24"}


@pytest.mark.parametrize(("age", "mails"), [("59 minutes", 0), ("61 minutes", 1)])
async def test_an_account_that_nobody_used_for_weeks_knows_no_device(
    services: AuthServices, age: str, mails: int
) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD, user_agent=IPHONE)
    await services.all("delete from sessions where user_id = :id returning id", id=ana.user_id)
    await services.all(
        f"update users set created_at = now() - interval '{age}' where id = :id returning id",
        id=ana.user_id,
    )
    await services.accounts.sign_in(email, PASSWORD, user_agent=IPHONE)
    assert len(await mailed(services, ana.user_id)) == mails


async def test_nobody_is_flooded_by_ever_new_devices(services: AuthServices) -> None:
    email = an_email()
    ana = await services.accounts.sign_up(email, PASSWORD, user_agent=IPHONE)
    await services.all(
        "update users set email_confirmed_at = now() where id = :id returning id", id=ana.user_id
    )
    await services.all(
        "select app.queue_email('new_sign_in', 'a@b.test', null, :id, '{}')"
        " from generate_series(1, 9)",
        id=ana.user_id,
    )
    for n in range(3):
        await services.accounts.sign_in(email, PASSWORD, user_agent=f"tool{n}/1.0")
    assert len(await mailed(services, ana.user_id)) == 10
