"""What admins do from the pages: each is a mutation of the API, its rules and audit log too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from db.core.errors import ErrorCode
from server.admin.visits import NO_ADMIN, PageRefused, Visit

Form = Mapping[str, str]
_PROVE_AGAIN = {ErrorCode.FRESH_SIGN_IN_REQUIRED, ErrorCode.SECOND_FACTOR_REQUIRED}


@dataclass(frozen=True, slots=True)
class AdminAction:
    """A mutation, what a form makes its input of, and what is said when it is done."""

    mutation: str
    input: str
    done: str
    read: Callable[[str, Form], dict[str, Any]]
    # Where it leads back to; `{id}` is the row's.
    back: str

    @property
    def document(self) -> str:
        """The mutation as a document of one variable."""
        return (
            f"mutation($input: {self.input}!) {{ {self.mutation}(input: $input)"
            " { errors { code message } } }"
        )


async def act(action: AdminAction, visit: Visit) -> Response:
    """Does it, and goes back to the page it was asked for on."""
    row_id = visit.request.path_params.get("id", "")
    back = action.back.format(id=row_id)
    try:
        given = action.read(row_id, visit.form)
    except ValueError as error:
        visit.held = visit.held.saying(str(error), is_bad=True)
        return RedirectResponse(back, 303)
    answer = await visit.ask(action.document, input=given)
    codes = {problem.code for problem in answer.problems}
    if codes & _PROVE_AGAIN:
        return RedirectResponse(f"/admin/confirm?{urlencode({'to': back})}", 303)
    if ErrorCode.FORBIDDEN in codes:
        raise NO_ADMIN
    if ErrorCode.RATE_LIMITED in codes:
        raise PageRefused(429, "Too much at once", answer.problems[0].message, (back, "Back"))
    if answer.problems:
        words = " ".join(problem.message for problem in answer.problems)
        visit.held = visit.held.saying(words, is_bad=True)
    else:
        visit.held = visit.held.saying(action.done)
    return RedirectResponse(back, 303)


def _id(row_id: str, _: Form) -> dict[str, Any]:
    return {"id": row_id}


def _whole(form: Form, name: str, label: str) -> int:
    text = form.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{label}: write a whole number.")
    return int(text)


def _grant(row_id: str, form: Form) -> dict[str, Any]:
    return {
        "userId": row_id,
        "amount": _whole(form, "amount", "Credits"),
        "reason": form.get("reason", ""),
        # Made with the form, so that one sent twice gives once.
        "idempotencyKey": form.get("idempotency_key", ""),
    }


def _refund(row_id: str, form: Form) -> dict[str, Any]:
    given = {
        "orderId": row_id,
        "reason": form.get("reason", ""),
        "idempotencyKey": form.get("idempotency_key", ""),
    }
    if form.get("amount_cents", "").strip():
        given["amountCents"] = _whole(form, "amount_cents", "Amount")  # type: ignore[assignment]
    return given


def _switch(_: str, form: Form) -> dict[str, Any]:
    return {
        "name": form.get("name", ""),
        "value": form.get("value") == "on",
        "reason": form.get("reason", ""),
    }


def _of_user(mutation: str, done: str) -> AdminAction:
    name = mutation[0].upper() + mutation[1:]
    return AdminAction(mutation, f"{name}Input", done, _id, "/admin/users/{id}")


ACTIONS: Mapping[str, AdminAction] = {
    "/admin/users/{id}/credits": AdminAction(
        "grantCredits", "GrantCreditsInput", "The credits are given.", _grant, "/admin/users/{id}"
    ),
    "/admin/users/{id}/lock": _of_user("lockUser", "The account is locked."),
    "/admin/users/{id}/unlock": _of_user("unlockUser", "The account is open again."),
    "/admin/users/{id}/promote": _of_user("promoteUser", "They are an admin now."),
    "/admin/users/{id}/demote": _of_user("demoteUser", "They are no admin any more."),
    "/admin/users/{id}/sign-out": _of_user("signOutUser", "They are signed out everywhere."),
    "/admin/users/{id}/reset": _of_user("sendPasswordReset", "A code is on its way to them."),
    "/admin/users/{id}/delete": _of_user("deleteUser", "The account will be deleted."),
    "/admin/orders/{id}/refund": AdminAction(
        "refundOrder",
        "RefundOrderInput",
        "The provider was asked to give it back.",
        _refund,
        "/admin/orders/{id}",
    ),
    "/admin/webhooks/{id}/replay": AdminAction(
        "replayWebhook",
        "ReplayWebhookInput",
        "It is processed again; look in a moment.",
        _id,
        "/admin/webhooks/{id}",
    ),
    "/admin/jobs/{id}/retry": AdminAction(
        "retryJob", "RetryJobInput", "It is in line once more.", _id, "/admin/jobs/{id}"
    ),
    "/admin/switches": AdminAction(
        "setSwitch", "SetSwitchInput", "The switch is turned.", _switch, "/admin/switches"
    ),
}
