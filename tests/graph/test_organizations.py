"""Organizations through the API: roles, invitations, the last owner, and what ends with a membership."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from auth.invitations import invitation_tokens
from auth.signed_ids import SignedIds
from db.core.actor import Actor
from settings import Settings

from ..conftest import MakeUser
from .conftest import Ask

ROLES = ("OWNER", "ADMIN", "MEMBER", "VIEWER")
CALLS = {
    "create": """mutation($name: String!, $key: String!) {
      answer: createOrganization(input: {name: $name, idempotencyKey: $key}) {
        organization { id name members { nodes { role user { id } } } }
        viewer { selectedOrganization { id } } errors { code path } } }""",
    "rename": """mutation($o: ID!, $name: String!) {
      answer: renameOrganization(input: {organizationId: $o, name: $name}) {
        organization { name } errors { code path } } }""",
    "invite": """mutation($o: ID!, $email: String!, $role: OrganizationRole!) {
      answer: inviteMember(input: {organizationId: $o, email: $email, role: $role}) {
        invitation { id token role status isExpired } errors { code path } } }""",
    "revoke": """mutation($id: ID!) {
      answer: revokeInvitation(input: {id: $id}) { invitation { status token } errors { code } } }""",
    "accept": """mutation($token: String!) {
      answer: acceptInvitation(input: {token: $token}) {
        organization { id members { nodes { role user { email } } } } errors { code path } } }""",
    "set_role": """mutation($o: ID!, $u: ID!, $role: OrganizationRole!) {
      answer: setMemberRole(input: {organizationId: $o, userId: $u, role: $role}) {
        member { role } errors { code path } } }""",
    "remove": """mutation($o: ID!, $u: ID!) {
      answer: removeMember(input: {organizationId: $o, userId: $u}) {
        organization { id } errors { code path } } }""",
    "transfer": """mutation($o: ID!, $u: ID!) {
      answer: transferOwnership(input: {organizationId: $o, userId: $u}) {
        organization { members { nodes { role } } } errors { code path } } }""",
    "leave": """mutation($o: ID!) {
      answer: leaveOrganization(input: {organizationId: $o}) { errors { code path } } }""",
    "select": """mutation($o: ID) {
      answer: selectOrganization(input: {organizationId: $o}) {
        viewer { selectedOrganization { id } } errors { code path } } }""",
    "see": """query($o: ID!) { answer: organization(id: $o) {
      name members { nodes { user { email } } } invitations { nodes { email } } } }""",
}


@dataclass
class People:
    """Asks as somebody, and makes organizations with members of every role."""

    ask: Ask
    owner: asyncpg.Connection
    make_user: MakeUser

    async def __call__(self, call: str, actor: Actor, /, **variables: Any) -> Any:
        """The answer of a call, or its top-level error's code."""
        answer = await self.ask(CALLS[call], variables, actor=actor)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["answer"]

    async def codes(self, call: str, actor: Actor, /, **variables: Any) -> list[str]:
        """The codes that a call is refused with; empty when it is done."""
        answer = await self(call, actor, **variables)
        return [answer] if isinstance(answer, str) else [e["code"] for e in answer["errors"]]

    async def found(self, actor: Actor) -> str:
        """A new organization that somebody owns."""
        made = await self("create", actor, name="Acme", key=str(uuid4()))
        return str(made["organization"]["id"])

    async def staffed(self) -> tuple[str, dict[str, Actor]]:
        """An organization with one member of each role."""
        actors = {role: await self.make_user() for role in ROLES}
        wanted = await self.found(actors["OWNER"])
        for role in ROLES[1:]:
            await self.join(wanted, actors[role], role)
        return wanted, actors

    async def join(self, organization: str, actor: Actor, role: str) -> None:
        """Makes somebody a member."""
        await self.owner.execute(
            "insert into organization_members (organization_id, user_id, role) values ($1, $2, $3)",
            UUID(organization.partition("_")[2]), actor.user_id, role,
        )  # fmt: skip

    async def email(self, actor: Actor) -> str:
        """Somebody's e-mail address."""
        return str(
            await self.owner.fetchval("select email from users where id = $1", actor.user_id)
        )


@pytest.fixture
def people(ask: Ask, owner: asyncpg.Connection, make_user: MakeUser) -> People:
    """Who asks in these tests."""
    return People(ask, owner, make_user)


def user(actor: Actor) -> str:
    return f"user_{actor.user_id}"


async def test_who_makes_an_organization_owns_it_and_works_in_it(people: People) -> None:
    one = await people.make_user()
    made = await people("create", one, name="  Acme ", key="k")
    assert made["organization"]["name"] == "Acme"
    assert made["organization"]["members"]["nodes"] == [
        {"role": "OWNER", "user": {"id": user(one)}}
    ]
    assert made["viewer"]["selectedOrganization"]["id"] == made["organization"]["id"]
    again = await people("create", one, name="Acme", key="k")
    assert again["organization"]["id"] == made["organization"]["id"]
    other = await people("create", one, name="Other", key="k2")
    assert other["viewer"]["selectedOrganization"]["id"] == made["organization"]["id"]


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        *(
            (blank, False)
            for blank in ("", " \u00a0", "\u200b\u200d", "\u3164", "\u2800", "\u0301")
        ),
        *((odd, False) for odd in ("a\x07b", "a\nb", "a\u2028b", "a\u202eb", "\U0001f600" * 101)),
        *(
            (seen, True)
            for seen in ("\U0001f600" * 100, "\U0001f468\u200d\U0001f467", "e\u0301", "1")
        ),
    ],
)
async def test_a_name_is_one_line_that_can_be_seen(
    people: People, name: str, *, is_taken: bool
) -> None:
    one = await people.make_user()
    refused = [] if is_taken else ["BAD_USER_INPUT"]
    assert await people.codes("create", one, name=name, key="k") == refused
    wanted = await people.found(one)
    assert await people.codes("rename", one, o=wanted, name=name) == refused


async def test_guests_make_none(people: People) -> None:
    guest = await people.make_user()
    await people.owner.execute(
        "update users set is_anonymous = true, email = null, email_key = null where id = $1",
        guest.user_id,
    )
    assert await people.codes("create", guest, name="Acme", key="k") == ["FORBIDDEN"]


async def test_an_invitation_is_for_one_address_and_makes_a_member_once(people: People) -> None:
    one, invited, stranger = [await people.make_user() for _ in range(3)]
    wanted = await people.found(one)
    address = (await people.email(invited)).upper()
    sent = await people("invite", one, o=wanted, email=address, role="ADMIN")
    again = await people("invite", one, o=wanted, email=address, role="MEMBER")
    assert again["invitation"] == sent["invitation"] | {"role": "MEMBER"}
    token = sent["invitation"]["token"]
    assert await people.codes("accept", stranger, token=token) == ["FORBIDDEN"]
    answers = await asyncio.gather(*(people("accept", invited, token=token) for _ in range(5)))
    assert {answer["organization"]["id"] for answer in answers} == {wanted}
    roles = [node["role"] for node in answers[0]["organization"]["members"]["nodes"]]
    assert roles == ["OWNER", "MEMBER"]
    assert await people.codes("invite", one, o=wanted, email=address, role="ADMIN") == [
        "BAD_USER_INPUT"
    ]


@pytest.mark.parametrize("end", ["revoke", "expire", "leave"])
async def test_an_invitation_that_is_over_makes_nobody_a_member(people: People, end: str) -> None:
    one, invited = await people.make_user(), await people.make_user()
    wanted = await people.found(one)
    sent = await people("invite", one, o=wanted, email=await people.email(invited), role="MEMBER")
    invitation = sent["invitation"]
    if end == "revoke":
        for _ in range(2):
            revoked = await people("revoke", one, id=invitation["id"])
            assert revoked["invitation"] == {"status": "REVOKED", "token": None}
    elif end == "expire":
        await people.owner.execute("update organization_invitations set expires_at = now()")
    else:
        assert await people.codes("accept", invited, token=invitation["token"]) == []
        assert await people.codes("leave", invited, o=wanted) == []
    assert await people.codes("accept", invited, token=invitation["token"]) == ["NOT_FOUND"]
    assert await people("see", invited, o=wanted) is None


@pytest.mark.parametrize("change", ["removed", "demoted", "left"])
async def test_an_invitation_is_as_good_as_who_sent_it(people: People, change: str) -> None:
    """An admin who is removed does not come back by an invitation to another address of theirs."""
    wanted, actors = await people.staffed()
    admin, other = actors["ADMIN"], await people.make_user()
    sent = {"o": wanted, "email": await people.email(other), "role": "MEMBER"}
    token = (await people("invite", admin, **sent))["invitation"]["token"]
    if change == "left":
        assert await people.codes("leave", admin, o=wanted) == []
    elif change == "removed":
        assert await people.codes("remove", actors["OWNER"], o=wanted, u=user(admin)) == []
    else:
        demotion = {"o": wanted, "u": user(admin), "role": "MEMBER"}
        assert await people.codes("set_role", actors["OWNER"], **demotion) == []
    assert await people.codes("accept", other, token=token) == ["NOT_FOUND"]
    # Sent again by who may, it is good.
    assert await people.codes("invite", actors["OWNER"], **sent) == []
    assert await people.codes("accept", other, token=token) == []


def test_a_token_that_was_changed_is_of_nothing(settings: Settings) -> None:
    tokens, invitation = SignedIds(settings, "organization-invitation"), uuid4()
    token = tokens.token(invitation)
    assert len(token) == 43
    assert tokens.row_id(token) == invitation
    swapped = ("B" if token[5] == "A" else "A").join((token[:5], token[6:]))
    for wrong in (
        swapped,
        token[:-4],
        token + "AAAA",
        "",
        "é" * 43,
        token[:22] + "\0" + token[23:],
    ):
        assert tokens.row_id(wrong) is None, wrong
    assert invitation_tokens().row_id(token) == invitation


# Who may do what to whom: the call, its role argument, and the roles that may, by the target's role.
RANKS = [
    ("set_role", {"role": "VIEWER"}, {"MEMBER": {"OWNER", "ADMIN"}, "ADMIN": {"OWNER"}}),
    ("set_role", {"role": "ADMIN"}, {"MEMBER": {"OWNER"}, "VIEWER": {"OWNER"}}),
    ("set_role", {"role": "OWNER"}, {"ADMIN": {"OWNER"}}),
    ("remove", {}, {"VIEWER": {"OWNER", "ADMIN"}, "ADMIN": {"OWNER"}}),
    ("transfer", {}, {"MEMBER": {"OWNER"}}),
]


@pytest.mark.parametrize("caller", ROLES)
async def test_owners_do_all_and_admins_what_is_below_them(people: People, caller: str) -> None:
    wanted, actors = await people.staffed()
    stranger = await people.make_user()
    for call, given, allowed in RANKS:
        for target, who in allowed.items():
            other = await people.make_user()
            await people.join(wanted, other, target)
            given_to = {"o": wanted, "u": user(other), **given}
            assert await people.codes(call, stranger, **given_to) == ["NOT_FOUND"]
            codes = await people.codes(call, actors[caller], **given_to)
            assert codes == ([] if caller in who else ["FORBIDDEN"]), (call, given, target)
            if call == "transfer" and caller == "OWNER":
                assert (
                    await people.codes("transfer", other, o=wanted, u=user(actors["OWNER"])) == []
                )


@pytest.mark.parametrize("caller", ROLES)
async def test_what_members_see_and_name_follows_from_their_role(
    people: People, caller: str
) -> None:
    wanted, actors = await people.staffed()
    await people("invite", actors["OWNER"], o=wanted, email="new@example.test", role="VIEWER")
    seen = await people("see", actors[caller], o=wanted)
    manages = caller in ("OWNER", "ADMIN")
    assert len(seen["members"]["nodes"]) == 4
    assert seen["invitations"]["nodes"] == ([{"email": "new@example.test"}] if manages else [])
    codes = await people.codes("rename", actors[caller], o=wanted, name="New")
    assert codes == ([] if manages else ["FORBIDDEN"])
    invite = {"o": wanted, "email": "more@example.test"}
    for role in ROLES:
        may = caller == "OWNER" or (caller == "ADMIN" and role in ("MEMBER", "VIEWER"))
        codes = await people.codes("invite", actors[caller], role=role, **invite)
        # Who sees an invitation's token could become what it is for.
        refused = ["BAD_USER_INPUT"] if role == "OWNER" else ["FORBIDDEN"]
        assert codes == ([] if may and role != "OWNER" else refused), role


async def test_an_admin_does_not_change_what_an_owner_offered(people: People) -> None:
    wanted, actors = await people.staffed()
    given = {"o": wanted, "email": "new@example.test"}
    sent = await people("invite", actors["OWNER"], role="ADMIN", **given)
    assert await people.codes("invite", actors["ADMIN"], role="VIEWER", **given) == ["FORBIDDEN"]
    assert await people.codes("revoke", actors["ADMIN"], id=sent["invitation"]["id"]) == [
        "FORBIDDEN"
    ]
    # What nobody answered in time is as good as none.
    await people.owner.execute("update organization_invitations set expires_at = now()")
    assert await people.codes("invite", actors["ADMIN"], role="VIEWER", **given) == []


async def test_two_owners_who_leave_at_once_leave_one(people: People) -> None:
    for _ in range(5):
        one, other = await people.make_user(), await people.make_user()
        wanted = await people.found(one)
        await people.join(wanted, other, "OWNER")
        codes = await asyncio.gather(
            people.codes("leave", one, o=wanted),
            people.codes("set_role", other, o=wanted, u=user(other), role="VIEWER"),
        )
        assert sorted(codes) in ([[], ["LAST_OWNER"]],)
        assert (
            await people.owner.fetchval(
                "select count(*) from organization_members where role = 'OWNER'"
                " and organization_id = $1",
                UUID(wanted.partition("_")[2]),
            )
            == 1
        )


async def test_who_is_removed_sees_and_does_nothing_from_the_next_statement_on(
    people: People,
) -> None:
    wanted, actors = await people.staffed()
    gone = actors["ADMIN"]
    assert await people.codes("select", gone, o=wanted) == []
    assert await people.codes("remove", actors["OWNER"], o=wanted, u=user(gone)) == []
    assert await people("see", gone, o=wanted) is None
    assert await people.codes("rename", gone, o=wanted, name="Mine") == ["NOT_FOUND"]
    assert await people.codes("select", gone, o=wanted) == ["NOT_FOUND"]
    chosen = await people("select", gone, o=None)
    assert chosen["viewer"]["selectedOrganization"] is None


async def test_an_owner_whose_account_goes_leaves_it_to_the_highest_role(people: People) -> None:
    wanted = await people.owner.fetchval(
        "insert into organizations (name) values ('Acme') returning id"
    )
    users = {
        role: await people.owner.fetchval(
            "with made as (insert into users (email) values ($1) returning id)"
            " insert into organization_members (organization_id, user_id, role)"
            " select $2, id, $3 from made returning user_id",
            f"{uuid4()}@example.test", wanted, role,
        )
        for role in ROLES
    }  # fmt: skip
    owners = "select array_agg(user_id) from organization_members where role = 'OWNER'"
    owners += " and organization_id = $1"
    for gone, heir in zip(ROLES, (*ROLES[1:], None), strict=True):
        await people.owner.execute("delete from users where id = $1", users[gone])
        expected = [users[heir]] if heir else None
        assert await people.owner.fetchval(owners, wanted) == expected
    left = "select exists (select from organizations where id = $1)"
    assert not await people.owner.fetchval(left, wanted)


async def test_members_see_the_name_and_address_that_a_user_has_now(people: People) -> None:
    wanted, actors = await people.staffed()
    await people.owner.execute(
        "update users set email = 'moved@example.test', email_key = 'moved@example.test'"
        " where id = $1",
        actors["VIEWER"].user_id,
    )
    seen = await people("see", actors["MEMBER"], o=wanted)
    assert {"user": {"email": "moved@example.test"}} in seen["members"]["nodes"]
