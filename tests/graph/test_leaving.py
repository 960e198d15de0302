"""Leaving over the API: proven, scheduled, taken back by signing in; and archives for their owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from auth.leaving import Leaving
from auth.one_time_codes import OneTimeCodes
from auth.sessions import SignedIn
from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from jobs.leaving import erase_account, export_data, remove_archive
from server.services import Services
from settings import Settings

from ..conftest import MakeUser
from .conftest import Ask

PASSWORD = "correct horse battery"
DELETE = """mutation($input: DeleteAccountInput) {
  deleteAccount(input: $input) { deletesAt viewer { id } errors { code path } } }"""
EXPORT = (
    """mutation { exportMyData { export { id status url expiresAt sizeBytes } errors { code } } }"""
)
EXPORTS = "{ viewer { exports(first: 5) { nodes { id status url expiresAt sizeBytes } } } }"
SIGN_IN = """mutation($email: String!) { signIn(input: {email: $email, password: "correct horse battery"}) {
  session { user { email } } errors { code } } }"""


@dataclass
class Person:
    """Somebody who signed up, with their session."""

    ask: Ask
    email: str
    session: SignedIn

    @property
    def actor(self) -> Actor:
        return self.session.actor

    async def delete(self, **given: Any) -> dict[str, Any]:
        answer = await self.ask(DELETE, {"input": given}, actor=self.actor)
        return dict(answer["data"]["deleteAccount"])

    async def sign_in(self) -> dict[str, Any]:
        answer = await self.ask(SIGN_IN, {"email": self.email})
        return dict(answer["data"]["signIn"])


@pytest.fixture
async def person(ask: Ask, services: Services) -> Person:
    email = f"{uuid4()}@example.test"
    session = await services.accounts.sign_up(email, PASSWORD, network=str(uuid4()))
    return Person(ask, email, session)


async def audit(owner: asyncpg.Connection, actor: Actor) -> list[str]:
    rows = await owner.fetch(
        "select action from audit_log where user_id = $1 order by id", actor.user_id
    )
    return [row["action"] for row in rows]


async def mails(owner: asyncpg.Connection, person: Person) -> list[str]:
    """The mails about leaving that were queued for somebody."""
    rows = await owner.fetch(
        "select template from emails where recipient = $1 and (template ~ '^account_' or template = 'export_ready')"
        " order by id", person.email,
    )  # fmt: skip
    return [row["template"] for row in rows]


async def test_it_is_scheduled_and_signed_out_at_once_and_signing_in_takes_it_back(
    person: Person, services: Services, owner: asyncpg.Connection
) -> None:
    told = await person.delete(password=PASSWORD)
    assert told["errors"] == []
    assert told["viewer"] is None
    left = datetime.fromisoformat(told["deletesAt"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left < timedelta(days=30, minutes=1)
    assert person.session.session_id in services.tokens.revoked
    assert (
        await owner.fetchval(
            "select count(*) from sessions where user_id = $1 and revoked_at is null",
            person.actor.user_id,
        )
        == 0
    )
    refresh = f'mutation {{ refreshSession(input: {{refreshToken: "{person.session.refresh_token}"}}) {{ errors {{ code }} }} }}'
    answer = await person.ask(refresh)
    assert answer["data"]["refreshSession"]["errors"] == [{"code": "UNAUTHENTICATED"}]

    assert await mails(owner, person) == ["account_deletion_scheduled"]

    back = await person.sign_in()
    assert back["session"]["user"]["email"] == person.email
    assert (
        await owner.fetchval(
            "select count(*) from account_deletions where user_id = $1", person.actor.user_id
        )
        == 0
    )
    assert await mails(owner, person) == [
        "account_deletion_scheduled",
        "account_deletion_cancelled",
    ]
    assert (await audit(owner, person.actor))[-3:] == [
        "deletion_scheduled",
        "sign_in",
        "deletion_cancelled",
    ]


async def test_it_is_noted_from_where_it_was_asked_for(
    person: Person, engine: Engine, services: Services, owner: asyncpg.Connection
) -> None:
    async def ask(document: str, actor: Actor = NOBODY, **variables: Any) -> None:
        context = Context(actor, services, "test", "Firefox \x07on Linux", "203.0.113.77")
        answer = orjson.loads(await engine.run(document, variables, None, context))
        assert "errors" not in answer

    await ask(EXPORT, person.actor)
    await ask(DELETE, person.actor, input={})
    await ask(SIGN_IN, email=person.email)
    noted = await owner.fetch(
        "select action, network, device from audit_log where user_id = $1"
        " and action ~ '^(export|deletion)_' order by id",
        person.actor.user_id,
    )
    place = ("203.0.113.0/24", "Firefox on Linux")
    assert [tuple(row) for row in noted] == [
        ("export_requested", *place),
        ("deletion_scheduled", *place),
        ("deletion_cancelled", *place),
    ]


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({}, "FRESH_SIGN_IN_REQUIRED", None),
        ({"password": "not my password"}, "INVALID_CREDENTIALS", ["input", "password"]),
        ({"password": "x" * 2000}, "INVALID_CREDENTIALS", ["input", "password"]),
    ],
)
async def test_without_proof_nothing_happens(
    person: Person,
    owner: asyncpg.Connection,
    given: dict[str, str],
    code: str,
    path: list[str] | None,
) -> None:
    long_ago = replace(person.actor, authenticated_at=0)
    person.session = replace(person.session, actor=long_ago)
    await owner.execute(
        "update sessions set authenticated_at = now() - interval '1 day' where user_id = $1",
        long_ago.user_id,
    )
    told = await person.delete(**given)
    assert told["errors"] == [{"code": code, "path": path}]
    assert told["deletesAt"] is None
    assert (
        await owner.fetchval(
            "select count(*) from account_deletions where user_id = $1", person.actor.user_id
        )
        == 0
    )
    assert (
        await owner.fetchval(
            "select count(*) from sessions where user_id = $1 and revoked_at is null",
            person.actor.user_id,
        )
        == 1
    )


async def test_a_code_for_signing_in_proves_it_once(
    person: Person, ask: Ask, owner: asyncpg.Connection, services: Services
) -> None:
    await owner.execute(
        "update users set email_confirmed_at = now() where id = $1", person.actor.user_id
    )
    asked = f'mutation {{ requestSignInCode(input: {{email: "{person.email}"}}) {{ sent errors {{ code }} }} }}'
    assert (await ask(asked))["data"]["requestSignInCode"] == {"sent": True, "errors": []}
    code_id = await owner.fetchval(
        "select id from one_time_codes where user_id = $1", person.actor.user_id
    )
    code = OneTimeCodes(services.settings).digits(code_id)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    assert (await person.delete(code=wrong))["errors"] == [
        {"code": "CODE_INVALID", "path": ["input", "code"]}
    ]
    assert (await person.delete(code=code))["errors"] == []
    assert (await person.delete(code=code))["errors"] == [
        {"code": "CODE_INVALID", "path": ["input", "code"]}
    ]


async def test_who_has_just_signed_in_needs_no_password(person: Person) -> None:
    assert (await person.delete())["errors"] == []


async def test_a_second_request_keeps_the_time(person: Person, owner: asyncpg.Connection) -> None:
    first = await person.delete(password=PASSWORD)
    await owner.execute(
        "update account_deletions set deletes_at = deletes_at - interval '3 days' where user_id = $1",
        person.actor.user_id,
    )
    again = await person.delete(password=PASSWORD)
    assert datetime.fromisoformat(again["deletesAt"]) == datetime.fromisoformat(
        first["deletesAt"]
    ) - timedelta(days=3)


async def test_a_guest_goes_at_once_and_needs_no_password(
    ask: Ask, services: Services, database: Database, owner: asyncpg.Connection
) -> None:
    guest = await services.accounts.sign_in_anonymously(network=str(uuid4()))
    answer = await ask(
        "mutation { deleteAccount { deletesAt errors { code } } }", actor=guest.actor
    )
    assert answer["data"]["deleteAccount"]["errors"] == []
    assert datetime.fromisoformat(answer["data"]["deleteAccount"]["deletesAt"]) <= datetime.now(UTC)
    assert (
        await owner.fetchval(
            "select count(*) from queue.pgqueuer where dedupe_key = $1", f"erase:{guest.user_id}"
        )
        == 1
    )
    await erase_account(database, user_id=guest.user_id)
    assert await owner.fetchval("select count(*) from users where id = $1", guest.user_id) == 0


async def test_who_is_erased_cannot_sign_in_and_the_address_is_free_again(
    person: Person, services: Services, database: Database, owner: asyncpg.Connection
) -> None:
    await person.delete(password=PASSWORD)
    await owner.execute(
        "update account_deletions set deletes_at = now() where user_id = $1", person.actor.user_id
    )
    assert person.actor.user_id
    await erase_account(database, user_id=person.actor.user_id)
    assert await mails(owner, person) == ["account_deleted"]
    assert (await person.sign_in())["errors"] == [{"code": "INVALID_CREDENTIALS"}]
    again = await services.accounts.sign_up(person.email, PASSWORD, network=str(uuid4()))
    assert again.user_id != person.actor.user_id


async def test_who_is_being_erased_cannot_sign_in(
    person: Person, owner: asyncpg.Connection
) -> None:
    await person.delete(password=PASSWORD)
    await owner.execute(
        "update account_deletions set deletes_at = now() where user_id = $1", person.actor.user_id
    )
    assert await owner.fetchval("select app.begin_erasing($1)", person.actor.user_id)
    assert (await person.sign_in())["errors"] == [{"code": "INVALID_CREDENTIALS"}]
    # Nor when somebody unlocks the account meanwhile.
    await owner.execute("update users set status = 'active' where id = $1", person.actor.user_id)
    assert (await person.sign_in())["errors"] == [{"code": "INVALID_CREDENTIALS"}]
    assert (
        await owner.fetchval(
            "select count(*) from account_deletions where user_id = $1", person.actor.user_id
        )
        == 1
    )


async def test_without_days_it_is_erased_as_soon_as_a_worker_comes(
    settings: Settings,
    services: Services,
    database: Database,
    owner: asyncpg.Connection,
    engine: Any,
) -> None:
    session = await services.accounts.sign_up(
        f"{uuid4()}@example.test", PASSWORD, network=str(uuid4())
    )
    at_once = settings.model_copy(update={"account_deletion_days": 0})
    leaving = Leaving(replace(services, settings=at_once))
    await leaving.delete_account(session.actor, password=PASSWORD, code=None)
    assert (
        await owner.fetchval(
            "select count(*) from queue.pgqueuer where dedupe_key = $1", f"erase:{session.user_id}"
        )
        == 1
    )


async def organization_of(owner: asyncpg.Connection, *members: tuple[UUID, str]) -> UUID:
    made: UUID = await owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    for user_id, role in members:
        await owner.execute(
            "insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)",
            made, user_id, role,
        )  # fmt: skip
    return made


async def test_the_last_owner_transfers_first_and_an_organization_of_nobody_else_goes(
    person: Person, database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    other = await make_user(credits=0)
    assert person.actor.user_id
    assert other.user_id
    shared = await organization_of(
        owner, (person.actor.user_id, "OWNER"), (other.user_id, "VIEWER")
    )
    alone = await organization_of(owner, (person.actor.user_id, "OWNER"))
    assert (await person.delete(password=PASSWORD))["errors"] == [
        {"code": "LAST_OWNER", "path": None}
    ]
    await owner.execute(
        "update organization_members set role = 'OWNER' where user_id = $1", other.user_id
    )
    assert (await person.delete(password=PASSWORD))["errors"] == []
    await owner.execute(
        "update account_deletions set deletes_at = now() where user_id = $1", person.actor.user_id
    )
    await erase_account(database, user_id=person.actor.user_id)
    left = await owner.fetch("select id from organizations where id = any ($1)", [shared, alone])
    assert [row["id"] for row in left] == [shared]


async def exported(person: Person) -> dict[str, Any]:
    answer = await person.ask(EXPORT, actor=person.actor)
    return dict(answer["data"]["exportMyData"]["export"])


async def test_an_archive_is_its_owners_alone(
    person: Person,
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    settings: Settings,
) -> None:
    first = await exported(person)
    assert (first["status"], first["url"], first["expiresAt"]) == ("QUEUED", None, None)
    assert await exported(person) == first
    export_id = UUID(first["id"].removeprefix("dataExport_"))
    await export_data(database, open_storage(settings), export_id=export_id)

    answer = await ask(EXPORTS, actor=person.actor)
    (ready,) = answer["data"]["viewer"]["exports"]["nodes"]
    assert ready["status"] == "READY"
    assert f"/files/exports/{person.actor.user_id}/" in ready["url"]
    assert ready["sizeBytes"] > 100
    node = "query($id: ID!) { node(id: $id) { ... on DataExport { url } } }"
    for actor in (await make_user(), replace(await make_user(), is_admin=True), NOBODY):
        answer = await ask(node, {"id": first["id"]}, actor=actor)
        assert answer["data"]["node"] is None


async def test_archives_have_a_budget(
    person: Person, ask: Ask, database: Database, settings: Settings
) -> None:
    for _ in range(2):
        export_id = UUID((await exported(person))["id"].removeprefix("dataExport_"))
        await export_data(database, open_storage(settings), export_id=export_id)
    answer = await ask(EXPORT, actor=person.actor)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert 86_000 < error["extensions"]["retryAfterSeconds"] <= 86_400


async def test_an_archive_is_for_who_has_just_signed_in(
    person: Person, ask: Ask, owner: asyncpg.Connection
) -> None:
    await owner.execute(
        "update sessions set authenticated_at = now() - interval '1 day' where user_id = $1",
        person.actor.user_id,
    )
    answer = await ask(EXPORT, actor=replace(person.actor, authenticated_at=0))
    assert answer["data"]["exportMyData"] == {
        "export": None,
        "errors": [{"code": "FRESH_SIGN_IN_REQUIRED"}],
    }


@pytest.mark.parametrize("ending", ["lockUser", "deleteUser", "deleteAccount"])
async def test_an_archive_ends_with_the_right_to_sign_in(
    person: Person,
    ask: Ask,
    make_user: MakeUser,
    database: Database,
    owner: asyncpg.Connection,
    settings: Settings,
    ending: str,
) -> None:
    storage = open_storage(settings)
    ready, running = [UUID((await exported(person))["id"].removeprefix("dataExport_"))], []
    await export_data(database, storage, export_id=ready[0])
    running.append(UUID((await exported(person))["id"].removeprefix("dataExport_")))
    path = await owner.fetchval("select path from data_exports where id = $1", ready[0])
    if ending == "deleteAccount":
        assert (await person.delete(password=PASSWORD))["errors"] == []
    else:
        admin = replace(await make_user(), is_admin=True)
        await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
        document = f"mutation($id: ID!) {{ {ending}(input: {{id: $id}}) {{ errors {{ code }} }} }}"
        answer = await ask(document, {"id": f"user_{person.actor.user_id}"}, actor=admin)
        assert answer["data"][ending]["errors"] == []
    rows = "select status, path from data_exports where id = any($1) order by id"
    assert [tuple(row) for row in await owner.fetch(rows, ready + running)] == [
        ("EXPIRED", None),
        ("FAILED", None),
    ]
    queued = "select count(*) from queue.pgqueuer where dedupe_key = $1"
    assert await owner.fetchval(queued, f"archive:{path}") == 1
    await remove_archive(storage, path=path)
    assert not await storage.exists(path)
    # A worker that is not done yet stores nothing, and nobody else asks for another.
    await export_data(database, storage, export_id=running[0])
    assert [row["path"] for row in await owner.fetch(rows, ready + running)] == [None, None]
    if ending != "lockUser":
        answer = await ask(EXPORT, actor=person.actor)
        assert [one["extensions"]["code"] for one in answer["errors"]] == ["UNAUTHENTICATED"]


async def test_nobody_has_neither(ask: Ask) -> None:
    for document in (EXPORT, "mutation { deleteAccount { errors { code } } }"):
        answer = await ask(document)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
