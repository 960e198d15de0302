"""The context of a request: who asks, under which id, and the services operations use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from auth.accounts import Accounts
from auth.demands import Demand, Demands
from auth.mutation_rates import MutationRates
from auth.networks import network_of
from auth.query_rates import QueryRates
from auth.services import AccountServices
from db.accounts.administration import require_admin
from db.core.actor import Actor
from db.core.errors import sign_in_first
from db.core.pool import Database
from db.uploads.receiving import UploadReceiver
from graph.shared.answer_memory import AnswerMemory, Room
from settings import Settings

if TYPE_CHECKING:
    from graph.engine.documents.operation import NormalizedDocument


# Where an HTTP request's scope holds its context.
CONTEXT_KEY = "tallygraph.context"
# In its scope when the body has arrived whole: the body, so that nobody needs to wait for it.
BODY_KEY = "tallygraph.body"
# In its scope: writes a whole answer of status 200, given its headers as bytes and its body; false
# when the connection has too much to send already.
RESPOND_KEY = "tallygraph.respond"
# In a socket's scope: writes a text, given as bytes; false when it has too much to send already.
WRITE_KEY = "tallygraph.write"
# Where it holds the function that drops the connection, for clients that never read.
ABORT_KEY = "tallygraph.abort"


class OperationServices(Protocol):
    """What operations work with; a process makes it once, when it starts."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def uploads(self) -> UploadReceiver: ...
    @property
    def answers(self) -> AnswerMemory: ...
    @property
    def mutations(self) -> MutationRates: ...
    @property
    def queries(self) -> QueryRates: ...
    def of[T](self, make: Callable[[AccountServices], T]) -> T:
        """A service that a slice needs: made once, by the function that names it."""
        ...

    def wake(self) -> None:
        """Something was committed: subscribers should look."""


@dataclass(slots=True)
class Context:
    """What an operation knows of its request.

    `address` is the client's; what it may use is counted by `network`. While it `is_reading`, its
    work may be cancelled at any time; `client_left` says that it was. `normalized_document` is set
    once the operation is known, and `cost` is what it was charged for. An answer that may be large
    takes `room`; whoever sends it and gives that back later says so with `keeps_room`. An operation
    that changes nothing and answers from memory tells with `answer_holds` whether somebody without
    a session would still have the same answer.
    """

    actor: Actor
    services: OperationServices
    request_id: str
    user_agent: str | None = None
    address: str = ""
    is_reading: bool = False
    client_left: bool = False
    room: Room | None = None
    keeps_room: bool = False
    normalized_document: NormalizedDocument | None = None
    cost: int = 0
    answer_holds: Callable[[], bool] | None = None

    @property
    def network(self) -> str:
        """What counts as the client's address."""
        return network_of(self.address)

    async def take_room(self, size_bytes: int) -> None:
        """Takes room for an answer that may be large; whoever sends the answer gives it back."""
        user = self.actor.user_id or self.network
        self.room = await self.services.answers.enter(user, self.network, size_bytes)

    def leave_room(self) -> None:
        """The answer has been read, or never will be."""
        if self.room is not None:
            self.room.leave()
            self.room = None

    def told(self) -> dict[str, str | None]:
        """What a log says of it: who asks for what, and never with which values."""
        asked, user_id = self.normalized_document, self.actor.user_id
        return {
            "user_id": str(user_id) if user_id else None,
            "operation": asked.name if asked else None,
            "field": asked.label[1] if asked else None,
        }

    def signed_in(self) -> Actor:
        """The actor, refused when nobody is signed in."""
        if self.actor.user_id is None:
            raise sign_in_first()
        return self.actor

    async def meet(self, demands: Demand) -> None:
        """Refuses an actor who did not sign in as it is demanded; nobody is refused elsewhere."""
        await self.services.of(Demands.of).meet(self.actor, demands)

    async def admin(self) -> Actor:
        """The actor, refused unless the database knows them as an admin."""
        actor = self.signed_in()
        await require_admin(self.services.database, actor)
        return actor
