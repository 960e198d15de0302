"""Identities at sign-in providers, and what is kept while somebody signs in through one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Nobody, Owner
from db.core.base import Base, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.expiry import Expiry
from db.core.merge_rules import Move
from db.core.quotas import Bound


class UserIdentity(Base):
    """Who a user is at a provider; `subject` is the id that the provider never gives to another.

    `email` is what the provider said last, or verified last, which counts for more. Only when
    `is_email_verified` does it prove anything.
    """

    __tablename__ = "user_identities"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str | None]
    is_email_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    name: Mapped[str | None]
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("length(subject) between 1 and 255", name="subject"),
        Index("uq_user_identities_provider_subject", "provider", "subject", unique=True),
        Index("ix_user_identities_user_id_created_at_id", "user_id", "created_at", "id"),
    )
    access = Access(read=Owner())
    on_merge = Move()
    on_erase = Delete()
    quota = Bound("A user has at most 20; linking counts them.")


class OAuthState(Base):
    """A browser on its way to a provider and back, within 10 minutes and once.

    Both the state and the browser's cookie are kept as hashes; the PKCE verifier and the nonce are
    made of them and a key that only the server has.
    """

    __tablename__ = "oauth_states"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    provider: Mapped[str]
    redirect_to: Mapped[str]
    code_challenge: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)

    access = Access(read=Nobody())
    quota = Bound("A budget of each address; they go when they are used, or within a day.")
    expiries = (Expiry("sign-ins that were not finished", "expires_at < now()", "expires_at"),)


class SignInCode(Base):
    """A code that the browser brings back to the app, good for a minute and once.

    `sealed` is what the provider said, encrypted with a key that only the code itself makes.
    """

    __tablename__ = "sign_in_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    code_challenge: Mapped[str | None]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)

    access = Access(read=Nobody())
    quota = Bound("One for each sign-in at a provider; they go when used, or within a day.")
    expiries = (Expiry("sign-in codes that nobody used", "expires_at < now()", "expires_at"),)


class UsedIdToken(Base):
    """An ID token that has been used to sign in or to link, until it expires."""

    __tablename__ = "used_id_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)

    access = Access(read=Nobody())
    quota = Bound("One for each ID token that a provider signed; gone a day after it expired.")
    expiries = (Expiry("ID tokens that expired", "expires_at < now()", "expires_at"),)
