"""Authenticator apps, recovery codes, and sign-ins that wait for a second factor."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound


class TotpFactor(Base):
    """A user's authenticator app (RFC 6238). It counts once a code of it has confirmed it.

    `sealed_secret` is opened in Python only. `last_step` is the time step of the code used last: it
    and all before it are used up.
    """

    __tablename__ = "totp_factors"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[Timestamp]
    confirmed_at: Mapped[OptionalTimestamp]

    access = Access(read=Owner(), hidden=("sealed_secret", "last_step"))
    on_erase = Delete()
    on_merge = KeepTheMembers()
    quota = Bound("One for each member.")


class RecoveryCodes(Base):
    """The recovery codes of a user that are not used yet, as keyed hashes."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    code_hashes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    codes_left: Mapped[int]
    created_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("codes_left = cardinality(code_hashes)", name="count_of_codes"),
    )
    access = Access(read=Owner(), hidden=("code_hashes",))
    on_erase = Delete()
    on_merge = KeepTheMembers()
    quota = Bound("One for each member.")


class SecondFactorChallenge(Base):
    """A sign-in whose first factor was right, and which waits for the second."""

    __tablename__ = "second_factor_challenges"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    method: Mapped[str]
    user_agent: Mapped[str | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[OptionalTimestamp]

    access = Access(read=Nobody())
    on_erase = Delete()
    export = NotExported("What an unfinished sign-in waits for.")
    on_merge = KeepTheMembers()
    quota = Bound("One for each right password in ten minutes; whoever sends none makes none.")
    expiries = (
        Expiry("challenges that are over", "expires_at < now() - interval '1 day'", "expires_at"),
    )
