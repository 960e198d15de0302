"""Users, their credentials and sessions, the terms of signing up, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Admin, AnyOf, Nobody, Owner
from db.core.base import Base, BigKey, Json, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Anonymise, Call, Delete, GoesWith
from db.core.expiry import Expiry
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State, set_once
from db.core.merge_rules import KeepTheMembers, Stay
from db.core.quotas import Bound

NAMES_SOMEBODY = "strpos(detail::text, 'user_') > 0 or detail ? 'older_account'"
PREFERENCES_LIMIT_BYTES = 4_096
# For who chose none: 60 random bits, which say nothing of them. Written as Postgres writes it.
NEW_USERNAME = (
    "('user_'::text || substr(replace((gen_random_uuid())::text, '-'::text, ''::text), 1, 16))"
)
# What friends sign up by: 48 random bits.
NEW_REFERRAL_CODE = "upper(substr(replace((gen_random_uuid())::text, '-'::text, ''::text), 1, 12))"


class UserStatus(State):
    """Whether an account may be used."""

    ACTIVE = "active", "Its owner may sign in."
    LOCKED = "locked", "Nobody may sign in, and its sessions have ended."
    MERGED = "merged", "A guest's: what they had is another account's, and nobody may sign in."


class User(Base):
    """A person, or a guest who may become one.

    `email` is null for guests, and for who came by a provider that has verified no address.

    `email` is the address as its owner typed it, to be shown and written to: whatever is mailed
    goes there and never to the spelling that a request used. `email_key` is what all spellings of
    it have in common (`db/accounts/emails.py`); who looks for an account by e-mail compares that.
    It is null for who shared an address with an older account before keys were kept.
    `email_confirmed_at` is when its owner last proved that they read what is sent there; null while
    nobody has. `username` names them to others; two that differ in case alone are one. What
    `notification_preferences` does not name is wanted.
    `selected_organization_id` is the organization that they work in, always one of their own.
    `referral_code` is what friends sign up by (db/referrals).
    """

    __tablename__ = "users"

    id: Mapped[UuidKey]
    email: Mapped[str | None]
    email_key: Mapped[str | None]
    is_anonymous: Mapped[bool] = mapped_column(server_default=text("false"))
    role: Mapped[str] = mapped_column(server_default="user")
    status: Mapped[str] = mapped_column(server_default=UserStatus.ACTIVE)
    display_name: Mapped[str | None]
    username: Mapped[str] = mapped_column(server_default=text(NEW_USERNAME))
    username_key: Mapped[str] = mapped_column(Computed("lower(username)", persisted=True))
    locale: Mapped[str | None]
    time_zone: Mapped[str | None]
    notification_preferences: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    email_confirmed_at: Mapped[OptionalTimestamp]
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    selected_organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="SET NULL"), index=True
    )
    referral_code: Mapped[str] = mapped_column(server_default=text(NEW_REFERRAL_CODE))
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp] = mapped_column(onupdate=text("now()"))

    __table_args__ = (
        CheckConstraint("role in ('user', 'admin')", name="role"),
        CheckConstraint("email is not null or email_key is null", name="key_of_email"),
        Index("uq_users_email_key", "email_key", unique=True),
        Index("uq_users_username_key", "username_key", unique=True),
        Index("uq_users_referral_code", "referral_code", unique=True),
        Index("ix_users_created_at_id", "created_at", "id"),
        # Among whom those are that nobody uses any more (db/guests/idle.sql).
        Index(
            "ix_users_guests",
            "created_at",
            "id",
            postgresql_where=text("is_anonymous and status = 'active'"),
        ),
    )
    access = Access(
        read=AnyOf(Owner("id"), Admin()),
        write=Owner("id"),
        hidden=("email_key", "username_key"),
        update=(
            "username",
            "display_name",
            "locale",
            "time_zone",
            "notification_preferences",
            "updated_at",
        ),
    )
    large: ClassVar = {"notification_preferences": PREFERENCES_LIMIT_BYTES}
    lifecycle = Lifecycle(
        "status",
        UserStatus,
        initial=(UserStatus.ACTIVE,),
        transitions={
            UserStatus.ACTIVE: (
                UserStatus.LOCKED,
                UserStatus.MERGED.when("new.is_anonymous", "a guest was merged into an account"),
            ),
            UserStatus.LOCKED: (UserStatus.ACTIVE,),
        },
    )
    triggers = (
        "forget_allowed after update on users for each row"
        " when (old.plan_id is distinct from new.plan_id or old.is_anonymous <> new.is_anonymous)"
        " execute function app.forget_allowed()",
        "rename_member after update on users for each row"
        " when (old.email is distinct from new.email"
        " or old.display_name is distinct from new.display_name)"
        " execute function app.rename_member()",
        "rename_partner after update on users for each row"
        " when (old.display_name is distinct from new.display_name)"
        " execute function app.rename_partner()",
        "refuse_open_wallet before delete on users"
        " for each row execute function app.refuse_open_wallet()",
        "end_api_keys after update on users for each row"
        " when (new.status <> 'active' and old.status = 'active'"
        " or old.role = 'admin' and new.role <> 'admin')"
        " execute function app.end_api_keys()",
        "end_exports after update on users for each row"
        " when (new.status <> 'active' and old.status = 'active')"
        " execute function app.end_exports_of_account()",
    )
    on_erase = Delete("id")
    quota = Bound("One for each sign-up: sign-ups are what has a budget, by address.")
    on_merge = Stay("The ledger's lines name the guest for ever; the account is MERGED.")


class Credential(Base):
    """A user's password, as an argon2id hash in PHC format."""

    __tablename__ = "credentials"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str]
    updated_at: Mapped[Timestamp]

    __table_args__ = (
        Index(
            "ix_credentials_imported_cost",
            text("substr(password_hash, 5, 2)"),
            postgresql_where=text("password_hash like '$2%'"),
        ),
    )
    access = Access(read=Nobody())
    on_erase = Delete()
    export = NotExported("A secret.")
    on_merge = KeepTheMembers()
    quota = Bound("One for each member.")


class SessionStatus(State):
    """Whether a session's tokens are good, until they expire."""

    OPEN = "OPEN", "Its device is signed in."
    REVOKED = "REVOKED", "It was ended: its tokens are dead."


class Session(Base):
    """One signed-in device. Revoking it kills its access and refresh tokens.

    `address` is the network around where it was last seen, never the address itself
    (`db/core/origin.py`); it goes with the row.
    `methods` are the ways in which its owner proved who they are (`db/accounts/assurance.py`), and
    `authenticated_at` is when they last did; refreshing changes neither.
    """

    __tablename__ = "sessions"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[Timestamp]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[OptionalTimestamp] = mapped_column(index=True)
    revoked_reason: Mapped[str | None]
    user_agent: Mapped[str | None]
    address: Mapped[str | None]
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    authenticated_at: Mapped[Timestamp]

    __table_args__ = (Index("ix_sessions_user_id", "user_id", "created_at", "id"),)
    access = Access(read=AnyOf(Owner(), Admin()))
    lifecycle = set_once("revoked_at", SessionStatus)
    triggers = (
        "record_deleted_session after delete on sessions"
        " for each row execute function app.record_deleted_session()",
        "forget_push_tokens after update on sessions for each row"
        " when (old.revoked_at is null and new.revoked_at is not null)"
        " execute function app.forget_push_tokens()",
    )
    on_erase = Delete()
    quota = Bound("The 100 used last of a user go on; what has ended is purged after a week.")
    on_merge = Stay("The guest's end: each process must know that they did.")
    # Longer than any access token lives: a revoked session must be known as revoked until then.
    expiries = (
        Expiry(
            "sessions revoked a week ago", "revoked_at < now() - interval '7 days'", "revoked_at"
        ),
        Expiry(
            "sessions expired a week ago", "expires_at < now() - interval '7 days'", "expires_at"
        ),
    )


class DeletedSession(Base):
    """A session whose row went while its access tokens lived on, most often with its account.

    A trigger on `sessions` writes it, so that every process learns of it as of a revoked one. The
    secrets of API keys that ended are written here, too (`db/api_keys/tables.py`).
    """

    __tablename__ = "deleted_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    deleted_at: Mapped[Timestamp] = mapped_column(index=True)

    access = Access(read=Nobody(), service=("SELECT", "DELETE"))
    quota = Bound("One for each session or secret that was deleted, kept for 30 days.")
    # Long after the last access token of the session.
    expiries = (
        Expiry(
            "deleted sessions older than 30 days",
            "deleted_at < now() - interval '30 days'",
            "deleted_at",
        ),
    )


class RefreshToken(Base):
    """A single-use token of a session; only its SHA-256 is kept."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[Timestamp]
    expires_at: Mapped[datetime]
    used_at: Mapped[OptionalTimestamp]
    replaced_by: Mapped[bytes | None] = mapped_column(LargeBinary)

    access = Access(read=Nobody())
    on_erase = GoesWith("session_id")
    export = NotExported("Secrets.")
    quota = Bound("The 1,000 newest of a session; they go with their session.")


class SignUpTerms(Base):
    """What a new user gets; one row, loaded by the product's seed.

    With `founds_organization`, whoever becomes a member owns a first organization. `seed` names
    the seed that was loaded last: `tallygraph dev` loads that one anew, and no other.
    """

    __tablename__ = "sign_up_terms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bonus_credits: Mapped[int]
    anonymous_bonus_credits: Mapped[int]
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    founds_organization: Mapped[bool] = mapped_column(server_default=text("false"))
    seed: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint("bonus_credits >= 0 and anonymous_bonus_credits >= 0", name="bonus"),
    )
    access = Access(read=Nobody())
    quota = Bound("One row.")


class RateBudget(Base):
    """When an address or a device used what there is only so much of for each; exact to the use.

    `holder_hash` is a keyed hash, so that nobody reads addresses here; a row is gone within a day
    of `expires_at`, when none of its uses counts any more.
    """

    __tablename__ = "rate_budgets"

    kind: Mapped[str] = mapped_column(primary_key=True)
    holder_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_at: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)))
    expires_at: Mapped[datetime] = mapped_column(index=True)

    access = Access(read=Nobody())
    quota = Bound("One for each address and device that signed up within a day.")
    expiries = (Expiry("budgets that are whole again", "expires_at <= now()", "expires_at"),)


class AuditEntry(Base):
    """What happened to accounts and money; never a secret. Written once, and never changed.

    `user_id` is whose account it concerns: they read it, but for `detail`, which is the operator's.
    `subject` is what of it they are shown, `network` and `device` are where it was asked for, as
    far as that was a request. `times` is more than one for failures that came close together.
    """

    __tablename__ = "audit_log"

    id: Mapped[BigKey]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    action: Mapped[str]
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[Timestamp]
    subject: Mapped[str | None]
    network: Mapped[str | None]
    device: Mapped[str | None]
    times: Mapped[int] = mapped_column(server_default=text("1"))

    __table_args__ = (
        CheckConstraint("times >= 1", name="times"),
        Index("ix_audit_log_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_audit_log_created_at_id", "created_at", "id"),
        # Whether a use or a sync has been noted within the hour: asked at each.
        Index(
            "ix_audit_log_noted_hourly",
            "user_id",
            "action",
            "subject",
            "created_at",
            postgresql_where=text("action in ('credit_use', 'sync')"),
        ),
        # Entries that name somebody beside whose they are, for when that somebody leaves.
        Index(
            "ix_audit_log_naming",
            "detail",
            postgresql_using="gin",
            postgresql_where=text(NAMES_SOMEBODY),
        ),
    )
    access = Access(read=Owner(), hidden=("detail",), service=("SELECT", "INSERT"))
    triggers = (
        "show_audit_subject before insert on audit_log for each row when (new.subject is null)"
        " execute function app.show_audit_subject()",
        "note_for_organization after insert on audit_log for each row"
        " when (starts_with(new.detail ->> 'organization', 'organization_'))"
        " execute function app.note_for_organization()",
        "forget_audited_person before update on audit_log for each row"
        " when (new.user_id is null and old.user_id is not null)"
        " execute function app.forget_audited_person()",
    )
    on_erase = (Call("forget_named_in_audit"), Anonymise("user_id"))
    on_merge = Stay("What was noted is never rewritten; a line of each account names the other.")
    quota = Bound(
        "One for each sign-in, change, payment and analysis; failures are counted together, by "
        "account and minute, uses of credits and syncs by the hour. "
        "Kept for 400 days, what concerns credits for ten years."
    )
