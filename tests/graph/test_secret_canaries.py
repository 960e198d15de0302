"""Secrets that clients send and get are nowhere in the open: no row, log, trace, metric or error."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from pydantic import SecretStr

from db.core.pool import Database
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from graph.live.bus import WakeBus
from server import log_errors
from server.app import Server
from server.serving import parts_of
from settings import Settings

from ..conftest import MakeUser
from ..fakes.collector import Collected, collector
from ..fakes.discord import fake_discord
from ..fakes.roblox import fake_roblox
from .developing import Developer, DeveloperNode, add_tiers
from .discord_town import CONFIGURE, REDEEM, Town, new_bot, snowflake

CANARY = "canary3e8d"
# What an operator might put in the way of a row, which says what it was given.
OBSTACLE = """
create function public.obstacle() returns trigger language plpgsql as $$
begin
    raise exception 'refused: %', new using detail = new::text, hint = 'no hint';
end $$
"""
# Where the second round meets it.
TABLES = (
    "api_keys",
    "bot_products",
    "bot_whitelisted_users",
    "developer_keys",
    "licences",
    "push_tokens",
    "totp_factors",
)
MEET_IT = {
    "beginTotp",
    "configureDiscordServer",
    "createApiKey",
    "createDeveloperKey",
    "redeemBotKey",
    "redeemLicence",
    "registerPushToken",
}
TABLES_SQL = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('public', 'queue', 'app')
"""
TOKEN = f"{CANARY}-push-token"
SIGN_UP = f"""mutation($e: String!) {{ answer: signUp(input: {{email: $e, password: "{CANARY} word"}}) {{
  session {{ accessToken refreshToken }} errors {{ code }} }} }}"""
SIGN_IN = f"""mutation($e: String!) {{ answer: signIn(input: {{email: $e, password: "{CANARY} wrong"}}) {{
  session {{ accessToken }} errors {{ code }} }} }}"""
API_KEY = """mutation { answer: createApiKey(input: {name: "A", scopes: [READ, WRITE]}) {
  secret errors { code } } }"""
DEVELOPER_KEY = """mutation { answer: createDeveloperKey(input: {name: "%s"}) {
  secret errors { code } } }"""
TOTP = "mutation { answer: beginTotp { secret uri errors { code } } }"
PUSH = f"""mutation {{ answer: registerPushToken(input: {{platform: ANDROID, token: "{TOKEN}"}}) {{
  errors {{ code }} }} }}"""
LICENCE = """mutation($key: String!) { answer: redeemLicence(input: {key: $key, discordId: "123456789012345678"}) {
  errors { code } } }"""
VERIFY = """mutation($key: String!) { answer: verifyLicence(input: {key: $key}) {
  valid errors { code } } }"""


def hearing(lines: list[str]) -> Any:
    """Has every event noted as it leaves the process; gives what ends that."""
    processors = structlog.get_config()["processors"]

    def note(_logger: Any, _method: str, event: Any) -> Any:
        lines.append(repr(log_errors.exceptions_without_values(None, "", dict(event))))
        raise structlog.DropEvent

    processors.insert(0, note)
    return lambda: processors.remove(note)


class Round:
    """Whoever does something with each kind of secret, and what they were answered."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.secrets: set[str] = {CANARY}
        self.told: list[str] = []
        self.codes: set[tuple[str, str]] = set()

    async def send(self, document: str, bearer: str = "", **variables: Any) -> Any:
        """The payload, whose secrets are noted; all else that is said of it must hold none."""
        response = await self.town.node.http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {bearer}"} if bearer else {},
        )
        answer = response.json()
        payload = (answer.get("data") or {}).get("answer") or {}
        errors = (answer.get("errors") or []) + (payload.get("errors") or [])
        (field, *_) = re.findall(r"answer: (\w+)", document) or [""]
        self.codes |= {(field, code) for code in re.findall(r"'code': '(\w+)'", repr(errors))}
        self.told += [repr(errors), repr(response.headers)]
        session = payload.get("session") or {}
        found = (payload.get("secret"), *session.values())
        self.secrets |= {one for one in found if isinstance(one, str)}
        return payload

    async def play(self, developer: Developer, licences: list[Any], bot: Any) -> None:
        """Each kind of secret once."""
        owner, server, product = bot
        email = f"{uuid4().hex}@example.test"
        session = (await self.send(SIGN_UP, e=email))["session"]
        await self.send(SIGN_IN, e=email)
        for document in (API_KEY, DEVELOPER_KEY % uuid4().hex[:8], TOTP):
            await self.send(document, developer.token)
        await self.send(PUSH, session["accessToken"])
        for one in licences:
            self.secrets.add(one["key"])
            await self.send(VERIFY, developer.token, key=one["key"])
            await self.send(LICENCE, owner.token, key=one["key"])
        keys = {"payhipKey": f"prod_sk_{CANARY}", "robloxKey": f"{CANARY}-roblox"}
        given = {"serverId": server, "idempotencyKey": uuid4().hex}
        given["products"] = [{"name": f"P {uuid4().hex}", **keys}]
        await self.send(CONFIGURE.replace("a: ", "answer: "), owner.token, i=given)
        redeemed = {
            "productId": product,
            "key": f"{CANARY}key{uuid4().hex}",
            "discordId": snowflake(),
        }
        await self.send(REDEEM.replace("a: ", "answer: "), self.town.bot.token, i=redeemed)
        # Where nobody is asked for any: in a URL, in an unknown field, as a key, in a webhook.
        for key in (f"tgk_{CANARY}", self.town.bot.token[:-1], "x" * 40 + CANARY):
            await self.send("{ viewer { id } }", key)
        http = self.town.node.http
        headers = {"x-api-key": f"vb_{CANARY}", "authorization": f"Basic {CANARY}"}
        for response in (
            await http.post("/webhooks/sandbox", content=b'{"a": 1}', headers=headers),
            await http.post("/webhooks/stripe", content=b'{"b": 2}', headers=headers),
            await http.get(f"/v1/usage?key={CANARY}", headers=headers),
            await http.post("/v1/verify", json={"license_key": CANARY}, headers=headers),
            await http.get(f"/graphql?query={{x(a:%22{CANARY}%22)}}", headers={"x-secret": CANARY}),
        ):
            self.told.append(response.text)


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture, lines: list[str]) -> Iterator[None]:
    """For a block in which all that is logged is noted, libraries' lines as a server takes them."""
    end = hearing(lines)
    caplog.set_level(logging.WARNING)
    try:
        yield
    finally:
        end()
        formatter = log_errors.WithoutValues("%(name)s %(message)s")
        lines += [formatter.format(record) for record in caplog.records]


@asynccontextmanager
async def traced_town(
    collected: Collected,
    cluster: EmbeddedDatabase,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
) -> AsyncIterator[Town]:
    """A traced server with a bot and developers, for a block; then all spans have been sent."""
    await add_tiers(owner)
    async with AsyncExitStack() as stack:
        roblox = stack.enter_context(fake_roblox())
        discord = stack.enter_context(fake_discord())
        wanted = settings.model_copy(
            update={
                "otel_exporter_otlp_endpoint": collected.url,
                "roblox_api_url": roblox.url,
                "discord_api_url": discord.url,
                "discord_token": SecretStr(f"{CANARY}-bot-token"),
                "stripe_secret_key": SecretStr(f"sk_test_{CANARY}"),
                "stripe_webhook_secret": SecretStr(f"whsec_{CANARY}"),
            }
        )
        parts = await stack.enter_async_context(parts_of(wanted))
        pools = await parts.database.connect(cluster.owner_url, wanted)
        stack.push_async_callback(pools.close)
        server: Server = parts.server(wanted, pools, open_storage(wanted), WakeBus.memory())
        await server.start()
        stack.push_async_callback(server.stop)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app=server.app), base_url="http://test")
        )
        node = DeveloperNode(server, http, roblox, make_user, owner)
        yield Town(node, discord, await new_bot(node))


async def stored(owner: asyncpg.Connection, needles: set[str]) -> list[str]:
    """The tables in which any of the texts stands."""
    patterns = [f"%{one}%" for one in needles]
    names = [row[0] for row in await owner.fetch(TABLES_SQL)]
    found = "select exists (select from {} t where t::text like any ($1))"
    return [name for name in names if await owner.fetchval(found.format(name), patterns)]


async def test_requirement_3_2_and_9_4_no_secret_of_a_client_is_stored_or_told(
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    cluster: EmbeddedDatabase,
    owner: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    logged_before = len(cluster.log_path.read_text(errors="replace"))
    with collector() as collected:
        async with traced_town(collected, cluster, settings, make_user, owner) as town:
            with everything_logged(caplog, told):
                played = Round(town)
                await two_rounds(played, owner)
                metrics = await town.node.http.get("/metrics")
    assert len(told) > 20
    assert len(played.secrets) >= 12
    needles = played.secrets | {one.encode().hex() for one in played.secrets}
    assert await stored(owner, needles) == []
    spans = b"".join(collected.raw).decode(errors="replace")
    assert "mutation createApiKey" in spans
    told += [*played.told, *capfd.readouterr(), metrics.text, spans]
    told.append(cluster.log_path.read_text(errors="replace")[logged_before:])
    assert [(secret, one) for one in told for secret in needles if secret in one] == []


async def two_rounds(played: Round, owner: asyncpg.Connection) -> None:
    """Everything once as it should be, and once with a fault that names the row it met."""
    town = played.town
    developer = await town.node.developer(tier="pro")
    licences = await developer.licences(await developer.product(), 4)
    bot = await town.product(payhipKey=f"prod_sk_{CANARY}-first", robloxKey=f"{CANARY}-first")
    await played.play(developer, licences[:2], bot)
    expected = {("signIn", "INVALID_CREDENTIALS"), ("", "UNAUTHENTICATED")}
    refused = played.codes - expected
    await owner.execute(OBSTACLE)
    try:
        for table in TABLES:
            await owner.execute(
                f"create trigger obstacle before insert or update on {table}"
                " for each row execute function obstacle()"
            )
        await played.play(developer, licences[2:], bot)
    finally:
        await owner.execute("drop function obstacle() cascade")
    failed = {field for field, code in played.codes if code == "INTERNAL"}
    assert (refused, failed) == (set(), MEET_IT), played.codes
