"""Every table that clients may watch records each change, and every subscription shows its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from operator import itemgetter
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type
from sqlalchemy.dialects.postgresql import JSONB

from db.core.access import Watch
from db.core.actor import NOBODY, Actor
from db.core.errors import DomainError, ErrorCode
from db.core.registry import models
from graph.engine.checks import SchemaError, check_schema
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.execution.subscriptions import Item, Subscriber
from graph.engine.planning.parameters import Request
from graph.engine.planning.rows import table_behind
from graph.engine.specs import (
    Column,
    Computed,
    Live,
    RelatedRow,
    RelatedRows,
    backing_of,
    python_name,
    spec_of,
)
from graph.schema import build_schema
from server.services import Services
from tests.conftest import MakeUser
from tests.db.rows import MAKERS, insert_sql, literal
from tests.graph.live.test_access import make_upload
from tests.rows import gathered, known_id

# Types with ids whose changes nobody can watch, each for a reason.
UNWATCHED = {
    "Alert": "for admins, who are told of changes by e-mail and webhook",
    "AuditEntry": "looked at when somebody opens the page, and it never changes",
    "OrganizationAuditEntry": "looked at when somebody opens the page, and it never changes",
    "AffiliateLink": "changes by what its owner does; its clicks are counted when somebody looks",
    "AffiliateReferral": "its affiliate looks; the sale it belongs to is told",
    "ApiKey": "changes by what its owner does; looked at when somebody opens the page",
    "ApiRequest": "never changes; its developer's program was answered",
    "Boundary": "changes by what its owner does",
    "Consent": "changes by what its owner does",
    "AiRequestLog": "for admins, and it never changes",
    "DataExport": "asked for again until it is ready, and a mail tells of it",
    "Compatibility": "partnersChanged tells when it was worked out",
    "Demographics": "changes by what its owner does",
    "LegalDocument": "loaded by the seed",
    "Passkey": "changes by what its owner does",
    "RecoveryCodes": "changes by what its owner does",
    "PushToken": "changes by what its device does; looked at when somebody opens the page",
    "Session": "looked at when somebody opens the page; one that ends closes its streams",
    "Survey": "loaded by the seed",
    "SurveyProfile": "changes by what its owner does: submitting makes the next version",
    "SurveyRun": "changes by what its owner does; another device reads where to resume",
    "Totp": "changes by what its owner does",
    "UserIdentity": "changes by what its owner does",
    "CreditGrant": "creditsChanged tells of each",
    "DeadJob": "for admins, who look when told to",
    "GenerationLog": "for admins, and it never changes",
    "Activity": "for admins, who change it",
    "ActivityGenerationLog": "for admins, who look when told to",
    "CreditTransaction": "never changes; creditsChanged tells of each",
    "OrganizationInvitation": "its managers look; organizationChanged tells who has joined",
    "OrganizationMember": "organizationChanged tells of each",
    "OrganizationPlan": "loaded with a release",
    "PartnerBlock": "changes by what its owner does",
    "ProviderInvoice": "its payer looks; a notification tells of one that is not paid",
    "ProviderSubscription": "organizationChanged and planChanged tell what comes of it",
    "PlayPlayer": "playSessionChanged tells of each",
    "PlayTurn": "playSessionChanged tells of each",
    "Payment": "orderUpdated tells of what comes of each",
    "Product": "loaded by the seed, or changed by what its seller does",
    "ProductFile": "who sends one is answered when it has come",
    "ProductPicture": "changes by what its product's seller does",
    "ProductVersion": "never changes; whoever wants the newest downloads it",
    "CreatorProfile": "changes by what its owner does",
    "DiscountCode": "its seller looks; a notification tells of each sale",
    "Payout": "its seller looks; the bank tells them",
    "Review": "changes by what its author does; readers ask for a page",
    "Sale": "orderUpdated tells its buyer, a notification its seller",
    "Store": "changes by what its owner does, who asks when they are back from a provider",
    "CampaignContact": "campaignUpdated tells how far their calls are",
    "ContactList": "who sends one is answered when it has come",
    "RefusedRow": "never changes; campaignUpdated tells how many there are",
    "Workflow": "its editor asks; runUpdated tells of its calls",
    "Developer": "changes by what its owner does; every answer under /v1/ tells what is left",
    "DeveloperKey": "changes by what its owner does; one that ends is dead everywhere",
    "DeveloperTier": "loaded with a release",
    "ObfuscationUse": "never changes; its developer's program was answered",
    "WhitelistSystem": "whitelistChanged tells of who is on it; it changes by what its owner does",
    "WorkflowVersion": "never changes but for which is current, which its editor asks for",
    "UserProfile": "the viewer's own; nothing else changes it",
    "SyncConflict": "a sync tells the device that met it; others look",
    "Referral": "creditsChanged tells of what comes of it",
    "SubscriptionTransaction": "planChanged and orderUpdated tell of what comes of each",
    "ProviderCircuit": "for admins, who look when told to",
    "WebhookEvent": "for admins, whom a notification tells to look",
    "User": "the viewer's own; nothing else changes it",
}
# Columns of JSON that are copied into events, each for a reason: it cannot become large.
COPIED_JSON = {
    ("broadcasts", "data"): "a few words, written by an admin",
    ("generations", "parameters"): "8 KiB at most, and mostly a colour",
    ("generations", "result"): "an analysis's figures, from a provider of ours",
    ("campaigns", "windows"): "21 at most, of a few words each",
    ("notifications", "data"): "a few words, written by functions",
    ("tools", "parameters_schema"): "loaded by the seed",
    ("workflow_runs", "usage"): "a few figures, from a provider",
    ("whitelist_users", "details"): "4 KiB at most, written by a bot",
}
OF_ORGANIZATIONS = {"campaigns", "workflow_runs"}
OF_SERVERS = {"bot_command_permissions", "bot_products", "bot_whitelisted_users"}
# The rows of the user's that are there first, each after the one it hangs on.
ABOVE_CALLS = (
    "organizations",
    "organization_members",
    "workflows",
    "workflow_versions",
    "contact_lists",
)
ABOVE = dict.fromkeys(OF_ORGANIZATIONS, ABOVE_CALLS) | {
    "bot_command_permissions": ("discord_servers",),
    "bot_products": ("discord_servers",),
    "bot_whitelisted_users": ("discord_servers", "bot_products"),
    "licences": ("developer_products",),
    "whitelist_entries": ("developer_products",),
    "whitelist_users": ("whitelist_systems",),
}
WATCHED = {
    model.__tablename__: model.watch for model in models().values() if model.watch is not None
}
EVENTS = """
select topic, change, user_id, entity_id, snapshot from events
where xid = pg_current_xact_id() order by id
"""


def subscriptions() -> dict[str, Live]:
    root = build_schema()._schema.subscription_type
    assert root is not None
    found = {name: spec_of(field) for name, field in root.fields.items()}
    return {name: spec for name, spec in found.items() if isinstance(spec, Live)}


def test_every_watched_table_has_a_subscription() -> None:
    recorded = {w.topic for w in WATCHED.values()} | {m.joint_topic for m in models().values()}
    assert {spec.topic for spec in subscriptions().values()} == recorded - {None}


def test_every_type_with_ids_is_watched_or_has_a_reason_not_to_be() -> None:
    types = build_schema()._schema.type_map
    backings = {
        name: backing
        for name, found in types.items()
        if isinstance(found, GraphQLObjectType) and (backing := backing_of(found)) is not None
    }
    with_ids = {name for name, backing in backings.items() if backing.prefix}
    watched = {name for name in with_ids if backings[name].model.watch is not None}
    watched |= {name for name in with_ids if backings[name].model.joint_topic is not None}
    assert with_ids - watched == set(UNWATCHED)


def test_json_stays_out_of_events_or_has_a_reason_to_be_copied() -> None:
    copied = {
        (table, column.name)
        for table, watch in WATCHED.items()
        for column in models()[table].__table__.columns
        if isinstance(column.type, JSONB)
        and column.name not in (*watch.deferred, *models()[table].access.hidden)
    }
    assert copied == set(COPIED_JSON)


def test_a_subscription_to_what_nobody_records_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models()["profiles"], "watch", None)
    with pytest.raises(SchemaError, match="profilesChanged watches"):
        check_schema(build_schema()._schema)


@pytest.fixture
async def rolled_back(
    owner: asyncpg.Connection,
) -> AsyncIterator[asyncpg.Connection]:
    """The tables' owner in a transaction that leaves nothing behind."""
    await owner.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=orjson.dumps, decoder=orjson.loads
    )
    transaction = owner.transaction()
    await transaction.start()
    yield owner
    await transaction.rollback()


async def make_row(owner: asyncpg.Connection, table: str, user: Actor) -> tuple[str, str]:
    """A new row and the condition that finds it."""
    assert user.user_id
    key = models()[table].__table__.primary_key.columns.keys()[0]  # type: ignore[attr-defined]
    if table == "wallets":  # the account came with one
        return key, f"user_id = '{user.user_id}'"
    if table == "switches":  # a migration made the only one
        return key, "id = 1"
    row = MAKERS[f"public.{table}"](user.user_id, uuid4())
    if table in {"chat_messages", "coaching_sessions", "profile_analyses"}:
        profile = MAKERS["public.profiles"](user.user_id, row["profile_id"])
        await owner.execute(insert_sql("public.profiles", profile))
    if table == "generations":
        upload = MAKERS["public.uploads"](user.user_id, row["upload_id"])
        await owner.execute(insert_sql("public.uploads", upload))
        row["tool_id"] = await owner.fetchval("select id from tools limit 1")
    if table == "orders":
        row["product_id"] = await owner.fetchval(
            "select id from products where credits is not null limit 1"
        )
    for above in ABOVE.get(table, ()):
        maker = MAKERS[f"public.{above}"]
        above_row = maker(user.user_id, known_id(user.user_id, f"public.{above}"))
        await owner.execute(insert_sql(f"public.{above}", above_row))
    if table == "partners":
        await owner.execute(
            "insert into users (id) values ($1) on conflict do nothing", row["partner_id"]
        )
    if table == "licences":
        # An owner and a seller are told of each, which would be one user here.
        row |= {"owner_id": None, "product_id": None}
        row["developer_product_id"] = known_id(user.user_id, "public.developer_products")
    if table == "plan_subscriptions":
        row["plan_id"] = await owner.fetchval("select id from plans limit 1")
    made = await owner.fetchval(f"{insert_sql(f'public.{table}', row)} returning {key}")
    return key, f"{key} = {literal(made)}"


CHANGED: dict[str, str] = gathered("CHANGES")


@pytest.mark.parametrize(("table", "watch"), sorted(WATCHED.items(), key=itemgetter(0)))
async def test_every_declared_change_of_a_row_records_an_event_and_no_other_does(
    rolled_back: asyncpg.Connection, make_user: MakeUser, table: str, watch: Watch
) -> None:
    owner = rolled_back
    user = await make_user()
    key, found = await make_row(owner, table, user)
    for change in (CHANGED[table], f"{key} = {key}"):  # the second changes nothing
        assert await owner.execute(f"update {table} set {change} where {found}") == "UPDATE 1"
    if table != "wallets":  # a wallet's grants hold it
        await owner.execute(f"delete from {table} where {found}")
    recorded = [e for e in await owner.fetch(EVENTS) if e["topic"] == watch.topic]
    expected = [c.upper() for c in watch.changes if (table, c) != ("wallets", "insert")]
    assert [event["change"] for event in recorded] == expected
    left_out = {*models()[table].access.hidden, *watch.deferred}
    columns = {c.name for c in models()[table].__table__.columns} - left_out
    for event in recorded:
        is_shared = table in {"tools", "organizations", "play_sessions", "switches"}
        is_shared |= table in OF_ORGANIZATIONS
        assert event["user_id"] == (None if is_shared else user.user_id)
        assert event["snapshot"].keys() == columns


async def test_deleting_an_account_leaves_no_snapshot_and_no_event_behind(
    rolled_back: asyncpg.Connection, make_user: MakeUser
) -> None:
    user = await make_user(credits=0)
    _, found = await make_row(rolled_back, "profiles", user)
    assert len(await rolled_back.fetch(EVENTS)) >= 1
    await rolled_back.execute("delete from users where id = $1", user.user_id)
    assert not await rolled_back.fetch(f"select from profiles where {found}")
    left = await rolled_back.fetch("select from events where user_id = $1", user.user_id)
    assert left == []


class Stream:
    """The items of one subscription, as its client gets them."""

    def __init__(
        self, engine: Engine, services: Services, actor: Actor, text: str, after: str | None = None
    ) -> None:
        subscriber = Subscriber(engine, services.hub.subscribe, lambda: actor)
        self._items = subscriber.stream(text, {}, None, after)

    async def item(self) -> tuple[dict[str, Any], Item]:
        async with asyncio.timeout(10):
            item = await anext(self._items)
        ((_, payload),) = orjson.loads(item.body)["data"].items()
        return payload, item

    async def close(self) -> None:
        await self._items.aclose()


async def test_profiles_are_watched_from_their_making_to_their_deletion(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, stranger = await make_user(), await make_user()
    text = "subscription { profilesChanged { cursor profile { id name updatedAt } deletedId } }"
    stream, foreign = (Stream(engine, services, one, text) for one in (user, stranger))
    first, _ = await stream.item()
    await foreign.item()
    assert (first["profile"], first["deletedId"]) == (None, None)
    made = await owner.fetchval(
        "insert into profiles (user_id, name, analysis) values ($1, 'Ada', '{}') returning id",
        user.user_id,
    )
    await owner.execute("update profiles set name = 'Eve' where id = $1", made)
    await owner.execute("delete from profiles where id = $1", made)
    services.wake()
    items = [await stream.item() for _ in range(3)]
    shown = [(payload["profile"] or {}).get("name") for payload, _ in items]
    assert shown == ["Ada", "Eve", None]
    assert [payload["deletedId"] for payload, _ in items] == [None, None, f"profile_{made}"]
    resumed = Stream(engine, services, user, text, after=items[0][1].cursor)
    assert [await resumed.item() for _ in range(2)] == items[1:]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(foreign._items)
    for each in (stream, resumed):
        await each.close()


async def test_what_is_too_large_for_events_is_read_from_the_row(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, stranger = await make_user(), await make_user()
    small = "subscription { profilesChanged { profile { name } deletedId } }"
    text = small.replace("name", "name picture: thumbnail ...Rest") + (
        " fragment Rest on Profile { analysis chatHistory }"
    )
    lean, whole = (Stream(engine, services, user, one) for one in (small, text))
    foreign = Stream(engine, services, stranger, text)
    for stream in (lean, whole, foreign):
        await stream.item()
    made = await owner.fetchval(
        "insert into profiles (user_id, name, thumbnail, analysis)"
        """ values ($1, 'Ada', repeat('x', 500000), '{"a": 1}') returning id""",
        user.user_id,
    )
    services.wake()
    shown, _ = await whole.item()
    assert shown["profile"] == {
        "name": "Ada",
        "picture": "x" * 500_000,
        "analysis": {"a": 1},
        "chatHistory": [],
    }
    # To change nothing but what is left out of events is a change all the same.
    await owner.execute("""update profiles set chat_history = '["hi"]' where id = $1""", made)
    services.wake()
    assert (await whole.item())[0]["profile"]["chatHistory"] == ["hi"]
    assert [(await lean.item())[0]["profile"] for _ in range(2)] == [{"name": "Ada"}] * 2
    assert await foreign_gets_nothing(foreign)
    sizes = await owner.fetch(
        "select octet_length(snapshot::text) as size from events where entity_id = $1", str(made)
    )
    assert [row["size"] < 1000 for row in sizes] == [True, True]
    # Gone before it is sent: it is told as deleted, in both ways.
    async with owner.transaction():
        await owner.execute("update profiles set name = 'Eve' where id = $1", made)
        await owner.execute("delete from profiles where id = $1", made)
    services.wake()
    assert [(await lean.item())[0] for _ in range(2)] == [
        {"profile": {"name": "Eve"}, "deletedId": None},
        {"profile": None, "deletedId": f"profile_{made}"},
    ]
    gone = {"profile": None, "deletedId": f"profile_{made}"}
    assert [(await whole.item())[0] for _ in range(2)] == [gone, gone]
    for stream in (lean, whole):
        await stream.close()


async def foreign_gets_nothing(stream: Stream) -> bool:
    try:
        async with asyncio.timeout(0.2):
            await anext(stream._items)
    except TimeoutError:
        return True
    return False


async def test_everybody_may_watch_the_tools_and_a_hidden_one_is_removed(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    text = "subscription { toolsChanged { cursor tool { id nameKey } removedId } }"
    everybody = (NOBODY, await make_user(), await make_user())
    streams = [Stream(engine, services, actor, text) for actor in everybody]
    for stream in streams:
        assert (await stream.item())[0]["tool"] is None
    try:
        for active in ("false", "true"):
            await owner.execute(f"update tools set is_active = {active} where id = 'hair-color'")
        services.wake()
        shown = [[await stream.item() for _ in range(2)] for stream in streams]
    finally:
        await owner.execute("update tools set is_active = true where id = 'hair-color'")
    (hidden, _), (back, _) = shown[0]
    assert (hidden["tool"], hidden["removedId"]) == (None, "tool_hair-color")
    assert (back["tool"]["id"], back["removedId"]) == ("tool_hair-color", None)
    assert shown[0] == shown[1] == shown[2]
    # The two that are signed in share what was made once: it is the same object.
    assert shown[1][1][1].body is shown[2][1][1].body
    for stream in streams:
        await stream.close()


async def test_an_upload_is_watched_until_its_photo_is_there(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    made = await owner.fetchval(
        "insert into uploads (user_id, content_type, declared_size_bytes, expires_at)"
        " values ($1, 'image/png', 10, now()) returning id",
        user.user_id,
    )
    text = f'subscription {{ uploadUpdated(id: "upload_{made}") {{ upload {{ status }} }} }}'
    stream = Stream(engine, services, user, text)
    statuses = [(await stream.item())[0]["upload"]["status"]]
    await owner.execute(
        "update uploads set status = 'REJECTED', rejected_code = 'EMPTY_FILE' where id = $1", made
    )
    services.wake()
    statuses.append((await stream.item())[0]["upload"]["status"])
    assert statuses == ["AWAITING", "REJECTED"]
    await stream.close()


@pytest.mark.parametrize("selection", ["cursor", "__typename", "cursor upload { id }"])
async def test_what_is_not_there_is_not_watched_whatever_is_asked_of_it(
    engine: Engine,
    services: Services,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    selection: str,
) -> None:
    user, stranger = await make_user(), await make_user()
    made = await make_upload(owner, user)
    for actor, upload in ((stranger, made), (user, uuid4())):
        text = f'subscription {{ uploadUpdated(id: "upload_{upload}") {{ {selection} }} }}'
        stream = Stream(engine, services, actor, text)
        with pytest.raises(DomainError) as refusal:
            await stream.item()
        assert refusal.value.code is ErrorCode.NOT_FOUND
        await stream.close()
    stream = Stream(
        engine,
        services,
        user,
        f'subscription {{ uploadUpdated(id: "upload_{made}") {{ {selection} }} }}',
    )
    assert (await stream.item())[0]
    await stream.close()


# Made by functions that read other tables.
COUNTED = {"OrganizationLimits", "OrganizationUsage", "OrganizationWithinLimits"}
COUNTED_FIELDS = {("DeveloperProduct", "entryCount")}


def selection_of(graph_type: GraphQLObjectType) -> str:
    """All that a snapshot can answer.

    Every field but edges, large ones, those with arguments and what is counted elsewhere.
    """
    backing = backing_of(graph_type)
    deferred = backing.model.watch.deferred if backing and backing.model.watch else ()
    parts = ["__typename"]
    for name, field in graph_type.fields.items():
        named = get_named_type(field.type)
        spec = spec_of(field)
        if field.args or isinstance(spec, RelatedRow | RelatedRows) or named.name in COUNTED:
            continue
        if (graph_type.name, name) in COUNTED_FIELDS:
            continue
        if isinstance(spec, Computed) and spec.present is not None:
            continue
        if isinstance(spec, Computed) and {*spec.columns} & {*deferred}:
            continue
        if isinstance(spec, Column) and (spec.name or python_name(field)) in deferred:
            continue
        below = selection_of(named) if isinstance(named, GraphQLObjectType) else ""
        parts.append(f"{name} {below}")
    return f"{{ {' '.join(parts)} }}"


@pytest.mark.parametrize("name", subscriptions())
async def test_what_is_made_from_a_snapshot_is_what_sql_would_give(
    engine: Engine,
    services: Services,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    name: str,
) -> None:
    spec = subscriptions()[name]
    root = build_schema()._schema.subscription_type
    assert root is not None
    payload = get_named_type(root.fields[name].type)
    row_type = get_named_type(payload.fields[spec.field].type)  # type: ignore[union-attr]
    assert isinstance(row_type, GraphQLObjectType)
    argument = f'({spec.entity_argument}: "x")' if spec.entity_argument else ""
    text = f"subscription {{ {name}{argument} {{ {spec.field} {selection_of(row_type)} }} }}"
    operation = engine.documents.operation(text, None)
    variables = coerce_variables(engine.schema, operation, {})
    plan = engine.subscription_plan(operation, variables)
    assert plan.from_snapshot is not None, "this type could be made from its snapshot"
    user = await make_user()
    table = table_behind(plan.row_type).table.name
    transaction = owner.transaction()
    await transaction.start()
    try:
        key, found = await make_row(owner, table, user)
        row = await owner.fetchval(f"select to_jsonb(t)::text from {table} t where {found}")
        if table == "organizations":  # only members read it
            await owner.execute(
                "insert into organization_members (organization_id, user_id, role)"
                f" select {key}, $1, 'OWNER' from organizations where {found}",
                user.user_id,
            )
            await transaction.commit()
        if table in OF_ORGANIZATIONS | OF_SERVERS:  # the rows above say who reads it
            await transaction.commit()
        if table == "play_sessions":  # only players read it
            await owner.execute(
                "insert into play_players (session_id, user_id, seat, name, status)"
                f" select {key}, $1, 1, 'Ada', 'JOINED' from play_sessions where {found}",
                user.user_id,
            )
            await transaction.commit()
        snapshot = orjson.loads(row) | ({"is_active": True} if table == "tools" else {})
    finally:
        if owner.is_in_transaction():
            await transaction.rollback()
    request = Request(variables, user.user_id, snapshot=snapshot)
    by_sql = orjson.loads(await engine.read(plan.event, request, user))["rows"]
    assert {key: read(snapshot) for key, read in plan.from_snapshot.items()} == by_sql
