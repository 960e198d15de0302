"""Conditions that keep a statement to the rows its actor may touch, beside row-level security."""

from __future__ import annotations

from typing import Any

from sqlalchemy import FromClause, Text, Uuid, literal, literal_column, or_, select, true
from sqlalchemy.sql import ColumnElement

from db.core.actor import Actor
from db.core.base import Base
from db.core.rls import AdminOnly, Internal, Owned


def is_admin(model: type[Base], actor_user_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the actor is an admin, as the database knows it."""
    admins = model.metadata.tables["users"].alias("admins")
    role = literal_column("'admin'", Text())
    found = select(admins.c.id).where(admins.c.id == actor_user_id, admins.c.role == role)
    return found.correlate(None).exists()


def ownership_predicate(
    model: type[Base],
    source: FromClause,
    actor_user_id: ColumnElement[Any],
    *,
    as_admin: bool = False,
) -> ColumnElement[bool]:
    """The rows of `source` that the actor may read.

    `actor_user_id` is a bound value, never `app.user_id()`: a statement must not depend on when
    its own claims are set. What admins may read beside their own is only in it with `as_admin`:
    all other statements stay as simple as they are.
    """
    ownership = model.access.ownership
    if isinstance(ownership, Internal):
        raise TypeError(f"{model.__name__} is internal: no client reads it")
    if isinstance(ownership, AdminOnly):
        return is_admin(model, actor_user_id)
    if isinstance(ownership, Owned):
        own = source.c[ownership.column] == actor_user_id
    else:
        own = source.c[ownership.only_if].is_(True) if ownership.only_if else true()
    return or_(own, is_admin(model, actor_user_id)) if as_admin and ownership.admins else own


def own_rows(model: type[Base], actor: Actor) -> ColumnElement[bool]:
    """The same for an operation that writes: only rows the actor owns."""
    return ownership_predicate(model, model.__table__, literal(actor.user_id, Uuid()))
