"""Keys and audit logs of organizations: who makes them, what they are listed as, and what is noted of whom."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.core.actor import Actor, KeyGrant, Scope
from db.core.pool import Database
from graph.shared.errors import RequestError

from ..conftest import MakeUser
from ..workflows import active_workflow, found_organization, join
from .conftest import Ask

CREATE = """mutation($input: CreateOrganizationApiKeyInput!) {
  answer: createOrganizationApiKey(input: $input) {
    secret apiKey { id role name scopes organization { id } } errors { code path } } }"""
ROTATE = """mutation($id: ID!) { answer: rotateApiKey(input: {id: $id}) {
  secret apiKey { id previousPrefix } errors { code path } } }"""
REVOKE = """mutation($id: ID!) { answer: revokeApiKey(input: {id: $id}) {
  apiKey { id revokedAt } errors { code path } } }"""
LOG = """query($o: ID!) { organization(id: $o) { auditLog { nodes { action actor userId subject role } }
  apiKeys { nodes { id } } members { nodes { role } } usage { seats } } }"""
ROLES = ("ADMIN", "MEMBER", "VIEWER")


class Board:
    """An organization with somebody in every role."""

    def __init__(self, ask: Ask, owner: asyncpg.Connection, people: dict[str, Actor], id: UUID):
        self.ask, self.owner, self.people, self.id = ask, owner, people, id
        self.global_id = f"organization_{id}"

    async def __call__(self, text: str, who: str | Actor, **given: Any) -> Any:
        """The answer, or the code that it is refused with."""
        actor = self.people[who] if isinstance(who, str) else who
        try:
            answer = await self.ask(text, given, actor=actor)
        except RequestError as error:
            return error.code.value
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        payload = answer["data"]["answer"]
        return payload["errors"][0]["code"] if payload["errors"] else payload

    async def make(self, who: str | Actor = "OWNER", role: str = "MEMBER", **more: Any) -> Any:
        given = {
            "organizationId": self.global_id,
            "name": "A bot",
            "scopes": ["READ"],
            "role": role,
        }
        return await self(CREATE, who, input=given | more)

    async def seen(self, who: str | Actor) -> Any:
        """What somebody reads of the organization."""
        actor = self.people[who] if isinstance(who, str) else who
        answer = await self.ask(LOG, {"o": self.global_id}, actor=actor)
        return answer["data"]["organization"]


@pytest.fixture
async def board(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> Board:
    people = {role: await make_user() for role in ("OWNER", *ROLES)}
    made = await found_organization(owner, people["OWNER"])
    for role in ROLES:
        await join(owner, made, people[role], role)
    return Board(ask, owner, people | {"STRANGER": await make_user()}, made)


async def test_owners_give_every_role_and_admins_those_below_their_own(board: Board) -> None:
    refused = {"MEMBER": "FORBIDDEN", "VIEWER": "FORBIDDEN", "STRANGER": "NOT_FOUND"}
    for who, code in refused.items():
        assert await board.make(who) == code
    for role in ROLES:
        key = (await board.make(role=role))["apiKey"]
        assert (key["role"], key["organization"]["id"]) == (role, board.global_id)
        above = "FORBIDDEN" if role == "ADMIN" else None
        made = await board.make("ADMIN", role)
        assert (made if isinstance(made, str) else None) == above
        for who, expected in {"ADMIN": above, **dict.fromkeys(refused, "NOT_FOUND")}.items():
            for text in (ROTATE, REVOKE):
                answer = await board(text, who, id=key["id"])
                assert (answer if isinstance(answer, str) else None) == expected, (who, text)
                if text == ROTATE and expected is None:
                    assert answer["secret"] != made["secret"]
    assert await board.make(role="OWNER") == "BAD_USER_INPUT"
    assert await board.make(name="") == "BAD_USER_INPUT"
    assert await board.make(organizationId="organization_nope") == "NOT_FOUND"


async def test_one_idempotency_key_is_one_key_and_fifty_work_at_a_time(board: Board) -> None:
    first, again = [await board.make(idempotencyKey="one") for _ in range(2)]
    assert first == again
    assert await board.make(idempotencyKey="one", name="Other") == "IDEMPOTENCY_CONFLICT"
    await board.owner.execute(
        "with r as (insert into users (display_name) select 'r' from generate_series(1, 49) returning id)"
        " insert into api_keys (user_id, organization_id, role, name, prefix, secret_hash, scopes)"
        " select id, $1, 'VIEWER', 'x', id::text, sha256(id::text::bytea), '{READ}' from r",
        board.id,
    )
    assert await board.make() == "LIMIT_EXCEEDED"
    await board(REVOKE, "OWNER", id=first["apiKey"]["id"])
    assert (await board.make())["secret"]


async def test_keys_are_no_members_and_go_with_what_they_leave_behind(
    board: Board, database: Database
) -> None:
    made = (await board.make(role="ADMIN"))["apiKey"]["id"]
    key_id = UUID(made.partition("_")[2])
    robot = await board.owner.fetchval("select user_id from api_keys where id = $1", key_id)
    for who in ("OWNER", "ADMIN"):
        seen = await board.seen(who)
        assert [one["id"] for one in seen["apiKeys"]["nodes"]] == [made]
        assert (len(seen["members"]["nodes"]), seen["usage"]["seats"]) == (4, 4)
    for who in ("MEMBER", "VIEWER"):
        seen = await board.seen(who)
        assert (seen["apiKeys"]["nodes"], seen["auditLog"]["nodes"]) == ([], [])
    assert await board.seen("STRANGER") is None
    # It is what its role lets it be, and no more of the scopes than it has.
    grant = KeyGrant(key_id, uuid4(), frozenset({Scope.READ}), 60, is_of_organization=True)
    acting = Actor("authenticated", robot, grant=grant)
    assert (await board.seen(acting))["apiKeys"]["nodes"] == [{"id": made}]
    workflow = f"workflow_{await active_workflow(board.owner, board.id)}"
    archive = (
        """mutation($w: ID!) { answer: archiveWorkflow(input: {id: $w}) { errors { code } } }"""
    )
    assert await board(archive, acting, w=workflow) == "FORBIDDEN"
    both = KeyGrant(
        key_id, uuid4(), frozenset({Scope.READ, Scope.WRITE}), 60, is_of_organization=True
    )
    acting = Actor("authenticated", robot, grant=both)
    assert await board(archive, acting, w=workflow) == {"errors": []}
    await board(REVOKE, "OWNER", id=made)
    assert await board.seen(acting) is None
    await board.owner.execute("delete from api_keys where id = $1", key_id)
    assert await board.owner.fetchval("select count(*) from users where id = $1", robot) == 0


async def test_an_organization_goes_with_its_keys_and_their_secrets(board: Board) -> None:
    made = (await board.make())["apiKey"]["id"]
    row = await board.owner.fetchrow(
        "select user_id, secret_hash from api_keys where id = $1", UUID(made.partition("_")[2])
    )
    await board.owner.execute("delete from organizations where id = $1", board.id)
    left = await board.owner.fetchrow(
        "select (select count(*) from users where id = $1) as robots, (select count(*)"
        " from deleted_sessions where id = encode(substring($2::bytea for 16), 'hex')::uuid) as ended",
        *row,
    )
    assert tuple(left) == (0, 1)


async def test_what_is_done_is_noted_with_who_did_it(board: Board, ask: Ask) -> None:
    invited = """mutation($o: ID!, $email: String!) { answer: inviteMember(input: {organizationId: $o,
      email: $email, role: VIEWER}) { invitation { id } errors { code } } }"""
    email = f"{uuid4()}@example.test"
    invitation = await board(invited, "ADMIN", o=board.global_id, email=email)
    promote = """mutation($o: ID!, $u: ID!) { answer: setMemberRole(input: {organizationId: $o,
      userId: $u, role: MEMBER}) { errors { code } } }"""
    viewer = f"user_{board.people['VIEWER'].user_id}"
    await board(promote, "OWNER", o=board.global_id, u=viewer)
    key = (await board.make())["apiKey"]["id"]
    log = (await board.seen("ADMIN"))["auditLog"]["nodes"]
    ids = {role: f"user_{actor.user_id}" for role, actor in board.people.items()}
    assert [(one["action"], one["userId"], one["subject"], one["role"]) for one in log] == [
        ("CREATE_API_KEY", ids["OWNER"], key, "MEMBER"),
        ("SET_MEMBER_ROLE", ids["OWNER"], viewer, "MEMBER"),
        ("INVITE_MEMBER", ids["ADMIN"], invitation["invitation"]["id"], "VIEWER"),
    ]
    assert {one["actor"] for one in log} == {
        f"{board.people[role].user_id}@example.test" for role in ("OWNER", "ADMIN")
    }


SIGN_UP = """mutation($email: String!) { signUp(input: {email: $email, password: "violet lantern"}) {
  session { user { id } } viewer { selectedOrganization { name plan { id }
    members { nodes { role } } } } errors { code } } }"""


@pytest.mark.parametrize("founds", [True, False])
async def test_a_new_member_owns_a_first_organization_where_the_terms_say_so(
    ask: Ask, owner: asyncpg.Connection, founds: bool
) -> None:
    await owner.execute("update sign_up_terms set founds_organization = $1", founds)
    try:
        email = f"ada-{uuid4()}@example.test"
        user = (await ask(SIGN_UP, {"email": email}))["data"]["signUp"]["session"]["user"]["id"]
    finally:
        await owner.execute("update sign_up_terms set founds_organization = false")
    rows = await owner.fetch(
        "select o.name, m.role, u.selected_organization_id = o.id as selected,"
        " o.usage_reset_day = least(28, extract(day from o.created_at at time zone 'UTC')) as today"
        " from organizations o join organization_members m on m.organization_id = o.id"
        " join users u on u.id = m.user_id where u.id = $1",
        UUID(user.partition("_")[2]),
    )
    wanted = [(email.partition("@")[0], "OWNER", True, True)] if founds else []
    assert [tuple(row) for row in rows] == wanted
