"""The base of every table: names of constraints, ids ordered in time, UTC timestamps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from db.core.access import Access, Group, Watch, declare_group
from db.core.erasing import ErasingRule
from db.core.expiry import Expiry
from db.core.exporting import Export, NotExported
from db.core.lifecycles import Lifecycle, declare_lifecycle
from db.core.merge_rules import MergeRule
from db.core.quotas import Bound, TableQuota
from db.core.sealed import check_sealed, sealed_columns

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

UuidKey = Annotated[
    UUID, mapped_column(Uuid, primary_key=True, server_default=text("app.uuid_v7()"))
]
BigKey = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
# Where the next number would tell how much everybody does.
RandomBigKey = Annotated[
    int,
    mapped_column(
        BigInteger,
        server_default=text(
            "(uuid_hash_extended(gen_random_uuid(), (0)::bigint) & '9223372036854775807'::bigint)"
        ),
        primary_key=True,
        autoincrement=False,
    ),
]
Slug = Annotated[str, mapped_column(Text, primary_key=True)]
Timestamp = Annotated[
    datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))
]
OptionalTimestamp = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
Json = Annotated[dict[str, object], mapped_column(JSONB)]


class Declarations:
    """What a table's class declares beside its columns.

    Every one says who may do what in `access`. One that clients' requests fill says in `quota` how
    much of it a user may have, or what bounds it. One with a column that leads to a user says in
    `on_merge` what becomes of a guest's rows when the guest is merged into an account, in
    `on_erase` what becomes of a user's when their account is deleted, and in `export` what of them
    their owner is given. Changes of one with a `watch` are events. One with a `group` holds the
    memberships that other tables' access refers to. One whose rows have states says in `lifecycle`
    how they may change.
    """

    access: ClassVar[Access]
    watch: ClassVar[Watch | None] = None
    # A topic under which the changes of several tables that everybody reads are told together.
    joint_topic: ClassVar[str | None] = None
    group: ClassVar[Group | None] = None
    # Columns of text and JSON that may be large, and how many bytes one of them may have: reading
    # them costs by that, and the bytes that an answer really has of them are bounded.
    large: ClassVar[Mapping[str, int]] = {}
    quota: ClassVar[TableQuota | Bound | None] = None
    on_erase: ClassVar[ErasingRule | tuple[ErasingRule, ...]] = ()
    # Left out, it is what a row's owner may read.
    export: ClassVar[Export | NotExported | None] = None
    on_merge: ClassVar[MergeRule | None] = None
    # Rows that are deleted every night.
    expiries: ClassVar[tuple[Expiry, ...]] = ()
    # The column with the number that a row has in its client's own database, unique for each owner:
    # who creates a row with the same one again gets the one there is.
    client_key: ClassVar[str | None] = None
    lifecycle: ClassVar[Lifecycle | None] = None
    # Triggers of its own, each the text that follows `create trigger`.
    triggers: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Notes with the table what others refer to, and checks its lifecycle."""
        super().__init_subclass__(**options)
        table = cls.__dict__.get("__table__")
        if isinstance(table, Table):
            _keep_sealed(cls, table)
            table.info["access"], table.info["watch"] = cls.access, cls.watch
            if cls.group is not None:
                declare_group(table, cls.group)
            if cls.lifecycle is not None:
                declare_lifecycle(table, cls.lifecycle)


def _keep_sealed(cls: type[Declarations], table: Table) -> None:
    """What is sealed is checked, and is in no event: it is read from its row."""
    access = cls.access
    check_sealed(table, (*access.insert, *access.update), access.hidden, access.is_internal)
    shown = tuple(name for name in sealed_columns(table) if name not in access.hidden)
    if shown and cls.joint_topic is not None:
        raise TypeError(f"{table.name}: what is told to everybody holds nothing sealed")
    if shown and cls.watch is not None:
        deferred = dict.fromkeys((*cls.watch.deferred, *shown))
        cls.watch = replace(cls.watch, deferred=tuple(deferred))


class Base(Declarations, DeclarativeBase):
    """The base of every table of the product."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        str: Text(),
        dict[str, object]: JSONB(none_as_null=True),
        datetime: DateTime(timezone=True),
    }
