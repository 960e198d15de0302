"""Who is invited is mailed the invitation's token; nobody is flooded, and nobody floods."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from db.core.pool import Database
from db.emails.operations import NotBegun, begin_email
from jobs.mailing.rendering import LetterWriter
from settings import Settings

from ..jobs.letters import part, written
from .test_organizations import People, people  # noqa: F401 -- a fixture

MAILED = """
    select id, user_id, parameters from emails
    where template = 'organization_invitation' and recipient = $1 order by created_at, id
"""


async def mailed(people: People, email: str) -> list[Any]:  # noqa: F811
    return list(await people.owner.fetch(MAILED, email))


async def invite(people: People, email: str, wanted: str | None = None) -> dict[str, Any]:  # noqa: F811
    actor = await people.make_user()
    wanted = wanted or await people.found(actor)
    answer = await people("invite", actor, o=wanted, email=email, role="MEMBER")
    assert answer["errors"] == []
    invitation: dict[str, Any] = answer["invitation"]
    return invitation | {"by": await people.email(actor)}


async def test_the_mail_has_the_token_that_accepts(
    people: People,  # noqa: F811
    database: Database,
    settings: Settings,
) -> None:
    email = f"{uuid4()}@example.test"
    invitation = await invite(people, email)
    (row,) = await mailed(people, email)
    assert row["user_id"] is None
    assert orjson.loads(row["parameters"])["inviter"] == invitation["by"]
    begun = await begin_email(database, row["id"])
    assert not isinstance(begun, NotBegun)
    with_link = settings.model_copy(update={"link_url": "https://app.test/{purpose}#{token}"})
    text = part(written(LetterWriter(with_link), begun))
    assert invitation["token"] in text.splitlines()
    assert f"https://app.test/invitation#{invitation['token']}" in text.splitlines()
    assert "Acme" in text


async def test_a_mail_to_somebody_with_an_account_is_about_it(people: People) -> None:  # noqa: F811
    invited = await people.make_user()
    email = await people.email(invited)
    await invite(people, email)
    assert [row["user_id"] for row in await mailed(people, email)] == [invited.user_id]


async def test_inviting_again_mails_again_after_ten_minutes(people: People) -> None:  # noqa: F811
    actor, email = await people.make_user(), f"{uuid4()}@example.test"
    wanted = await people.found(actor)
    for minutes, mails in ((0, 1), (0, 1), (9, 1), (11, 2), (0, 2)):
        await people.owner.execute(
            "update organization_invitations set created_at = created_at - $1 * interval '1 minute'"
            " where email = $2",
            minutes,
            email,
        )
        answer = await people("invite", actor, o=wanted, email=email, role="MEMBER")
        assert answer["errors"] == []
        assert len(await mailed(people, email)) == mails


async def test_an_address_gets_five_mails_an_hour_from_all_organizations(people: People) -> None:  # noqa: F811
    email = f"{uuid4()}@example.test"
    for _ in range(7):
        assert (await invite(people, email))["token"]
    assert len(await mailed(people, email)) == 5
    await people.owner.execute(
        "update organization_invitations set created_at = now() - interval '2 hours' where email = $1",
        email,
    )
    await invite(people, email)
    assert len(await mailed(people, email)) == 6


async def test_one_person_invites_200_in_a_day_however_many_they_take_back(
    people: People,  # noqa: F811
) -> None:
    actor = await people.make_user()
    wanted = await people.found(actor)
    await people.owner.execute(
        "insert into organization_invitations"
        " (organization_id, email, email_key, role, invited_by, expires_at)"
        " select $1, n || $3, n || $3, 'VIEWER', $2, now() from generate_series(1, 200) n",
        UUID(wanted.partition("_")[2]),
        actor.user_id,
        f"@{uuid4()}.test",
    )
    email = f"{uuid4()}@example.test"
    invitation = {"o": wanted, "email": email, "role": "MEMBER"}
    assert await people.codes("invite", actor, **invitation) == ["LIMIT_EXCEEDED"]
    assert await mailed(people, email) == []
    await people.owner.execute(
        "update organization_invitations set created_at = now() - interval '25 hours'"
        " where invited_by = $1",
        actor.user_id,
    )
    assert await people.codes("invite", actor, **invitation) == []


@pytest.mark.parametrize(("own", "expected"), [("fr", "fr"), (None, "pt-BR")])
async def test_an_invitation_is_in_the_language_of_who_reads_it_or_of_who_invites(
    people: People,  # noqa: F811
    own: str | None,
    expected: str,
) -> None:
    actor, invited = await people.make_user(), await people.make_user()
    for one, locale in ((actor, "pt-BR"), (invited, own)):
        await people.owner.execute(
            "update users set locale = $1 where id = $2", locale, one.user_id
        )
    email, wanted = await people.email(invited), await people.found(actor)
    assert await people.codes("invite", actor, o=wanted, email=email, role="MEMBER") == []
    locale = await people.owner.fetchval("select locale from emails where recipient = $1", email)
    assert locale == expected
