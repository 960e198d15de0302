"""Messages of chats about profiles, and the pieces of replies that are being written."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKey, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.core.access import Access, Owner, Watch
from db.core.base import Base, OptionalTimestamp, Timestamp, UuidKey
from db.core.erasing import Delete
from db.core.exporting import NotExported
from db.core.lifecycles import Lifecycle, State, is_one_of
from db.core.merge_rules import Move
from db.core.quotas import Bound, Limit, TableQuota

TEXT_LIMIT_BYTES = 131_072


class ChatRole(State):
    """Who says a message."""

    USER = "USER", "The user."
    ASSISTANT = "ASSISTANT", "The assistant, in reply to a message of the user's."


class ChatMessageStatus(State):
    """Where a message stands."""

    QUEUED = "QUEUED", "A reply that waits for a worker; credits held."
    RUNNING = "RUNNING", "A reply that is being written."
    SUCCEEDED = "SUCCEEDED", "It is whole; a reply is paid for."
    FAILED = "FAILED", "A reply that broke off; the credits are back."
    CANCELLED = "CANCELLED", "A reply that was called off; what was written by then is paid for."


UNFINISHED = is_one_of("status", ChatMessageStatus.QUEUED, ChatMessageStatus.RUNNING)
NEW_UNFINISHED = is_one_of("new.status", ChatMessageStatus.QUEUED, ChatMessageStatus.RUNNING)


class ChatMessage(Base):
    """One message of the chat about a profile.

    A reply has no text until it has ended: its pieces are in `chat_chunks`, and each is told to who
    watches it in an event of its own. `client_id` is the id that a device gave a message. What has
    ended takes a `position` among the user's changes (`db/sync/tables.py`); `device_id` is the
    device whose sync brought it.
    """

    __tablename__ = "chat_messages"

    id: Mapped[UuidKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    question_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("chat_messages.id", ondelete="CASCADE"), index=True
    )
    client_id: Mapped[str | None]
    role: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=ChatMessageStatus.SUCCEEDED)
    text: Mapped[str] = mapped_column(server_default="")
    credits_charged: Mapped[int] = mapped_column(server_default=sql("0"))
    made_offline: Mapped[bool] = mapped_column(server_default=sql("false"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[Timestamp]
    finished_at: Mapped[OptionalTimestamp]
    device_id: Mapped[str | None]
    position: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    stored_bytes: Mapped[int] = mapped_column(
        Computed("octet_length(text) + octet_length(coalesce(client_id, '')) + 64", persisted=True)
    )

    __table_args__ = (
        CheckConstraint(is_one_of("role", *ChatRole), name="role"),
        CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="error"),
        CheckConstraint("status = 'SUCCEEDED' or role = 'ASSISTANT'", name="reply"),
        CheckConstraint("credits_charged >= 0", name="credits_charged"),
        CheckConstraint("length(client_id) between 1 and 64", name="client_id"),
        CheckConstraint(f"octet_length(text) <= {TEXT_LIMIT_BYTES}", name="text"),
        Index("ix_chat_messages_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_chat_messages_profile_id_created_at_id", "profile_id", "created_at", "id"),
        Index("ix_chat_messages_user_id_position", "user_id", "position"),
        Index("uq_chat_messages_profile_id_client_id", "profile_id", "client_id", unique=True),
        # One reply of a chat is written at a time.
        Index(
            "uq_chat_messages_unfinished",
            "profile_id",
            unique=True,
            postgresql_where=sql(UNFINISHED),
        ),
    )
    large: ClassVar = {"text": TEXT_LIMIT_BYTES}
    access = Access(read=Owner(), hidden=("device_id", "position"), service=("SELECT",))
    triggers = (
        "note_insert before insert on chat_messages for each row"
        f" when (new.position = 0 and not ({NEW_UNFINISHED}))"
        " execute function app.note_chat_message()",
        "note_update before update on chat_messages for each row"
        " when ((new.status <> old.status or new.user_id <> old.user_id)"
        f" and not ({NEW_UNFINISHED}))"
        " execute function app.note_chat_message()",
        "tell_inserts after insert on chat_messages referencing new table as new_rows"
        " for each statement execute function app.tell_of_new_messages()",
        "tell_updates after update on chat_messages referencing old table as old_rows"
        " new table as new_rows"
        " for each statement execute function app.tell_of_ended_replies()",
    )
    watch = Watch("chat.reply", inserts=False)
    lifecycle = Lifecycle(
        "status",
        ChatMessageStatus,
        initial=(
            ChatMessageStatus.SUCCEEDED,
            ChatMessageStatus.QUEUED,
        ),
        transitions={
            ChatMessageStatus.QUEUED: (
                ChatMessageStatus.RUNNING,
                ChatMessageStatus.FAILED,
                ChatMessageStatus.CANCELLED,
            ),
            ChatMessageStatus.RUNNING: (
                ChatMessageStatus.SUCCEEDED,
                ChatMessageStatus.FAILED,
                ChatMessageStatus.CANCELLED,
            ),
        },
    )
    on_erase = Delete()
    on_merge = Move()
    quota = TableQuota(
        guests=Limit(2_000, 10_000_000),
        members=Limit(100_000, 250_000_000),
        delete_with="deleteProfile",
    )


class ChatChunk(Base):
    """A piece of a reply that is being written; they go when it has ended."""

    __tablename__ = "chat_chunks"

    message_id: Mapped[UUID] = mapped_column(
        ForeignKey("chat_messages.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    text: Mapped[str]

    access = Access(read=Owner(), service=("SELECT",))
    on_erase = Delete()
    on_merge = Move()
    export = NotExported("Pieces of messages that are in the archive once they are whole.")
    quota = Bound("The pieces of at most three replies at a time.")
