"""Resolvers for our schema as they are usually written, and tuned.

Plain functions for columns, Core statements made once, a dataloader for each kind of edge, and one
transaction with the caller's claims around the whole operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
)
from sqlalchemy import Select, Table, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from strawberry.dataloader import DataLoader

from db.core.actor import Actor
from db.core.base import Base
from db.core.pool import Transaction
from db.credits.tables import CreditTransaction, Wallet
from db.profiles.tables import Profile
from graph.engine import specs
from graph.engine.planning.rows import as_object
from graph.engine.specs import backing_of, python_name, spec_of
from graph.shared.relay import DEFAULT_PAGE_SIZE, uuid_from_global_id

RENAME = text("select app.update_profiles(:id, :given)")
SPEND = text("select app.spend_credits(:amount, :reason, :reference_id, :idempotency_key)")
Row = Mapping[str, Any]
Resolver = Callable[..., Any]


@dataclass
class Request:
    """The context of one operation."""

    actor: Actor
    transaction: Transaction
    # One connection answers one statement at a time.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    loaders: dict[tuple[str, str], DataLoader[Any, Row | None]] = field(default_factory=dict)

    async def rows(self, statement: Select[Any], **parameters: Any) -> list[Any]:
        """What a statement finds."""
        async with self.turn:
            return await self.transaction.fetch_all(statement, **parameters)

    def load(self, model: type[Base], column: str, key: Any) -> Any:
        """The row whose `column` is `key`, found with the others of this turn."""
        loader = self.loaders.get((model.__tablename__, column))
        if loader is None:

            async def found(keys: list[Any]) -> list[Row | None]:
                rows = await self.rows(_by_column(model, column), keys=keys)
                by_key = {row[column]: row for row in rows}
                return [by_key.get(key) for key in keys]

            loader = DataLoader(found)
            self.loaders[model.__tablename__, column] = loader
        return loader.load(key)


def _readable(model: type[Base]) -> list[Any]:
    table = model.__table__
    assert isinstance(table, Table)
    return [column for column in table.columns if column.name not in model.access.hidden]


@cache
def _by_column(model: type[Base], column: str) -> Select[Any]:
    compared = model.__table__.c[column]
    keys = bindparam("keys", type_=ARRAY(compared.type))
    return select(*_readable(model)).where(compared == keys.any_())


@cache
def _page(model: type[Base], key: str, order: tuple[str, ...], *, by_status: bool) -> Select[Any]:
    columns = model.__table__.c
    statement = select(*_readable(model)).where(columns[key] == bindparam("owner"))
    if by_status:
        statement = statement.where(columns.status == bindparam("status"))
    for name in order:
        column = columns[name.lstrip("-")]
        statement = statement.order_by(column.desc() if name.startswith("-") else column)
    return statement.limit(bindparam("count"))


def attach(schema: GraphQLSchema) -> None:
    """Gives every field of the queries and mutations under measurement its resolver."""
    for graph_type in schema.type_map.values():
        if isinstance(graph_type, GraphQLObjectType) and not graph_type.name.startswith("__"):
            graph_type.is_type_of = None
            for name, declared in graph_type.fields.items():
                declared.resolve = MUTATIONS.get(name) or _resolver(graph_type, declared)


def _resolver(parent: GraphQLObjectType, declared: GraphQLField) -> Resolver:
    backing = backing_of(parent)
    match spec_of(declared):
        case specs.ViewerRow():
            return _viewer(declared)
        case specs.Column(name):
            return _item(name or python_name(declared))
        case specs.GlobalId():
            assert backing is not None
            prefix, key = backing.prefix, backing.key
            return lambda row, _info: f"{prefix}_{row[key]}"
        case specs.RelatedRow(local, remote):
            return _edge(declared, local, remote)
        case specs.Page() as page if backing is not None:
            return _connection(declared, page, backing.key)
        case _:
            return _item(python_name(declared))


def _item(name: str) -> Resolver:
    return lambda row, _info: row[name]


def _model(declared: GraphQLField) -> type[Base]:
    backing = backing_of(get_named_type(declared.type))
    assert backing is not None
    return backing.model


def _viewer(declared: GraphQLField) -> Resolver:
    model = _model(declared)

    def resolve(_: None, info: GraphQLResolveInfo[Request]) -> Any:
        return info.context.load(model, "id", info.context.actor.user_id)

    return resolve


def _edge(declared: GraphQLField, local: str, remote: str) -> Resolver:
    model = _model(declared)

    def resolve(row: Row, info: GraphQLResolveInfo[Request]) -> Any:
        return info.context.load(model, remote, row[local])

    return resolve


def _connection(declared: GraphQLField, page: specs.Page, owner: str) -> Resolver:
    connection = as_object(get_named_type(declared.type))
    model = _model(connection.fields["nodes"])

    async def resolve(row: Row, info: GraphQLResolveInfo[Request], **given: Any) -> Row:
        order, where = page.order, given.get("where")
        if chosen := given.get("orderBy"):
            sign = "-" if chosen["direction"].name == "DESC" else ""
            order = (sign + chosen["field"].name.lower(), f"{sign}id")
        status = where["status"]["eq"].name if where else None
        count = given.get("first") or DEFAULT_PAGE_SIZE
        statement = _page(model, page.key, order, by_status=status is not None)
        found = await info.context.rows(statement, owner=row[owner], status=status, count=count + 1)
        nodes = found[:count]
        return {"nodes": nodes, "page_info": _page_info(nodes, order, more=len(found) > count)}

    return resolve


def _page_info(nodes: list[Row], order: tuple[str, ...], *, more: bool) -> Row:
    last = [str(nodes[-1][name.lstrip("-")]) for name in order] if nodes else None
    return {"has_next_page": more, "end_cursor": orjson.dumps(last).decode()}


async def spend_credits(_: None, info: GraphQLResolveInfo[Request], input: Row) -> Row:
    """The function, then the rows of its payload."""
    request = info.context
    spent: UUID = await request.transaction.fetch_value(
        SPEND,
        amount=input["amount"],
        reason=input["reason"],
        reference_id=input["referenceId"],
        idempotency_key=input["idempotencyKey"],
    )
    return {
        "transaction": await request.load(CreditTransaction, "id", spent),
        "credits": await request.load(Wallet, "user_id", request.actor.user_id),
        "errors": [],
    }


async def update_profile(_: None, info: GraphQLResolveInfo[Request], input: Row) -> Row:
    """The function, then the row."""
    request = info.context
    profile_id = uuid_from_global_id(input["id"], "profile")
    await request.transaction.fetch_value(RENAME, id=profile_id, given={"name": input["name"]})
    return {"profile": await request.load(Profile, "id", profile_id), "errors": []}


MUTATIONS: dict[str, Resolver] = {"spendCredits": spend_credits, "updateProfile": update_profile}
