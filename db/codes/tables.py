"""Codes that were mailed, and sign-ups that wait for theirs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody
from db.core.base import Base, Timestamp, UuidKey
from db.core.erasing import Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.merge_rules import KeepTheMembers
from db.core.quotas import Bound

PURPOSES = (
    "CONFIRM_EMAIL",
    "RESET_PASSWORD",
    "SIGN_IN",
    "CHANGE_EMAIL",
    "UNDO_EMAIL_CHANGE",
    "UNDO_ADDED_FACTOR",
)


class PendingSignUp(Base):
    """Who signed up and has not proven yet that the address is theirs: no account until then.

    Each sign-up has a row of its own, which its code names, so that nobody who signs up with the
    same address decides on its owner's password. Of one address and password it is the same hash,
    so that repeating a sign-up makes no other. `guest_id` is the guest whom confirming makes a
    member.
    """

    __tablename__ = "pending_sign_ups"

    id: Mapped[UuidKey]
    email: Mapped[str]
    email_key: Mapped[str]
    network_hash: Mapped[bytes] = mapped_column(LargeBinary)
    password_hash: Mapped[str]
    username: Mapped[str | None]
    locale: Mapped[str | None]
    guest_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (Index("ix_pending_sign_ups_email_key", "email_key", "network_hash"),)
    access = Access(read=Nobody())
    on_merge = KeepTheMembers()
    on_erase = (Delete("guest_id"), Delete("email_key", by="email_key"))
    export = NotExported("A secret, and nobody's account yet.")
    quota = Bound("100 of an address, 8 of them from one network; each goes after a day.")
    expiries = (Expiry("sign-ups that nobody confirmed", "expires_at <= now()", "expires_at"),)


class OneTimeCode(Base):
    """A code that was mailed: neither it nor its hash is here, as both follow from `id` and a key.

    It is found by the address (`email_key`) that its user had when it was asked for; of a change of
    address, `email` is the new one, and of what takes it back the old one. `network_hash` is a
    keyed hash of where it was asked for: `guesses_elsewhere` counts the guesses that came from
    other networks. `is_resent` is a code of a sign-up that was asked for later, nobody knows by
    whom. Using a code deletes it.
    """

    __tablename__ = "one_time_codes"

    id: Mapped[UuidKey]
    purpose: Mapped[str]
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    sign_up_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("pending_sign_ups.id", ondelete="CASCADE"), index=True
    )
    email: Mapped[str]
    email_key: Mapped[str]
    network_hash: Mapped[bytes] = mapped_column(LargeBinary)
    is_resent: Mapped[bool] = mapped_column(server_default=text("false"))
    guesses: Mapped[int] = mapped_column(server_default=text("0"))
    guesses_elsewhere: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (
        CheckConstraint(f"purpose in {PURPOSES}", name="purpose"),
        CheckConstraint("num_nonnulls(user_id, sign_up_id) = 1", name="of_one"),
        CheckConstraint(
            "guesses between 0 and 5 and guesses_elsewhere between 0 and guesses", name="guesses"
        ),
        Index("ix_one_time_codes_email_key", "email_key", "purpose"),
    )
    access = Access(read=Nobody())
    on_merge = KeepTheMembers()
    on_erase = (Delete(), GoesWith("sign_up_id"))
    export = NotExported("Secrets.")
    quota = Bound("One for each mail with a code, which have a budget by account and by address.")
    expiries = (Expiry("codes that nobody used", "expires_at <= now()", "expires_at"),)
