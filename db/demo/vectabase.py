"""Makes the people who show Vectabase: a seller with a store, and a buyer with a review.

They act by the commands that clients have. Who is there already stays as they are.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from db.accounts.emails import email_key
from db.accounts.operating import as_owner
from db.administration.new_users import NewUser
from db.administration.operations import ADD_USER
from db.core.codecs import set_codecs
from db.core.commands import call, call_on
from db.core.errors import Problems
from db.core.pool import PooledConnection, Transaction
from db.files.storage import Storage, product_file_path
from db.marketplace import operations as marketplace
from db.reviews import operations as reviews
from db.sales import operations as sales
from db.stores import operations as stores

SELLER, BUYER = "mira@test.com", "theo@test.com"
_FIND = "select id from users where email_key = $1"
STORE: dict[str, Any] = {
    "slug": "lantern-works",
    "name": "Lantern Works",
    "description": "Small, careful tools for places that open after dark.",
    "theme": {"accent": "#f2a65a", "background": "#14131a"},
    "layout": {"sections": ["featured", "products", "about"]},
    "links": {"website": "https://lantern-works.example"},
}
PROFILE: dict[str, Any] = {
    "creator_type": "INDEPENDENT",
    "business_name": "Lantern Works",
    "business_description": "One person, a desk by the window, and a lot of night markets.",
    "contact_email": "hello@lantern-works.example",
}
PRODUCTS: tuple[dict[str, Any], ...] = (
    {
        "kind": "DOWNLOAD",
        "name": "Night Market Panel",
        "description": "Stalls, opening hours and quiet hours, kept from one panel. A licence "
        "covers three games.",
        "category": "panels",
        "tags": ["admin", "market", "night"],
        "licences_enabled": True,
        "max_activations": 3,
        "price_cents": 1_400,
        "currency": "GBP",
    },
    {
        "kind": "BOT",
        "name": "Lamplighter",
        "description": "Greets newcomers, hands out the role they earned, and says good night.",
        "category": "bots",
        "tags": ["discord", "roles"],
    },
    {
        "kind": "BOT",
        "name": "First Snow",
        "description": "A weather kit that is not finished yet.",
        "category": "weather",
        "tags": ["winter"],
        "price_cents": 600,
        "currency": "GBP",
    },
)
PANEL_NAME, PANEL_TYPE = "night-market-panel.lua", "text/x-lua"
PANEL = b"""-- Night Market Panel 1.0
local Panel = { opens = 18, closes = 2 }

function Panel.isOpen(hour)
    return hour >= Panel.opens or hour < Panel.closes
end

return Panel
"""
_WITHOUT_VERSION = """
select p.seller_id, p.id from products p join users u on u.id = p.seller_id
where u.email_key = $1 and p.name = $2
    and not exists (select from product_versions v where v.product_id = p.id)
"""
_RECEIVED = (
    "update product_files set status = 'READY', path = $2, received_at = now() where id = $1"
)
REVIEW = "It said good night to me by name. I stayed up anyway."


async def load_vectabase(owner_url: str, password_hash: str, operator: str) -> dict[str, int]:
    """Makes what there is not yet; gives how many were made of what."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        if await connection.fetchval(_FIND, email_key(SELLER)) is not None:
            return {"people": 0, "stores": 0, "products": 0, "sales": 0}
        # Whole or not at all.
        async with connection.transaction():
            people = _People(connection, password_hash, operator)
            acting = Transaction(PooledConnection(connection))
            await people.become(SELLER, "Mira")
            free = await _open_store(acting)
            await people.become(BUYER, "Theo")
            await call(acting, sales.obtain_product(free))
            await call(acting, reviews.save_review(free, 5, REVIEW))
    return {"people": 2, "stores": 1, "products": len(PRODUCTS), "sales": 1}


async def send_panel(owner_url: str, storage: Storage) -> int:
    """A first version of the download, where it has none yet; gives how many were made."""
    async with as_owner(owner_url) as connection:
        await set_codecs(connection)
        row = await connection.fetchrow(_WITHOUT_VERSION, email_key(SELLER), PRODUCTS[0]["name"])
        if row is None:
            return 0
        seller, product_id = row
        path = product_file_path(product_id, uuid4())
        await storage.put(path, PANEL, PANEL_TYPE)
        # Whole or not at all; a file that nothing names is swept.
        async with connection.transaction():
            await connection.execute("select set_config('app.user_id', $1, true)", str(seller))
            acting = Transaction(PooledConnection(connection))
            file = marketplace.create_file(product_id, PANEL_NAME, PANEL_TYPE, len(PANEL))
            file_id = await call(acting, file)
            await connection.execute(_RECEIVED, file_id, path)
            await call(acting, marketplace.create_version(file_id, "1.0", "Opens at dusk."))
    return 1


class _People:
    """Who is made, one after the other; the last is who acts."""

    def __init__(self, connection: asyncpg.Connection, password_hash: str, operator: str) -> None:
        self._connection = connection
        self._password_hash = password_hash
        self._operator = operator

    async def become(self, email: str, name: str) -> UUID:
        new = NewUser(email, is_confirmed=True, display_name=name)
        added = ADD_USER(
            given=new.with_hash(self._password_hash),
            given_by=self._operator,
            from_network=None,
            from_device=None,
        )
        user_id: UUID = await call_on(self._connection, added)
        await self._connection.execute("select set_config('app.user_id', $1, true)", str(user_id))
        return user_id


async def _open_store(acting: Transaction) -> str:
    """The seller's store with what it sells; gives what is free of it."""
    await call(acting, stores.save_creator_profile(Problems(), PROFILE))
    store_id = await call(acting, stores.create_store(Problems(), STORE, "demo"))
    free = ""
    for n, product in enumerate(PRODUCTS):
        made = await call(
            acting, marketplace.create_product(Problems(), store_id, product, f"demo {n}")
        )
        # The last stays a draft.
        if n < len(PRODUCTS) - 1:
            await call(acting, marketplace.move_product(made, "PUBLISH"))
        if "price_cents" not in product:
            free = made
    return free
