"""What an operator, as the owner, sees of organizations and does to them; it is audited."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import orjson

from db.accounts.operating import as_owner
from db.core.errors import DomainError, ErrorCode
from db.organization_plans.operations import LIMITS_OF_ORGANIZATION_SQL

ID_PREFIX = "organization_"
_SLUG = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(-[a-z0-9]+)*")
_LIST = """
select o.id, o.name, o.plan_id, o.seats, o.created_at, o.deletes_at,
    (select count(*) from organization_members m where m.organization_id = o.id and not m.is_robot)
        as members,
    (select string_agg(m.email, ', ' order by m.joined_at) from organization_members m
        where m.organization_id = o.id and m.role = 'OWNER') as owners
from organizations o
where $1::text is null or strpos(lower(o.name), lower($1)) > 0
    or exists (select from organization_members m
        where m.organization_id = o.id and lower(m.email) = lower($1))
order by o.created_at desc, o.id desc limit $2
"""
# What a provider renews is changed there.
_RENEWED = """
select exists (select from provider_subscriptions s
    where s.organization_id = $1 and s.status in ('ACTIVE', 'TRIALING', 'PAST_DUE'))
"""
_NOTE = "insert into audit_log (action, detail) values ($1, $2::text::jsonb)"
_PLANS = "select * from organization_plans order by sort_order, id"
_SAVE_PLAN = """
insert into organization_plans
    (id, name, workflows, calls_per_month, campaigns, seats, month_cents, year_cents,
     sort_order, is_active)
values ($1, $2, $3, $4, $5, $6, $7, $8,
    coalesce($9, (select coalesce(max(p.sort_order), 0) + 1 from organization_plans p)), $10)
on conflict (id) do update set name = excluded.name, workflows = excluded.workflows,
    calls_per_month = excluded.calls_per_month, campaigns = excluded.campaigns,
    seats = excluded.seats, month_cents = excluded.month_cents, year_cents = excluded.year_cents,
    sort_order = coalesce($9, organization_plans.sort_order), is_active = excluded.is_active
"""


def organization_id(text: str) -> UUID:
    """The id in a global id, or the id itself."""
    try:
        return UUID(text.removeprefix(ID_PREFIX))
    except ValueError:
        raise DomainError(
            ErrorCode.NOT_FOUND, "Name an organization by its id: `tallygraph organizations list`."
        ) from None


@asynccontextmanager
async def _changing(owner_url: str, wanted: str) -> AsyncIterator[tuple[asyncpg.Connection, UUID]]:
    """A transaction in which an organization is locked."""
    found = organization_id(wanted)
    async with as_owner(owner_url) as connection, connection.transaction():
        known = "select id from organizations where id = $1 for no key update"
        if await connection.fetchval(known, found) is None:
            raise DomainError(ErrorCode.NOT_FOUND, "There is no such organization.")
        yield connection, found


async def list_organizations(
    owner_url: str, matching: str | None, limit: int
) -> list[asyncpg.Record]:
    """Organizations, newest first: by a part of their name, or a member's address."""
    async with as_owner(owner_url) as connection:
        found: list[asyncpg.Record] = await connection.fetch(_LIST, matching, limit)
        return found


async def read_usage(owner_url: str, wanted: str) -> list[asyncpg.Record]:
    """What an organization's plan allows and what it uses, by kind; -1 is any number."""
    async with as_owner(owner_url) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            LIMITS_OF_ORGANIZATION_SQL, organization_id(wanted)
        )
    if not found:
        raise DomainError(ErrorCode.NOT_FOUND, "There is no such organization.")
    return found


async def give_plan(owner_url: str, wanted: str, plan: str, operator: str, reason: str) -> None:
    """Gives an organization a plan that was agreed on; none while a provider renews another."""
    async with _changing(owner_url, wanted) as (connection, found):
        if (
            await connection.fetchval("select id from organization_plans where id = $1", plan)
            is None
        ):
            raise DomainError(ErrorCode.NOT_FOUND, "There is no such plan.")
        if await connection.fetchval(_RENEWED, found):
            raise DomainError(
                ErrorCode.INVALID_STATE, "It has a subscription: change or cancel that one first."
            )
        await connection.execute("update organizations set plan_id = $2 where id = $1", found, plan)
        await _note(connection, "give_plan", found, plan=plan, by=operator, reason=reason)


async def set_reset_day(owner_url: str, wanted: str, day: int, operator: str) -> None:
    """Sets the day of the month on which an organization's calls are counted from zero."""
    async with _changing(owner_url, wanted) as (connection, found):
        await connection.execute(
            "update organizations set usage_reset_day = $2 where id = $1", found, day
        )
        await _note(connection, "set_usage_reset_day", found, day=day, by=operator)


async def list_plans(owner_url: str) -> list[asyncpg.Record]:
    """The plans of organizations, by rank."""
    async with as_owner(owner_url) as connection:
        found: list[asyncpg.Record] = await connection.fetch(_PLANS)
        return found


async def save_plan(
    owner_url: str,
    operator: str,
    *,
    plan: str,
    name: str,
    limits: tuple[int, int, int, int],
    prices: tuple[int | None, int | None],
    sort_order: int | None,
    is_active: bool,
) -> None:
    """Adds a plan, or changes all of it; organizations that have it are bound by it at once.

    `BAD_USER_INPUT` unless `plan` is a slug, which addresses and settings can carry.
    """
    if not _SLUG.fullmatch(plan):
        raise DomainError(
            ErrorCode.BAD_USER_INPUT,
            "A plan's id has 1 to 40 characters: small letters and digits, divided by hyphens, "
            "such as pro-2.",
        )
    async with as_owner(owner_url) as connection, connection.transaction():
        await connection.execute(
            _SAVE_PLAN, plan, name, *limits, *prices, sort_order, is_active
        )  # fmt: skip
        detail = {"organizationPlan": plan, "by": operator}
        await connection.execute(_NOTE, "save_in_catalog", orjson.dumps(detail).decode())


async def _note(
    connection: asyncpg.Connection, action: str, organization: UUID, **detail: object
) -> None:
    noted = {"organization": f"{ID_PREFIX}{organization}", **detail}
    await connection.execute(_NOTE, action, orjson.dumps(noted).decode())
