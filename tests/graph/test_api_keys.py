"""API keys act as their user, within their scopes, over every transport, and die at once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest
from graphql import OperationType
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from auth.api_keys import ApiKeys, NewSecret
from auth.last_seen import LastSeen
from db.accounts.assurance import Assurance, SignInMethod
from db.api_keys.operations import note_keys
from db.core.actor import SERVICE, Actor
from db.core.pool import Database
from db.emails.rules import check_parameters
from db.files.storage import open_storage
from graph.engine.specs import Mutate, spec_of
from graph.live.bus import WakeBus
from graph.schema import build_schema
from server.app import Server
from server.serving import listen, server_config
from settings import Settings
from tests.conftest import MakeUser
from tests.graph.live.websocket_server import closing, hear, run_uvicorn, say

from .over_http import assert_refused, codes

SCHEMA = build_schema()._schema
CREATE = """mutation($name: String!, $scopes: [ApiKeyScope!]!, $until: DateTime) {
  answer: createApiKey(input: {name: $name, scopes: $scopes, expiresAt: $until}) {
    secret apiKey { id name prefix scopes expiresAt lastUsedAt requestsPerMinute }
    errors { code message path } } }"""
ROTATE = """mutation($id: ID!, $hours: Int!) {
  answer: rotateApiKey(input: {id: $id, overlapHours: $hours}) {
    secret apiKey { id prefix previousPrefix previousExpiresAt rotatedAt } errors { code path } } }"""
REVOKE = """mutation($id: ID!) { answer: revokeApiKey(input: {id: $id}) {
  apiKey { id revokedAt } errors { code } } }"""
LIST = "{ viewer { apiKeys { nodes { id name prefix scopes lastUsedAt } } } }"
WHO = "{ viewer { id email } }"
SPEND = """mutation { spendCredits(input: {amount: 1, idempotencyKey: "k"}) {
  credits { balance } errors { code } } }"""
WATCH = "subscription { creditsChanged { credits { balance } } }"
# Everything that a key with WRITE may do; what is not here takes a session.
OPEN = {
    "addProductPicture",
    "analyzeProfile",
    "archiveProduct",
    "banLicence",
    "cancelChatReply",
    "cancelGeneration",
    "configureDiscordServer",
    "createAffiliateLink",
    "createCoachingSession",
    "createDeveloperProduct",
    "createDiscountCode",
    "createGeneration",
    "createLicences",
    "createProduct",
    "createProductFile",
    "createProductVersion",
    "createProfile",
    "createStore",
    "createUpload",
    "createWhitelistSystem",
    "deleteCoachingSession",
    "deleteDeveloperProduct",
    "deleteGeneration",
    "deleteNotification",
    "deleteProductFile",
    "deleteProfile",
    "deleteUpload",
    "deleteWhitelistSystem",
    "extendLicence",
    "markAllNotificationsRead",
    "markNotificationRead",
    "proveDeveloperProduct",
    "publishProduct",
    "recordObfuscation",
    "redeemBotKey",
    "redeemLicence",
    "removeBotCommandPermission",
    "removeBotProduct",
    "removeProductPicture",
    "removeStorePicture",
    "removeWhitelistEntries",
    "resolveConflict",
    "saveCreatorProfile",
    "sendChatMessage",
    "setStorePicture",
    "setWhitelistEntry",
    "spendCredits",
    "syncBotWhitelist",
    "syncProfiles",
    "syncWhitelist",
    "transferLicence",
    "updateCoachingSession",
    "updateDiscountCode",
    "updateProduct",
    "updateProfile",
    "updateStore",
    "updateUserProfile",
    "verifyCustomDomain",
    "verifyLicence",
}
# The same of an organization's key: nothing about people, money or other keys.
OPEN_TO_BOTS = {
    "configureDiscordServer",
    "leaveDiscordServers",
    "linkDiscordServer",
    "redeemBotKey",
    "registerDiscordServers",
    "removeBotCommandPermission",
    "removeBotProduct",
    "syncBotWhitelist",
}
OPEN_TO_ORGANIZATIONS = {
    "archiveWorkflow",
    "cancelCampaign",
    "createCampaign",
    "createContactList",
    "createWorkflow",
    "pauseCampaign",
    "publishWorkflow",
    "restoreWorkflow",
    "resumeCampaign",
    "startCampaign",
    "startRun",
    "updateWorkflow",
    "validateWorkflow",
}


@dataclass
class Node:
    """A server on a port, and asking it."""

    server: Server
    http: httpx.AsyncClient
    port: int

    def token(self, actor: Actor) -> str:
        """A session's token."""
        assert actor.user_id
        issued = self.server.services.tokens.issue(
            actor.user_id,
            uuid4(),
            is_anonymous=False,
            is_admin=False,
            assurance=Assurance((SignInMethod.PASSWORD,), datetime.now(UTC)),
        )
        return issued.token

    async def post(self, text: str, bearer: str, **variables: Any) -> httpx.Response:
        body = {"query": text, "variables": variables}
        headers = {"authorization": f"Bearer {bearer}"}
        return await self.http.post("/graphql", json=body, headers=headers)

    async def ask(self, text: str, bearer: str, **variables: Any) -> Any:
        answer = (await self.post(text, bearer, **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"].get("answer", answer["data"])

    async def key(self, actor: Actor, *scopes: str, until: datetime | None = None) -> Any:
        """A key's secret and what is shown of it."""
        given = {"scopes": scopes or ("READ",), "until": until.isoformat() if until else None}
        made = await self.ask(CREATE, self.token(actor), name="A bot", **given)
        assert made["errors"] == []
        return made

    def connect(self) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            proxy=None,
        )


@pytest.fixture
async def node(database: Database, settings: Settings) -> AsyncIterator[Node]:
    server = Server(settings, database, open_storage(settings), WakeBus.memory())
    await server.start()
    async with (
        run_uvicorn(server_config(server, settings), listen("127.0.0.1", 0, "{}")) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
    ):
        yield Node(server, http, port)
    await server.stop()


async def initialise(client: ClientConnection, bearer: str) -> None:
    payload = {"Authorization": f"Bearer {bearer}"}
    await say(client, type="connection_init", payload=payload)
    assert await hear(client) == {"type": "connection_ack"}


async def test_a_key_acts_as_its_user_and_is_listed_without_its_secret(
    node: Node, make_user: MakeUser
) -> None:
    user = await make_user()
    made = await node.key(user, "WRITE", "READ")
    secret, shown = made["secret"], made["apiKey"]
    assert secret.startswith(f"tgk_{shown['prefix']}")
    assert (len(shown["prefix"]), shown["scopes"]) == (8, ["READ", "WRITE"])
    assert (shown["lastUsedAt"], shown["requestsPerMinute"]) == (None, 600)
    assert (await node.ask(WHO, secret))["viewer"]["id"] == f"user_{user.user_id}"
    assert (await node.ask(SPEND, secret))["spendCredits"]["credits"] == {"balance": 9}
    answer = await node.post(LIST, node.token(user))
    (listed,) = answer.json()["data"]["viewer"]["apiKeys"]["nodes"]
    assert listed["id"] == shown["id"]
    assert secret not in answer.text
    other = await make_user()
    assert (await node.ask(LIST, node.token(other)))["viewer"]["apiKeys"]["nodes"] == []
    for text, given in ((REVOKE, {}), (ROTATE, {"hours": 1})):
        refused = await node.ask(text, node.token(other), id=shown["id"], **given)
        assert [error["code"] for error in refused["errors"]] == ["NOT_FOUND"]
    assert (await node.ask(WHO, secret))["viewer"]


LISTS = "profiles uploads generations notifications creditTransactions orders payments"


async def test_a_mutation_answers_with_the_viewer_to_a_key_that_may_read(
    node: Node, make_user: MakeUser
) -> None:
    user = await make_user()
    lists = " ".join(f"{name} {{ nodes {{ id }} }}" for name in LISTS.split())
    shown = f"profile {{ id }} viewer {{ id credits {{ balance }} {lists} }} errors {{ code }}"
    create = f'mutation {{ createProfile(input: {{name: "x", analysis: {{}}}}) {{ {shown} }} }}'
    both = (await node.key(user, "READ", "WRITE"))["secret"]
    made = (await node.ask(create, both))["createProfile"]
    assert made["errors"] == []
    assert made["viewer"]["profiles"]["nodes"] == [{"id": made["profile"]["id"]}]
    writer = (await node.key(user, "WRITE"))["secret"]
    fragment = "fragment P on ProfilePayload { viewer { email } }"
    for text in (
        create,
        'mutation { deleteProfile(input: {id: "x"}) { viewer { email } } }',
        'mutation { createProfile(input: {name: "x", analysis: {}}) { ...P } } ' + fragment,
    ):
        assert codes(await node.post(text, writer)) == ["FORBIDDEN"]
    viewer = (await node.ask("{ viewer { profiles { totalCount } } }", both))["viewer"]
    assert viewer == {"profiles": {"totalCount": 1}}
    assert (await node.ask(SPEND, writer))["spendCredits"]["credits"] == {"balance": 9}


async def test_sockets_and_streams_take_keys(node: Node, make_user: MakeUser) -> None:
    user = await make_user()
    secret = (await node.key(user))["secret"]
    async with node.connect() as client:
        await initialise(client, secret)
        await say(client, id="1", type="subscribe", payload={"query": WATCH})
        shown = await hear(client)
        assert shown["payload"]["data"]["creditsChanged"]["credits"] == {"balance": 10}
        await node.ask(SPEND, node.token(user))
        shown = await hear(client)
        assert shown["payload"]["data"]["creditsChanged"]["credits"] == {"balance": 9}
        await say(client, id="2", type="subscribe", payload={"query": SPEND})
        refused = await hear(client)
        assert refused["payload"][0]["extensions"] == {"code": "FORBIDDEN"}
    headers = {"authorization": f"Bearer {secret}", "accept": "text/event-stream"}
    answer = await node.http.post("/graphql", json={"query": WHO}, headers=headers)
    assert f"user_{user.user_id}" in answer.text
    for bad in (secret[:-1] + "x", "tgk_", NewSecret.make().text):
        async with node.connect() as client:
            payload = {"Authorization": f"Bearer {bad}"}
            await say(client, type="connection_init", payload=payload)
            assert (await closing(client))[0] == 4403


async def test_a_scope_is_needed_and_no_scope_opens_accounts(
    node: Node, make_user: MakeUser
) -> None:
    user = await make_user()
    reads = (await node.key(user, "READ"))["secret"]
    writes = (await node.key(user, "WRITE"))["secret"]
    both = (await node.key(user, "READ", "WRITE"))["secret"]
    assert codes(await node.post(SPEND, reads)) == ["FORBIDDEN"]
    assert codes(await node.post(WHO, writes)) == ["FORBIDDEN"]
    assert (await node.ask("{ __typename tools { id } }", reads))["tools"]
    assert codes(await node.post("{ allTools { id } }", both)) == ["FORBIDDEN"]
    hidden = "mutation { ...F } fragment F on Mutation { signOut { errors { code } } }"
    mixed = SPEND.replace("spendCredits", "a: signOut { signedOut } spendCredits")
    for text in (hidden, mixed, "mutation { signOutEverywhere { errors { code } } }"):
        assert codes(await node.post(text, both)) == ["FORBIDDEN"]
    assert (await node.ask(SPEND, both))["spendCredits"]["credits"] == {"balance": 9}


def test_only_what_is_listed_is_open_to_keys() -> None:
    root = SCHEMA.get_root_type(OperationType.MUTATION)
    assert root is not None
    specs = {name: spec_of(field) for name, field in root.fields.items()}
    mutations = {name: spec for name, spec in specs.items() if isinstance(spec, Mutate)}
    assert {name for name, spec in mutations.items() if spec.for_api_keys} == OPEN
    for_organizations = {name for name, spec in mutations.items() if spec.for_organization_keys}
    assert for_organizations == OPEN_TO_ORGANIZATIONS
    assert not [one for one in OPEN | for_organizations if mutations[one].for_admins]


def test_only_what_is_listed_is_open_to_bots() -> None:
    root = SCHEMA.get_root_type(OperationType.MUTATION)
    assert root is not None
    specs = {name: spec_of(field) for name, field in root.fields.items()}
    open_to_bots = {n for n, spec in specs.items() if isinstance(spec, Mutate) and spec.for_bots}
    assert open_to_bots == OPEN_TO_BOTS


async def test_a_key_of_an_admin_sees_and_does_nothing_of_theirs(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    admin, other = await make_user(), await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", admin.user_id)
    secret = (await node.key(admin, "READ", "WRITE"))["secret"]
    look = f'{{ node(id: "user_{other.user_id}") {{ id }} viewer {{ id }} }}'
    assert (await node.ask(look, node.token(admin)))["node"] is not None
    seen = await node.ask(look, secret)
    assert (seen["node"], seen["viewer"]["id"]) == (None, f"user_{admin.user_id}")


@pytest.mark.parametrize(
    "end",
    [
        "update api_keys set revoked_at = now() where user_id = $1",
        "delete from api_keys where user_id = $1",
        "update users set status = 'locked' where id = $1",
        "update users set role = 'user' where id = $1",
        "update api_keys set expires_at = now() where user_id = $1",
    ],
)
async def test_a_key_dies_with_what_it_stands_for(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection, end: str
) -> None:
    user = await make_user()
    await owner.execute("update users set role = 'admin' where id = $1", user.user_id)
    # Used before by this process, which remembers it, except where only the clock says that it ends.
    secret = (await node.key(user))["secret"]
    if "expires_at" not in end:
        assert (await node.ask(WHO, secret))["viewer"]
    await owner.execute(end, user.user_id)
    await node.server.services.revocations.look()
    assert_refused(await node.post(WHO, secret), 401, "UNAUTHENTICATED")


async def test_a_key_ends_on_time_though_it_is_remembered(node: Node, make_user: MakeUser) -> None:
    user = await make_user()
    soon = datetime.now(UTC) + timedelta(seconds=60)
    secret = (await node.key(user, until=soon))["secret"]
    api_keys = node.server.services.of(ApiKeys.of)
    assert (await node.ask(WHO, secret))["viewer"]
    api_keys._clock = lambda: soon.timestamp() + 1
    assert_refused(await node.post(WHO, secret), 401, "UNAUTHENTICATED")


async def test_a_rotated_key_has_two_secrets_for_a_while(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    made = await node.key(user)
    first, key_id = made["secret"], made["apiKey"]["id"]

    async def rotate(hours: int) -> Any:
        return await node.ask(ROTATE, node.token(user), id=key_id, hours=hours)

    async def status(secret: str) -> int:
        return (await node.post(WHO, secret)).status_code

    second = await rotate(1)
    assert second["apiKey"]["previousPrefix"] == made["apiKey"]["prefix"]
    assert [await status(s) for s in (first, second["secret"])] == [200, 200]
    third = await rotate(1)
    await node.server.services.revocations.look()
    secrets = (first, second["secret"], third["secret"])
    assert [await status(secret) for secret in secrets] == [401, 200, 200]
    await owner.execute(
        "update api_keys set previous_expires_at = now() where user_id = $1", user.user_id
    )
    node.server.services.of(ApiKeys.of)._known.clear()
    assert [await status(secret) for secret in secrets] == [401, 401, 200]
    fourth = await rotate(0)
    await node.server.services.revocations.look()
    assert fourth["apiKey"]["previousPrefix"] is None
    assert [await status(s) for s in (third["secret"], fourth["secret"])] == [401, 200]
    for hours in (-1, 169):
        assert (await rotate(hours))["errors"] == [
            {"code": "BAD_USER_INPUT", "path": ["input", "overlapHours"]}
        ]
    ended = await node.ask(REVOKE, node.token(user), id=key_id)
    assert ended["apiKey"]["revokedAt"]
    assert await status(fourth["secret"]) == 401
    assert [error["code"] for error in (await rotate(1))["errors"]] == ["NOT_FOUND"]
    assert (await node.ask(REVOKE, node.token(user), id=key_id)) == ended


async def test_who_lost_the_answer_asks_again_with_the_same_idempotency_key(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user, other = await make_user(), await make_user()
    token = node.token(user)

    async def create(bearer: str) -> Any:
        create = """mutation { answer: createApiKey(input: {
          name: "A bot", scopes: [READ], idempotencyKey: "once"}) {
          secret apiKey { id prefix } errors { code } } }"""
        return await node.ask(create, bearer)

    async def rotate(key_id: str, idempotency_key: str) -> Any:
        rotate = """mutation($id: ID!, $key: String!) {
          answer: rotateApiKey(input: {id: $id, idempotencyKey: $key}) {
            secret apiKey { id prefix } errors { code path } } }"""
        return await node.ask(rotate, token, id=key_id, key=idempotency_key)

    first = await create(token)
    assert await create(token) == first
    assert (await create(node.token(other)))["secret"] != first["secret"]
    key_id = first["apiKey"]["id"]
    second = await rotate(key_id, "twice")
    assert await rotate(key_id, "twice") == second
    for secret in (first["secret"], second["secret"]):
        assert (await node.post(WHO, secret)).status_code == 200
    # Its secret has ended: it can't be given again.
    await rotate(key_id, "and once more")
    assert (await create(token))["errors"] == [{"code": "IDEMPOTENCY_CONFLICT"}]
    count = "select count(*) from api_keys where user_id = $1"
    assert await owner.fetchval(count, user.user_id) == 1


async def test_its_user_is_told_of_a_new_key(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    await owner.execute("update users set email_confirmed_at = now() where id = $1", user.user_id)
    await node.key(user)
    (mail,) = await owner.fetch("select * from emails where user_id = $1", user.user_id)
    assert (mail["template"], mail["recipient"]) == (
        "api_key_created",
        f"{user.user_id}@example.test",
    )
    told = {"name": "A bot", "device": "python-httpx", "address": "127.0.0.0/24"}
    assert orjson.loads(mail["parameters"]) == told
    check_parameters(mail["template"], told)


async def test_what_is_wrong_with_a_new_key_is_told_at_once(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    token, past = node.token(user), "2020-01-01T00:00:00Z"
    wrong = await node.ask(CREATE, token, name=" ", scopes=[], until=past)
    assert [error["path"][1] for error in wrong["errors"]] == ["name", "scopes", "expiresAt"]
    assert (wrong["secret"], wrong["apiKey"]) == (None, None)
    await owner.execute("update users set is_anonymous = true where id = $1", user.user_id)
    assert codes(await node.post(CREATE, token, name="x", scopes=["READ"])) == ["FORBIDDEN"]


async def test_a_key_makes_so_many_requests_a_minute(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    secret, other = [(await node.key(user))["secret"] for _ in range(2)]
    await owner.execute(
        "update api_keys set requests_per_minute = 2 where user_id = $1 and prefix = $2",
        user.user_id, secret[4:12],
    )  # fmt: skip
    for _ in range(2):
        assert (await node.post(WHO, secret)).status_code == 200
    refused = await node.post(WHO, secret)
    assert_refused(refused, 429, "RATE_LIMITED")
    seconds = refused.json()["errors"][0]["extensions"]["retryAfterSeconds"]
    assert (refused.headers["retry-after"], 1 <= seconds <= 30) == (str(seconds), True)
    async with node.connect() as client:
        await initialise(client, secret)
        await say(client, id="1", type="subscribe", payload={"query": WHO})
        told = (await hear(client))["payload"][0]["extensions"]
        assert (told["code"], told["retryAfterSeconds"] > 0) == ("RATE_LIMITED", True)
    assert (await node.post(WHO, other)).status_code == 200


async def test_unknown_keys_of_an_address_are_looked_up_so_often(
    node: Node, make_user: MakeUser
) -> None:
    # However slowly this runs, no more of them come back meanwhile.
    begun_at = time.monotonic()
    node.server.services.of(ApiKeys.of)._unknown._clock = lambda: begun_at
    known = (await node.key(await make_user()))["secret"]
    assert (await node.post(WHO, known)).status_code == 200
    answers = [await node.post(WHO, NewSecret.make().text) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [401] * 60 + [429]
    # A mistyped one is known by its checksum, and one that is in use goes on.
    typo = known[:20] + ("a" if known[20] != "a" else "b") + known[21:]
    assert (await node.post(WHO, typo)).status_code == 401
    assert (await node.post(WHO, known)).status_code == 200


@pytest.mark.parametrize("place", ["access_token=%s", "api_key=%s&query={tools{id}}", "x=%s"])
async def test_a_key_in_a_url_is_refused(node: Node, make_user: MakeUser, place: str) -> None:
    secret = (await node.key(await make_user()))["secret"]
    url = f"/graphql?{place % secret}"
    for answer in (
        await node.http.get(url),
        await node.http.post(url, json={"query": WHO}),
        await node.http.post(url, json={"query": WHO}, headers={"accept": "text/event-stream"}),
    ):
        assert answer.status_code == 400
        assert secret not in answer.text
        assert codes(answer) == ["BAD_USER_INPUT"]
    handshake = await node.http.get(
        url,
        headers={
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    )
    assert handshake.status_code == 400


async def test_no_secret_is_logged_or_stored(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    with capture_logs() as logs:
        made = await node.key(user, "READ", "WRITE")
        secret = made["secret"]
        for text in (WHO, SPEND, "{ nothing }", "{", f'{{ node(id: "{secret}") {{ id }} }}'):
            await node.post(text, secret)
        await node.post(WHO, secret[:-1])
        await node.post(ROTATE, node.token(user), id=made["apiKey"]["id"], hours=1)
        async with node.connect() as client:
            await initialise(client, secret)
    assert len(logs) > 5
    assert secret[12:] not in repr(logs)
    stored = await owner.fetchval(
        "select string_agg(k::text, '') from api_keys k where user_id = $1", user.user_id
    )
    noted = await owner.fetch(
        "select action, detail, network, device from audit_log where user_id = $1", user.user_id
    )
    assert [row["action"] for row in noted] == ["create_api_key", "credit_use", "rotate_api_key"]
    # Of what is spent it is noted once an hour that it was, and not from where.
    placed = [row for row in noted if row["action"] != "credit_use"]
    assert {row["network"] for row in placed} == {"127.0.0.0/24"}
    assert all(row["device"].startswith("python-httpx/") for row in placed)
    assert secret[12:] not in stored + repr(noted)


async def test_the_last_use_is_written_beside_requests(
    node: Node, make_user: MakeUser, owner: asyncpg.Connection
) -> None:
    user = await make_user()
    secret = (await node.key(user))["secret"]
    await node.ask(WHO, secret)
    last = "select last_used_at from api_keys where user_id = $1"
    assert await owner.fetchval(last, user.user_id) is None
    last_seen = node.server.services.of(LastSeen.of)
    await last_seen.write()
    written = await owner.fetchval(last, user.user_id)
    assert written is not None
    await node.ask(WHO, secret)
    await last_seen.write()
    assert await owner.fetchval(last, user.user_id) == written
    key_id = await owner.fetchval("select id from api_keys where user_id = $1", user.user_id)
    async with node.server.services.database.transaction(SERVICE) as transaction:
        await note_keys(transaction, [key_id])
    noted = "select count(*) from audit_log where user_id = $1 and action = 'api_key_used'"
    assert await owner.fetchval(noted, user.user_id) == 1
    (shown,) = (await node.ask(LIST, node.token(user)))["viewer"]["apiKeys"]["nodes"]
    assert shown["lastUsedAt"] is not None
