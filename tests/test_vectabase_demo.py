"""The demo of Vectabase makes its server at Discord once, ready for a bot (6.1)."""

from __future__ import annotations

import asyncpg

from auth.api_keys import NewSecret
from db.demo.discord import GUILD_ID, LICENCES, load_discord
from db.demo.vectabase import PANEL, SELLER, load_vectabase, send_panel
from db.embedded.database import EmbeddedDatabase
from db.files.storage import open_storage
from settings import Settings

FILE = (
    "select f.path from product_files f join product_versions v on v.file_id = f.id"
    " join products p on p.id = f.product_id where p.name = 'Night Market Panel'"
)
MADE = """
select (select count(*) from bot_products p where p.server_id = s.id) as products,
    (select count(*) from bot_command_permissions p where p.server_id = s.id) as permissions,
    (select count(*) from licences l join products p on p.id = l.product_id
     where p.seller_id = s.user_id) as licences,
    (select email from users u where u.id = s.user_id) as owner,
    (select scopes from api_keys k where k.user_id = s.bot_id) as scopes
from discord_servers s where s.guild_id = $1
"""


async def test_6_1_the_demo_has_a_server_that_a_bot_can_be_tried_in(
    cluster: EmbeddedDatabase, database: object, owner: asyncpg.Connection, settings: Settings
) -> None:
    secret = NewSecret.make()
    assert (await load_discord(cluster.owner_url, settings, "x" * 8, b"x")).counts["bots"] == 0
    await load_vectabase(cluster.owner_url, "no hash", "tests")
    storage = open_storage(settings)
    assert [await send_panel(cluster.owner_url, storage) for _ in range(2)] == [1, 0]
    assert await storage.get(await owner.fetchval(FILE)) == PANEL
    first, second = [
        await load_discord(cluster.owner_url, settings, secret.prefix, secret.hash)
        for _ in range(2)
    ]
    assert first.counts == {"bots": 1, "discord servers": 1}
    assert len(first.licence_keys) == LICENCES
    assert second.counts == {"bots": 0, "discord servers": 0}
    assert dict(await owner.fetchrow(MADE, GUILD_ID)) == {
        "products": 2,
        "permissions": 2,
        "licences": LICENCES,
        "owner": SELLER,
        "scopes": ["READ", "WRITE", "BOT"],
    }
