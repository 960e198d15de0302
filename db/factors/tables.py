"""Authenticator apps, recovery codes, passkeys, and sign-ins that wait for one of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound
from db.core.sealed import Sealed


class TotpFactor(Base):
    """A user's authenticator app (RFC 6238). It counts once a code of it has confirmed it.

    `sealed_secret` is opened in Python only. `last_step` is the time step of the code used last: it
    and all before it are used up.
    """

    __tablename__ = "totp_factors"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    sealed_secret: Mapped[bytes] = mapped_column(Sealed())
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


class Passkey(Base):
    """A user's passkey (WebAuthn Level 3). Its public key proves nothing to who reads it.

    `user_handle` is random, the same in all of a user's, and what a passkey tells of whose it is.
    `sign_count` is how often it says that it was used, and never goes back; many always say 0.
    """

    __tablename__ = "passkeys"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    user_handle: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    transports: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    name: Mapped[str]
    is_second_factor: Mapped[bool]
    is_synced: Mapped[bool]
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[OptionalTimestamp]

    __table_args__ = (
        CheckConstraint("length(name) between 1 and 100", name="name"),
        Index("ix_passkeys_user_id", "user_id", "created_at", "id"),
    )
    access = Access(
        read=Owner(),
        write=Owner(),
        hidden=("credential_id", "public_key", "user_handle", "sign_count"),
        update=("name",),
    )
    on_erase = Delete()
    on_merge = KeepTheMembers()
    quota = Bound("20 of a user.")


class PasskeyChallenge(Base):
    """What a passkey is asked to sign: once, within five minutes. Only its SHA-256 is kept.

    `user_id` is who is to get a new passkey, and null at a sign-in.
    """

    __tablename__ = "passkey_challenges"

    challenge_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    user_handle: Mapped[bytes | None] = mapped_column(LargeBinary)
    second_factor_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("second_factor_challenges.id", ondelete="CASCADE"), index=True
    )
    is_second_factor: Mapped[bool]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    access = Access(read=Nobody())
    on_erase = Delete()
    export = NotExported("What an unfinished sign-in waits for.")
    on_merge = KeepTheMembers()
    quota = Bound("Bounded by address and minute; each new one takes ten along that are over.")
    expiries = (Expiry("challenges of passkeys that are over", "expires_at < now()", "expires_at"),)
