"""The data under measurement: users, their wallets, profiles and generations, in set-based SQL."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from auth.keys import SigningKeys
from auth.passwords import PasswordHasher
from auth.tokens import AccessTokens
from settings import Settings

PASSWORD = "correct horse battery staple"
PROFILES, GENERATIONS = 20, 50
CREDITS = 1_000_000
FILL_SQL = """
insert into users (email, email_key)
select address, address
from generate_series(1, {users}) n, concat('user', n, '@example.test') address;
insert into wallets (user_id, balance) select id, {credits} from users;
insert into credit_grants (user_id, source, amount, remaining)
select id, 'ADMIN', {credits}, {credits} from users;
insert into credit_transactions (user_id, type, amount, balance_after)
select id, 'ADMIN', {credits}, {credits} from users;
insert into credit_entries (transaction_id, account, grant_id, amount)
select t.id, side.account, case side.account when 'GRANT' then g.id end, side.amount
from credit_transactions t join credit_grants g on g.user_id = t.user_id,
    (values ('ISSUED', -{credits}), ('GRANT', {credits})) as side (account, amount);
create temporary table busy as select id from users order by id limit {busy_users};
insert into credentials (user_id, password_hash) select id, '{password_hash}' from busy;
insert into profiles
    (user_id, local_id, name, analysis, chat_history, created_at, updated_at)
select id, n, 'Profile ' || n, '{{"season": "winter"}}', '[{{"text": "hello"}}]',
    now() - n * interval '1 hour', now() - n * interval '1 hour'
from busy, generate_series(1, {profiles}) n;
insert into uploads (user_id, content_type, declared_size_bytes, expires_at)
select id, 'image/jpeg', 100000, now() + interval '1 day' from busy;
-- They have run already.
alter table generations disable trigger lifecycle_insert;
insert into generations
    (user_id, tool_id, upload_id, status, cache_key, credits_charged, created_at)
select p.user_id, (array['hair-color', 'halloween', 'analysis'])[1 + n % 3], p.id,
    case n % 5 when 0 then 'CANCELLED' else 'SUCCEEDED' end, md5(p.id::text || n), 1,
    now() - n * interval '1 hour'
from uploads p, generate_series(1, {generations}) n;
alter table generations enable trigger lifecycle_insert;
-- One spend each: a plan made over a table that was analyzed empty would read all of it for long.
select count(*) from (
    select set_config('app.user_id', id::text, false), app.spend_credits(1, null, null, 'first')
    from busy
) spent;
analyze;
"""
PEOPLE_SQL = """
select b.id, u.email, min(p.id::text)::uuid as profile_id
from busy b join users u using (id) join profiles p on p.user_id = b.id
group by b.id, u.email order by b.id
"""


@dataclass(frozen=True)
class Person:
    """One of the users who send requests."""

    user_id: UUID
    email: str
    profile_id: UUID
    token: str


async def hash_password() -> str:
    """The hash of everybody's password."""
    hasher = PasswordHasher()
    try:
        return await hasher.hash(PASSWORD)
    finally:
        hasher.close()


async def fill(owner_url: str, settings: Settings, users: int, busy_users: int) -> list[Person]:
    """Makes the users; returns those with profiles and generations, each with an access token."""
    password_hash = await hash_password()
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.execute(
            FILL_SQL.format(
                users=users,
                busy_users=busy_users,
                password_hash=password_hash,
                credits=CREDITS,
                profiles=PROFILES,
                generations=GENERATIONS,
            )
        )
        rows = await owner.fetch(PEOPLE_SQL)
    finally:
        await owner.close()
    issuer = AccessTokens(SigningKeys.load(settings), settings)
    return [
        Person(row["id"], row["email"], row["profile_id"], _token(issuer, row["id"]))
        for row in rows
    ]


def _token(issuer: AccessTokens, user_id: UUID) -> str:
    return issuer.issue(user_id, uuid4(), is_anonymous=False, is_admin=False).token
