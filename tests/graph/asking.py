"""Asks for mutations on accounts as a client at some network would, and reads the mail they cause."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson

from auth.accounts import Accounts
from auth.one_time_codes import OneTimeCodes
from db.accounts.emails import email_key
from db.core.actor import NOBODY, Actor
from graph.engine.execution.engine import Engine
from graph.shared.context import Context
from server.services import Services

PASSWORD = "correct horse"
SESSION = (
    "session { accessToken refreshToken user { id email isAnonymous } }"
    " bonusCredits passwordRequired"
)
SELECTIONS = {
    **dict.fromkeys(
        ("signUp", "signIn", "confirmEmail", "resetPassword", "signInWithCode"), SESSION
    ),
    **dict.fromkeys(("changePassword", "confirmEmailChange"), "user { id email }"),
    "signInAnonymously": SESSION,
    "updateUser": "user { username displayName locale timeZone notificationPreferences }",
}


def an_address() -> str:
    """An e-mail address that nobody has."""
    return f"ana.{uuid4().hex}@example.test"


def a_network() -> str:
    """A host in a network of its own."""
    one, other = uuid4().hex[:4], uuid4().hex[:4]
    return f"2001:db8:{one}:{other}::1"


def confirming(services: Services, **settings: Any) -> Services:
    """The services of a deployment that confirms addresses."""
    changed = services.settings.model_copy(update={"confirm_email": True, **settings})
    accounts = Accounts(
        services.database,
        services.passwords,
        services.attempts,
        services.failures,
        services.tokens,
        services.sessions,
        changed,
    )
    return replace(services, settings=changed, accounts=accounts)


@dataclass
class Client:
    """Somebody at a network."""

    engine: Engine
    services: Services
    address: str = field(default_factory=a_network)
    actor: Actor = NOBODY
    user_agent: str | None = None

    async def ask(self, text: str, **variables: Any) -> Any:
        """The whole answer to a document."""
        context = Context(
            self.actor, self.services, "test", address=self.address, user_agent=self.user_agent
        )
        return orjson.loads(await self.engine.run(text, variables, None, context))

    async def __call__(self, name: str, **given: Any) -> Any:
        """The payload of a mutation; the code of a top-level error."""
        type_name = f"{name[0].upper()}{name[1:]}Input"
        selection = SELECTIONS.get(name, "sent")
        answer = await self.ask(
            f"mutation($input: {type_name}!) {{ {name}(input: $input)"
            f" {{ {selection} errors {{ code path }} }} }}",
            input=given,
        )
        if errors := answer.get("errors"):
            return errors[0]["extensions"]["code"]
        return answer["data"][name]

    async def code(self, name: str, **given: Any) -> str | None:
        """The code with which a mutation is refused; None when it is not."""
        payload = await self(name, **given)
        if isinstance(payload, str):
            return payload
        return payload["errors"][0]["code"] if payload["errors"] else None

    async def signed_in(self, name: str, **given: Any) -> Client:
        """The same client with the session that a mutation opens."""
        payload = await self(name, **given)
        assert payload["errors"] == []
        actor = self.services.tokens.verify(payload["session"]["accessToken"])
        return replace(self, actor=actor)

    def elsewhere(self) -> Client:
        """Somebody who is nobody, at another network."""
        return replace(self, address=a_network(), actor=NOBODY)


@dataclass
class Mail:
    """A mail as it is queued, and what its reader finds in it."""

    template: str
    recipient: str
    parameters: dict[str, Any]
    digits: str = ""
    token: str = ""


async def mails_to(owner: asyncpg.Connection, services: Services, email: str) -> list[Mail]:
    """What was mailed to an address, oldest first."""
    codes = OneTimeCodes(services.settings)
    rows = await owner.fetch(
        "select template, recipient, parameters, parameters ->> 'code_id' as code_id from emails"
        " where lower(recipient) = $1 order by id",
        email_key(email),
    )
    found = []
    for row in rows:
        mail = Mail(row["template"], row["recipient"], orjson.loads(row["parameters"]))
        if row["code_id"]:
            code_id = UUID(row["code_id"])
            mail = replace(mail, digits=codes.digits(code_id), token=codes.link_token(code_id))
        found.append(mail)
    return found


class Stage:
    """A deployment that confirms addresses, and one client of it."""

    def __init__(self, engine: Engine, services: Services, owner: asyncpg.Connection) -> None:
        self.owner = owner
        self.engine = engine
        self.services = services
        self.client = Client(engine, services)

    async def mails(self, email: str) -> list[Mail]:
        return await mails_to(self.owner, self.services, email)

    async def last(self, email: str) -> Mail:
        return (await self.mails(email))[-1]

    async def member(self, email: str, client: Client | None = None) -> Client:
        """Somebody who has signed up and confirmed their address."""
        client = client or self.client.elsewhere()
        assert (await client("signUp", email=email, password=PASSWORD))["errors"] == []
        code = (await self.last(email)).digits
        return await client.signed_in("confirmEmail", email=email, code=code)

    async def asked(self, request: str, email: str, client: Client | None = None) -> str:
        """The digits of the code that a request brings."""
        client = client or self.client
        before = len(await self.mails(email))
        assert await client(request, email=email) == {"sent": True, "errors": []}
        mails = await self.mails(email)
        assert len(mails) == before + 1
        return mails[-1].digits


def wrong(digits: str) -> str:
    """Other digits."""
    return f"{(int(digits) + 1) % 10**6:06}"
