"""Leaving in the schema: deleting the account, and an archive of all that it has."""

from __future__ import annotations

from datetime import datetime
from time import time
from typing import Any

import strawberry
from sqlalchemy import BigInteger, case, literal_column

from auth.demands import FRESH_SIGN_IN, STRONG_SIGN_IN, errors_of
from auth.leaving import Leaving
from db.core.errors import ErrorCode
from db.files.storage import ARCHIVE_TYPE
from db.leaving import operations, tables
from graph.accounts import User
from graph.engine.declare import (
    NEWEST_FIRST,
    backed_by,
    column,
    computed,
    connection,
    expression,
    global_id,
    mutation,
    state_enum,
)
from graph.engine.execution.outcomes import RESULT, Outcome, Payload
from graph.engine.extending import extend
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Node
from graph.uploads import links
from settings import get_settings

LARGEST_INT = literal_column("2147483647", BigInteger)

state_enum(tables.ExportStatus)


@backed_by(tables.DataExport, prefix="dataExport")
class DataExport(Node):
    """An archive of all that a user has: a ZIP file with JSON for each slice, and the files."""

    id: strawberry.ID = global_id()
    status: tables.ExportStatus = column(description="Where it stands.")
    size_bytes: int | None = expression(
        # An Int of GraphQL has 32 bits.
        lambda export: case(
            (export.c.size_bytes > LARGEST_INT, LARGEST_INT), else_=export.c.size_bytes
        ),
        description="Size of the file; null until it is there. 2147483647 where it is more.",
    )
    created_at: datetime = column(description="When it was asked for.")
    expires_at: datetime | None = column(
        description="Until when it can be fetched; null until it is there."
    )

    @computed(
        "path",
        "expires_at",
        description="Signed link to the ZIP file; null unless it is READY. Keep it secret: whoever "
        "has it can fetch the file, for an hour by default.",
    )
    def url(self: Any) -> str | None:
        """Good no longer than the archive itself."""
        if not self.path:
            return None
        ends = datetime.fromisoformat(self.expires_at).timestamp()
        until = min(time() + get_settings().result_url_seconds, ends)
        return links().picture_url(self.path, ARCHIVE_TYPE, until, None) if ends > time() else None


extend(
    User,
    exports=connection(
        DataExport, NEWEST_FIRST, description="Archives asked for with `exportMyData`."
    ),
)


@strawberry.input(description="What proves that it is the account's owner who asks.")
class DeleteAccountInput:
    password: str | None = strawberry.field(
        default=None,
        description="The account's password; not needed by a guest, nor within minutes of signing "
        "in or `reauthenticate`. Null is as good as leaving it out.",
    )
    code: str | None = strawberry.field(
        default=None,
        description="Instead of the password: the code, or the link's token, that "
        "`requestSignInCode` mails. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `deleteAccount`.")
class DeleteAccountPayload(MutationPayload):
    deletes_at: datetime | None = strawberry.field(
        description="When the account and all it has is gone for good. Signing in before keeps it."
    )


@strawberry.type(description="Result of `exportMyData`.")
class ExportMyDataPayload(MutationPayload):
    export: DataExport | None = strawberry.field(description="The archive as it is now.")


async def delete_account(context: Context, input: DeleteAccountInput | None = None) -> Payload:
    """Schedules the deletion of the caller's account."""
    given = input or DeleteAccountInput()
    deletes_at = await context.services.of(Leaving.of).delete_account(
        context.signed_in(), password=given.password, code=given.code, network=context.network
    )
    return Payload({"deletes_at": deletes_at, "viewer": None})


async def export_my_data(context: Context) -> Outcome:
    """Asks for an archive, or finds the one that is being made."""
    context.signed_in()
    return Outcome(operations.request_export(), {"export": RESULT})


@strawberry.type
class LeavingMutation:
    """Mutations of leaving."""

    delete_account: DeleteAccountPayload | None = mutation(
        delete_account,
        DeleteAccountInput,
        errors=(
            ErrorCode.BAD_USER_INPUT,
            ErrorCode.INVALID_CREDENTIALS,
            ErrorCode.CODE_INVALID,
            ErrorCode.LAST_OWNER,
            ErrorCode.LAST_ADMIN,
            *errors_of(FRESH_SIGN_IN | STRONG_SIGN_IN),
        ),
        needs_input=False,
        description="Delete the caller's account after a grace period (30 days by default; a "
        "guest's at once). All sessions end now; signing in before the time keeps the account. "
        "A subscription at Stripe ends with it; one of an app store is cancelled there.",
    )
    export_my_data: ExportMyDataPayload | None = mutation(
        export_my_data,
        errors=(),
        demands=FRESH_SIGN_IN | STRONG_SIGN_IN,
        while_read_only=True,
        description="Make an archive of all that the caller has; while one is being made, it is "
        "that one. Two a day: beyond that, RATE_LIMITED. Archives end when the account is locked "
        "or is to be deleted.",
    )
