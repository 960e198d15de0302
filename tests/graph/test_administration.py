"""What is for admins is refused to everybody else, and shows admins what it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from graphql import GraphQLObjectType, get_named_type

from db.core.actor import NOBODY, Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine import specs
from graph.engine.specs import spec_of
from graph.schema import build_schema
from settings import Settings

from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload
from .conftest import Ask

SCHEMA = build_schema()._schema
NODE = """query($id: ID!) { node(id: $id) { id
  ... on User { email credits { balance } generations { nodes { id } } profiles { nodes { id } } }
  ... on Generation { status } ... on Tool { isActive } } }"""
USERS = """query($search: String, $where: UserWhere, $first: Int, $after: Cursor) {
  users(search: $search, where: $where, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id email isAdmin credits { balance } profiles { nodes { id } } uploads { nodes { id } } } } }"""
GRANT = """mutation($input: GrantCreditsInput!) { grantCredits(input: $input) {
  transaction { id amount type reason } user { id credits { balance } } viewer { id }
  errors { code message path } } }"""
SWITCH = """mutation($on: Boolean!, $id: ID!) { setToolActive(input: {toolId: $id, isActive: $on}) {
  tool { id isActive } errors { code path } } }"""
SEND = """mutation($input: SendNotificationInput!) { sendNotification(input: $input) {
  notification { id type titleKey messageKey data read } errors { code message path } } }"""
AUDIT = "select user_id, detail from audit_log where action = $1 and detail::text like $2"
# Inputs that would do something for an admin; garbage in `anything` must tell others no more.
INPUTS = {
    "broadcastNotification": (
        '{type: OFFER, titleKey: "t", messageKey: "m", segment: {planIds: ["%s"]}, idempotencyKey: "k"}'
    ),
    "cancelBroadcast": '{id: "%s"}',
    "confirmUserEmail": '{id: "%s"}',
    "createBotKey": '{name: "%s"}',
    "createUser": '{email: "%s@others.test", password: "correct horse"}',
    "deleteUser": '{id: "%s"}',
    "demoteUser": '{id: "%s"}',
    "grantCredits": '{userId: "%s", amount: 1, reason: "r", idempotencyKey: "k"}',
    "givePlan": '{userId: "%s", planId: "pro", reason: "r", idempotencyKey: "k"}',
    "refundOrder": '{orderId: "%s", reason: "r", idempotencyKey: "k"}',
    "lockUser": '{id: "%s"}',
    "replayWebhook": '{id: "%s"}',
    "promoteUser": '{id: "%s"}',
    "retryJob": '{id: "%s"}',
    "sendNotification": (
        '{userId: "%s", type: OFFER, titleKey: "t", messageKey: "m", idempotencyKey: "k"}'
    ),
    **dict.fromkeys(
        (
            "removeHairColor",
            "removeHairstyle",
            "removePlan",
            "removeProduct",
            "removeSkinColor",
            "removeTool",
            "saveHairstyle",
            "savePlan",
            "saveProduct",
            "saveTool",
        ),
        '{id: "%s"}',
    ),
    **dict.fromkeys(
        ("removeProductPrice", "saveProductPrice"), '{productId: "%s", provider: "sandbox"}'
    ),
    **dict.fromkeys(("saveHairColor", "saveSkinColor"), '{hexCode: "%s"}'),
    "createActivity": ('{kind: TRUTH, level: G, intensity: 1, text: "%s", themes: ["a"]}'),
    "updateActivity": '{id: "%s", level: G}',
    "removeActivity": '{id: "%s"}',
    "setToolActive": '{toolId: "%s", isActive: false}',
    "sendPasswordReset": '{id: "%s"}',
    "setUserPassword": '{id: "%s", password: "another horse"}',
    "signOutUser": '{id: "%s"}',
    "setSwitch": '{name: AI_ENABLED, value: true, reason: "%s"}',
    "setTranslation": '{locale: "en", key: "k", text: "%s"}',
    "unlockUser": '{id: "%s"}',
}


@pytest.fixture
async def admin(make_user: MakeUser, owner: asyncpg.Connection) -> Actor:
    """Somebody whom the database knows as an admin, though their token does not say so yet."""
    user = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    return user


@pytest.fixture
async def named(make_user: MakeUser, owner: asyncpg.Connection) -> tuple[Actor, str]:
    """A user with an address that nobody else has."""
    user = await make_user()
    email = f"Ada_{uuid4().hex}@Example.test"
    await owner.execute(
        "update users set email = $2, email_key = lower($2), display_name = 'Ada %' where id = $1",
        user.user_id,
        email,
    )
    return user, email


def fields_for_admins() -> Iterator[str]:
    root = SCHEMA.query_type
    assert root is not None
    for name, field in root.fields.items():
        if getattr(spec_of(field), "for_admins", False):
            named = get_named_type(field.type)
            assert isinstance(named, GraphQLObjectType)
            # What a function reports has no id; any field of it will do.
            shown = "id" if "id" in named.fields else next(iter(named.fields))
            is_page = "nodes" in named.fields
            yield f"{name} {{ nodes {{ id }} }}" if is_page else f"{name} {{ {shown} }}"


def mutations_for_admins() -> set[str]:
    root = SCHEMA.mutation_type
    assert root is not None
    found = {name: spec_of(field) for name, field in root.fields.items()}
    return {n for n, s in found.items() if isinstance(s, specs.Mutate) and s.for_admins}


async def test_every_field_for_admins_is_refused_to_others_at_its_path(
    ask: Ask, make_user: MakeUser, admin: Actor
) -> None:
    fields = list(fields_for_admins())
    assert len(fields) >= 5
    names = [field.split()[0] for field in fields]
    user = await make_user()
    claims_to_be = Actor("authenticated", user.user_id, is_admin=True)
    text = f"{{ tools {{ id }} {' '.join(fields)} viewer {{ id }} }}"
    for actor, code in (
        (NOBODY, "UNAUTHENTICATED"),
        (user, "FORBIDDEN"),
        (claims_to_be, "FORBIDDEN"),
    ):
        answer = await ask(text, actor=actor)
        assert answer["data"]["tools"], "the rest is answered"
        assert [answer["data"][name] for name in names] == [None] * len(names)
        assert [error["path"] for error in answer["errors"]] == [[name] for name in names]
        assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
    allowed = await ask(text, actor=admin)
    assert "errors" not in allowed
    assert None not in [allowed["data"][name] for name in names]


@pytest.mark.parametrize("name", sorted(mutations_for_admins()))
@pytest.mark.parametrize("wanted", ["anything", "a user"])
async def test_every_mutation_for_admins_is_refused_to_others_and_changes_nothing(
    ask: Ask, make_user: MakeUser, owner: asyncpg.Connection, name: str, wanted: str
) -> None:
    other = await make_user()
    user = await make_user()
    given = INPUTS[name] % (wanted if wanted == "anything" else f"user_{other.user_id}")
    text = f"mutation {{ {name}(input: {given}) {{ viewer {{ id }} errors {{ code }} }} }}"
    # Beside what other tests' requests leave to be written later.
    noted = "select count(*) from audit_log where user_id = any ($1)"
    audited = await owner.fetchval(noted, [user.user_id, other.user_id])
    for actor, code, message in (
        (NOBODY, "UNAUTHENTICATED", "Sign in first, then send the access token in the "),
        (user, "FORBIDDEN", "This is for admins only."),
        (Actor("authenticated", user.user_id, is_admin=True), "FORBIDDEN", "This is for admins"),
    ):
        answer = await ask(text, actor=actor)
        (error,) = answer["errors"]
        assert answer["data"] == {name: None}
        assert (error["path"], error["extensions"]["code"]) == ([name], code)
        assert error["message"].startswith(message)
    assert await owner.fetchval(noted, [user.user_id, other.user_id]) == audited
    assert (
        await owner.fetchval("select balance from wallets where user_id = $1", other.user_id) == 10
    )


async def test_others_do_not_pass_by_calling_the_functions(
    database: Database, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    calls = (
        f"app.give_credits_as_admin('{user.user_id}', 1, null, 'r', 'k')",
        "app.set_tool_active('hair-color', false)",
        "app.set_translation('en', 'k', 't')",
        "app.save_tool('age', '{}')",
        "app.save_hairstyle('male-fade-1', '{}')",
        "app.save_hair_color('#000000', '{}')",
        "app.save_skin_color('#3e2510', '{}')",
        "app.save_plan('pro', '{}')",
        "app.save_product('credits-50', '{}')",
        "app.save_product_price('credits-50', 'sandbox', '{}')",
        "app.remove_product('credits-50')",
        "app.remove_product_price('credits-50', 'sandbox')",
        "app.remove_tool('age')",
        "app.remove_hairstyle('male-fade-1')",
        "app.remove_hair_color('#000000')",
        "app.remove_skin_color('#3e2510')",
        "app.remove_plan('pro')",
        f"app.send_notification('{user.user_id}', 'OFFER', 't', 'm', '{{}}', 'k')",
        "app.broadcast_notification('{}', 'k')",
        f"app.cancel_broadcast('{uuid4()}')",
        f"app.request_refund('{uuid4()}', null, 'r', 'k')",
        f"app.retry_dead_job('{uuid4()}')",
        f"app.promote_user('{user.user_id}', null, null)",
        f"app.demote_user('{user.user_id}', null, null)",
        f"app.lock_user('{user.user_id}', null, null)",
        f"app.delete_user('{user.user_id}', '0', null, null)",
        f"app.unlock_user('{user.user_id}', null, null)",
        'app.create_user(\'{"email": "a@others.test"}\', null, null)',
        f"app.set_user_password('{user.user_id}', 'x', null, null)",
        f"app.send_password_reset('{user.user_id}', null, null)",
        f"app.confirm_user_email('{user.user_id}', null, null)",
        f"app.sign_out_user('{user.user_id}', null, null, null)",
    )
    for call in calls:
        with pytest.raises(asyncpg.PostgresError) as refused:
            async with database.transaction(user) as transaction:
                await transaction.connection.fetchval(f"select {call}")
        assert refused.value.hint == "FORBIDDEN"
    own_key = await owner.fetchval("select email_key from users where id = $1", user.user_id)
    async with database.transaction(user) as transaction:
        find = "select app.user_of_email_key($1)"
        found = await transaction.connection.fetchval(find, own_key)
    assert found is None


async def test_a_user_is_found_by_id_by_any_spelling_of_their_address_and_by_a_part_of_it(
    ask: Ask, admin: Actor, named: tuple[Actor, str]
) -> None:
    user, email = named
    spellings = (
        f"user_{user.user_id}",
        str(user.user_id),
        email.upper(),
        f" {email} ",
        email[2:-5],
    )
    for search in spellings:
        found = (await ask(USERS, {"search": search}, actor=admin))["data"]["users"]
        assert [one["id"] for one in found["nodes"]] == [f"user_{user.user_id}"], search
        assert found["totalCount"] == 1
        (node,) = found["nodes"]
        assert (node["email"], node["isAdmin"], node["credits"]["balance"]) == (email, False, 10)
    for search in ("Ada%@Example", "a_a_", "\\", str(uuid4()), "x" * 10_000):
        found = (await ask(USERS, {"search": search}, actor=admin))["data"]["users"]
        assert found["nodes"] == [], search
    by_name = (await ask(USERS, {"search": "ada %"}, actor=admin))["data"]["users"]
    assert f"user_{user.user_id}" in [one["id"] for one in by_name["nodes"]]


async def test_all_users_are_paged_newest_first(
    ask: Ask, admin: Actor, named: tuple[Actor, str]
) -> None:
    first = (await ask(USERS, {"first": 1}, actor=admin))["data"]["users"]
    assert [one["id"] for one in first["nodes"]] == [f"user_{named[0].user_id}"]
    assert first["pageInfo"]["hasNextPage"]
    rest = {"first": 1, "after": first["pageInfo"]["endCursor"]}
    assert (await ask(USERS, rest, actor=admin))["data"]["users"]["nodes"] != first["nodes"]
    by_id = {"where": {"id": {"eq": f"user_{named[0].user_id}"}}}
    assert (await ask(USERS, by_id, actor=admin))["data"]["users"]["nodes"] == first["nodes"]
    assert (await ask(USERS, {"search": ""}, actor=admin))["data"]["users"]["totalCount"] >= 2


async def test_ids_in_an_admins_lists_lead_to_their_objects_and_to_no_others_things(
    ask: Ask,
    admin: Actor,
    named: tuple[Actor, str],
    database: Database,
    settings: Settings,
    owner: asyncpg.Connection,
) -> None:
    user, email = named
    upload = await ready_upload(database, open_storage(settings), user)
    made = await create_generation(database, user, upload)
    profile = await owner.fetchval(
        "insert into profiles (user_id, analysis) values ($1, '{}') returning id", user.user_id
    )
    found = (await ask(NODE, {"id": f"user_{user.user_id}"}, actor=admin))["data"]["node"]
    assert found == {
        "id": f"user_{user.user_id}",
        "email": email,
        "credits": {"balance": 10},
        "generations": {"nodes": [{"id": f"generation_{made}"}]},
        "profiles": {"nodes": []},
    }
    wanted = {"id": f"generation_{made}"}
    assert (await ask(NODE, wanted, actor=admin))["data"]["node"] == {**wanted, "status": "QUEUED"}
    for hidden in (f"profile_{profile}", f"upload_{upload}"):
        assert (await ask(NODE, {"id": hidden}, actor=admin))["data"]["node"] is None
    viewer = (await ask("{ viewer { generations { nodes { id } } } }", actor=admin))["data"]
    assert viewer["viewer"]["generations"]["nodes"] == []


async def test_credits_are_given_once_and_noted(
    ask: Ask, admin: Actor, named: tuple[Actor, str], owner: asyncpg.Connection
) -> None:
    user, _ = named
    given: dict[str, Any] = {
        "userId": f"user_{user.user_id}",
        "amount": 5,
        "reason": "sorry",
        "idempotencyKey": "k",
    }
    first = (await ask(GRANT, {"input": given}, actor=admin))["data"]["grantCredits"]
    again = (await ask(GRANT, {"input": given}, actor=admin))["data"]["grantCredits"]
    assert first == again
    assert first["errors"] == []
    assert first["viewer"] == {"id": f"user_{admin.user_id}"}
    assert first["user"] == {"id": given["userId"], "credits": {"balance": 15}}
    assert first["transaction"].items() >= {"amount": 5, "type": "ADMIN", "reason": "sorry"}.items()
    noted = await owner.fetch(AUDIT, "grant_credits", f"%user_{admin.user_id}%")
    assert [row["user_id"] for row in noted] == [user.user_id]
    conflict = (await ask(GRANT, {"input": given | {"amount": 6}}, actor=admin))["data"]
    assert conflict["grantCredits"]["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"
    wrong = given | {"amount": 0, "reason": "", "idempotencyKey": ""}
    refused = (await ask(GRANT, {"input": wrong}, actor=admin))["data"]["grantCredits"]
    assert [error["path"][1] for error in refused["errors"]] == [
        "amount",
        "idempotencyKey",
        "reason",
    ]
    for field, value, code in (
        ("userId", f"user_{uuid4()}", "NOT_FOUND"),
        ("userId", "nobody", "NOT_FOUND"),
        ("expiresAt", "2001-01-01T00:00:00Z", "BAD_USER_INPUT"),
    ):
        wrong = given | {field: value, "idempotencyKey": "other"}
        (error,) = (await ask(GRANT, {"input": wrong}, actor=admin))["data"]["grantCredits"][
            "errors"
        ]
        assert (error["code"], error["path"]) == (code, ["input", field])


async def test_a_tool_is_switched_off_and_on(
    ask: Ask, admin: Actor, owner: asyncpg.Connection
) -> None:
    tool = "tool_halloween"
    listed = "{ tools { id } allTools { id isActive } }"
    try:
        for id_ in ("halloween", tool):  # twice: nothing changes the second time
            answer = (await ask(SWITCH, {"id": id_, "on": False}, actor=admin))["data"]
            assert answer["setToolActive"] == {
                "tool": {"id": tool, "isActive": False},
                "errors": [],
            }
        data = (await ask(listed, actor=admin))["data"]
        assert tool not in [one["id"] for one in data["tools"]]
        assert {"id": tool, "isActive": False} in data["allTools"]
        node = (await ask(NODE, {"id": tool}, actor=admin))["data"]["node"]
        assert node == {"id": tool, "isActive": False}
        assert (await ask(NODE, {"id": tool}))["data"]["node"] is None
    finally:
        answer = (await ask(SWITCH, {"id": tool, "on": True}, actor=admin))["data"]["setToolActive"]
    assert answer["tool"]["isActive"] is True
    assert tool in [one["id"] for one in (await ask("{ tools { id } }"))["data"]["tools"]]
    assert len(await owner.fetch(AUDIT, "set_tool_active", f"%{tool}%")) == 2
    refused = (await ask(SWITCH, {"id": "nope", "on": True}, actor=admin))["data"]["setToolActive"]
    assert refused == {"tool": None, "errors": [{"code": "NOT_FOUND", "path": ["input", "toolId"]}]}


async def test_a_notification_is_sent_once(
    ask: Ask, admin: Actor, named: tuple[Actor, str], owner: asyncpg.Connection
) -> None:
    user, _ = named
    given: dict[str, Any] = {
        "userId": f"user_{user.user_id}",
        "type": "OFFER",
        "titleKey": "offer.title",
        "messageKey": "offer.message",
        "data": {"percent": 20},
        "idempotencyKey": "k",
    }
    first = (await ask(SEND, {"input": given}, actor=admin))["data"]["sendNotification"]
    again = (await ask(SEND, {"input": given}, actor=admin))["data"]["sendNotification"]
    assert first == again
    assert first["errors"] == []
    own = "{ viewer { notifications { nodes { id type titleKey messageKey data read } } } }"
    received = (await ask(own, actor=user))["data"]["viewer"]["notifications"]["nodes"]
    assert received == [first["notification"]]
    key = first["notification"]["id"]
    assert len(await owner.fetch(AUDIT, "send_notification", f"%{key}%")) == 1
    wrong = given | {"titleKey": "", "messageKey": "x" * 256, "data": [], "idempotencyKey": ""}
    refused = (await ask(SEND, {"input": wrong}, actor=admin))["data"]["sendNotification"]
    assert [error["path"][1] for error in refused["errors"]] == [
        "titleKey",
        "messageKey",
        "data",
        "idempotencyKey",
    ]
    other = given | {"userId": f"user_{UUID(int=1)}", "idempotencyKey": "n"}
    (error,) = (await ask(SEND, {"input": other}, actor=admin))["data"]["sendNotification"][
        "errors"
    ]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["input", "userId"])
