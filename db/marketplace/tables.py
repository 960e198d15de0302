"""Products of stores: their pictures, files and versions, and who has downloaded them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, DateTime, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner, Through
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Call, Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State
from db.core.merge_rules import Join, Move
from db.core.quotas import Bound, Limit, TableQuota

FILE_LIMIT_BYTES = 52_428_800
NOTES_LIMIT_CHARACTERS = 5_000
PICTURES_LIMIT = 10
VERSIONS_LIMIT = 200


class MarketplaceTerms(Base):
    """On what terms stores sell in this deployment; one row, written from the settings.

    `fee_basis_points` is how many hundredths of a percent of a price whoever runs the service
    keeps.
    """

    __tablename__ = "marketplace_terms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fee_basis_points: Mapped[int]

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint("fee_basis_points between 0 and 10000", name="fee_basis_points"),
    )
    access = Access(read=Nobody(), service=("SELECT",))


class ProductPicture(Base):
    """A picture of a product, a copy of the photo that its seller chose."""

    __tablename__ = "product_pictures"

    id: Mapped[UuidKey]
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    path: Mapped[str]
    content_type: Mapped[str]
    width_pixels: Mapped[int]
    height_pixels: Mapped[int]
    sort_order: Mapped[int]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("width_pixels > 0 and height_pixels > 0", name="pixels"),
        Index("ix_product_pictures_product_id_sort_order_id", "product_id", "sort_order", "id"),
        Index("uq_product_pictures_path", "path", unique=True),
    )
    access = Access(read=Through("product_id"), service=("SELECT",))
    on_erase = GoesWith("product_id")
    export = NotExported("Copies of photos that are in the archive.")
    quota = Bound(f"A product has at most {PICTURES_LIMIT}.")


class ProductFileStatus(State):
    """Whether a product's file has come."""

    AWAITING = "AWAITING", "Nothing was sent yet."
    READY = "READY", "It is there, and can become a version."


class ProductFile(Base):
    """A file that a seller sends for a product; it is sold once it is a version.

    It counts with its announced size until it is there. One that was announced and never sent goes
    after a day.
    """

    __tablename__ = "product_files"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    file_name: Mapped[str]
    content_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(server_default=ProductFileStatus.AWAITING)
    path: Mapped[str | None]
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now() + interval '15 minutes'")
    )
    received_at: Mapped[OptionalTimestamp]
    stored_bytes: Mapped[int] = mapped_column(BigInteger, Computed("size_bytes", persisted=True))

    __table_args__ = (
        CheckConstraint(f"size_bytes between 1 and {FILE_LIMIT_BYTES}", name="size_bytes"),
        CheckConstraint("length(file_name) between 1 and 200", name="file_name"),
        CheckConstraint("length(content_type) between 3 and 100", name="content_type"),
        CheckConstraint("(status = 'READY') = (path is not null)", name="path"),
        Index("ix_product_files_product_id_created_at_id", "product_id", "created_at", "id"),
        Index("ix_product_files_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_product_files_path", "path", postgresql_where=text("path is not null")),
        Index(
            "ix_product_files_awaiting",
            "created_at",
            postgresql_where=text("status = 'AWAITING'"),
        ),
    )
    access = Access(read=Owner(), hidden=("path",), service=("SELECT", "UPDATE", "DELETE"))
    lifecycle = Lifecycle(
        "status",
        ProductFileStatus,
        initial=(ProductFileStatus.AWAITING,),
        transitions={ProductFileStatus.AWAITING: (ProductFileStatus.READY,)},
    )
    expiries = (
        Expiry(
            "files of products that never came",
            "status = 'AWAITING' and created_at < now() - interval '1 day'",
            "created_at",
        ),
    )
    # Those of products that were sold stay their buyers', and name nobody.
    on_erase = (Call("close_stores"), Delete())
    on_merge = Move()
    quota = TableQuota(
        guests=Limit(1, 1),
        members=Limit(2_000, 2_000_000_000),
        delete_with="deleteProductFile",
        counts="Files of products, announced ones too.",
    )


class ProductVersion(Base):
    """A version of a product: a file that its buyers download. The newest is what they get."""

    __tablename__ = "product_versions"

    id: Mapped[UuidKey]
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    file_id: Mapped[UUID] = mapped_column(ForeignKey("product_files.id", ondelete="CASCADE"))
    number: Mapped[int]
    label: Mapped[str]
    notes: Mapped[str | None]
    file_name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("length(label) between 1 and 50", name="label"),
        CheckConstraint(f"length(notes) <= {NOTES_LIMIT_CHARACTERS}", name="notes"),
        Index("uq_product_versions_number", "product_id", "number", unique=True),
        Index("uq_product_versions_file_id", "file_id", unique=True),
    )
    access = Access(read=Through("product_id"), hidden=("file_id",), service=("SELECT",))
    on_erase = (GoesWith("product_id"), GoesWith("file_id"))
    export = NotExported("The seller's files are listed.")
    quota = Bound(f"A product has at most {VERSIONS_LIMIT}.")


class ProductDownload(Base):
    """That a user has downloaded a product, so that everybody counts once."""

    __tablename__ = "product_downloads"

    product_id: Mapped[str] = mapped_column(
        ForeignKey("products.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    created_at: Mapped[Timestamp]

    __table_args__ = (Index("ix_product_downloads_user_id", "user_id"),)
    access = Access(read=AnyOf(Owner(), Admin()), service=("SELECT",))
    on_erase = Delete()
    on_merge = Join(key=("product_id",))
    quota = Bound("One for each product that the user has bought.")
