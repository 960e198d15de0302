"""Licences for the benchmark: users, and keys that are sealed as the server seals them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from auth.keys import SigningKeys
from auth.tokens import AccessTokens
from bench.data import Person
from bench.deployment import Environment
from db.core.row_ids import new_row_id
from db.licences.keys import LicenceKeys, new_key

BATCH = 20_000
COLUMNS = (
    "id",
    "developer_product_id",
    "seller_id",
    "owner_id",
    "key_hash",
    "key_sealed",
    "key_end",
)
PRODUCT = """
with seller as (
    insert into users (email) values (gen_random_uuid() || '@example.test') returning id
)
insert into developer_products (user_id, name, roblox_group_id, proof_phrase)
select id, 'Tank', 1, 'phrase' from seller returning id, user_id
"""
USERS = """
insert into users (email)
select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id
"""
# What a change makes besides, such as its event, is no part of what is measured.
WITHOUT_TRIGGERS = "alter table licences disable trigger user"
WITH_TRIGGERS = "alter table licences enable trigger user"


@dataclass
class Licences:
    """Makes users and licences in the database of an environment."""

    environment: Environment
    owner: asyncpg.Connection

    async def people(self, count: int) -> list[Person]:
        """New users, each with a token."""
        settings = self.environment.settings
        issuer = AccessTokens(SigningKeys.load(settings), settings)
        rows = await self.owner.fetch(USERS, count)
        return [Person(row["id"], "", row["id"], _token(issuer, row["id"])) for row in rows]

    async def make(self, count: int, owners: list[Person] | None = None) -> list[str]:
        """Licences that nobody has redeemed, the owners' in turn, else nobody's; their keys."""
        keys, made = LicenceKeys(self.environment.settings), [new_key() for _ in range(count)]
        product = await self.owner.fetchrow(PRODUCT)
        assert product is not None
        await self.owner.execute(WITHOUT_TRIGGERS)
        for start in range(0, count, BATCH):
            rows = []
            for number, key in enumerate(made[start : start + BATCH]):
                licence = new_row_id()
                owner = owners[number % len(owners)].user_id if owners else None
                sealed = keys.sealed(licence, key)
                rows.append((licence, product["id"], product["user_id"], owner, *sealed))
            await self.owner.copy_records_to_table("licences", records=rows, columns=COLUMNS)
        await self.owner.execute(WITH_TRIGGERS)
        await self.owner.execute("analyze licences")
        return made


def _token(issuer: AccessTokens, user: UUID) -> str:
    return issuer.issue(user, uuid4(), is_anonymous=False, is_admin=False).token
