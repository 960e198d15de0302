"""The engine: runs a query, a mutation or a subscription and answers in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import orjson
import structlog
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    OperationType,
)
from strawberry import Schema

from auth.pacing import Pace
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode
from db.core.origin import asked_from
from db.core.outages import worth_another_try
from db.core.pool import Database
from graph.engine.documents.coercion import Unusual
from graph.engine.documents.dead_tokens import ignores_dead_token
from graph.engine.documents.key_scopes import refuse_key
from graph.engine.documents.limits import Limits
from graph.engine.documents.operation import Operation, Variables
from graph.engine.documents.persisted import PersistedDocuments
from graph.engine.documents.store import INTROSPECTION, Documents
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.introspection import Introspection
from graph.engine.execution.mutation_fields import MutationField
from graph.engine.execution.payloads import Run, run_mutation
from graph.engine.execution.subscription_plan import SubscriptionPlan
from graph.engine.planning.conversion import Conversions
from graph.engine.planning.faults import FieldFault, FieldFaults, Path, kept, spread
from graph.engine.planning.gone import LooksGone, looks_gone
from graph.engine.planning.json_parts import Json, build_object
from graph.engine.planning.parameters import Parameters, Request, faults_of
from graph.engine.planning.planner import Planner
from graph.engine.planning.planning import Planning
from graph.engine.planning.roots import Roots
from graph.engine.planning.statements import Statement, make_statement
from graph.shared.answer_memory import SMALL_BYTES
from graph.shared.context import Context
from graph.shared.errors import RequestError, domain_error, masked, top_level
from graph.shared.steps import Steps
from graph.shared.switches import SwitchWatch

# Many faults take long to find and to tell, and nobody needs them told at full speed.
FEW_FAULTS, FAULTY_PER_SECOND, LONGEST_PAUSE_SECONDS, PAUSED = 10, 20, 2.0, 100

log = structlog.get_logger("tallygraph.engine")


@dataclass(frozen=True, slots=True)
class PartialPlan:
    """A statement without the fields at fault, and which of all fields may be null.

    Beside it, in the order of the answer, all root fields, and those that ask for introspection.
    """

    statement: Statement
    nullable: Mapping[Path, bool]
    keys: Sequence[str]
    introspected: Mapping[str, list[FieldNode]]


class Engine:
    """Answers operations over one schema and one database."""

    def __init__(
        self,
        strawberry_schema: Schema,
        database: Database,
        *,
        introspection: bool,
        limits: Limits | None = None,
        trusted: Mapping[str, str] | None = None,
    ) -> None:
        self.strawberry = strawberry_schema
        self.schema = strawberry_schema._schema  # the graphql-core schema
        self.database = database
        mutation_root = self.schema.mutation_type
        self.limits = limits or Limits()
        self.documents = Documents(self.schema, introspection=introspection, limits=self.limits)
        self.persisted = PersistedDocuments(self.documents, trusted)
        self.conversions = Conversions(strawberry_schema)
        # Reading, planning and compiling the largest documents takes some 60 ms.
        self._steps = Steps()
        self._introspection = Introspection(self.schema)
        self._fault_pace = Pace[str](FAULTY_PER_SECOND, LONGEST_PAUSE_SECONDS, PAUSED)
        self._roots = Roots(self.schema)
        self._mutation_name = orjson.dumps(mutation_root.name if mutation_root else None)

    async def operation(self, text: str, operation_name: str | None, network: str) -> Operation:
        """The operation of a text; `RequestError` when its document is not valid."""
        found = self.documents.recognized(text, operation_name)
        if isinstance(found, Operation):
            return found
        return await self._steps.run(network, partial(self.documents.read, found))

    async def text(
        self, request: Mapping[str, Any], operation_name: str | None, network: str
    ) -> str:
        """The text of the document that a request sends or names; `RequestError` without one."""
        if request.get("extensions") and self.persisted.reads(request):
            await self.operation(request["query"], operation_name, network)
        return self.persisted.text(request, operation_name)

    def text_at_once(self, request: Mapping[str, Any], operation_name: str | None) -> str | None:
        """The same, without waiting; nothing where a document may have to be read first."""
        if request.get("extensions"):
            return None
        return self.persisted.text(request, operation_name)

    async def ignores_dead_token(
        self, request: Mapping[str, Any], operation_name: str | None, network: str
    ) -> bool:
        """Whether a request runs without the dead token that it was sent with."""
        try:
            text = await self.text(request, operation_name, network)
            operation = await self.operation(text, operation_name, network)
        except RequestError:
            return False
        return ignores_dead_token(self.schema.mutation_type, operation)

    async def run(
        self,
        text: str,
        given_variables: Mapping[str, Any],
        operation_name: str | None,
        context: Context,
        *,
        mutations: bool = True,
    ) -> bytes:
        """One query or mutation as the bytes of its response; `RateLimited` before it runs."""
        operation = self.documents.known(text, operation_name)
        if operation is None:
            operation = await self.operation(text, operation_name, context.network)
        context.normalized_document = operation.normalized
        if context.actor.grant is not None:
            refuse_key(self.schema, operation, context.actor.grant)
        if operation.kind is OperationType.SUBSCRIPTION:
            raise _request_error(
                "Subscribe over a WebSocket with graphql-transport-ws, or with Accept: "
                "text/event-stream."
            )
        if operation.kind is OperationType.MUTATION and not mutations:
            raise _request_error("Send mutations with POST.")
        try:
            variables = coerce_variables(self.schema, operation, given_variables, only_usual=True)
        except Unusual:
            variables = await self._unusual_variables(operation, given_variables, context)
        context.cost = variables.cost
        context.services.queries.charge(context.actor, context.network, variables.cost)
        if variables.room_bytes > SMALL_BYTES:
            return await self._run_large(operation, variables, context)
        if operation.kind is OperationType.MUTATION:
            return await self._mutate(operation, variables, context)
        context.is_reading = True
        return await self._query(operation, variables, context)

    async def _unusual_variables(
        self, operation: Operation, given: Mapping[str, Any], context: Context
    ) -> Variables:
        """The coerced variables. To refuse as many as there may be takes about 40 ms."""
        return await self._steps.run(
            context.network, partial(coerce_variables, self.schema, operation, given)
        )

    async def _run_large(
        self, operation: Operation, variables: Variables, context: Context
    ) -> bytes:
        """One whose answer may be large: there must be room for it first."""
        try:
            await context.take_room(variables.room_bytes)
        except DomainError as refused:
            return failed(refused, context)
        try:
            if operation.kind is OperationType.MUTATION:
                return await self._mutate(operation, variables, context)
            context.is_reading = True
            return await self._query(operation, variables, context)
        finally:
            if not context.keeps_room:
                context.leave_room()

    async def _query(self, operation: Operation, variables: Variables, context: Context) -> bytes:
        statement: Statement | None = None
        try:
            statement = self._known_statement(operation, variables, context.actor)
            if statement is None:
                statement = await self.query_statement(
                    operation, variables, context.actor, context.network
                )
            if statement is None:
                return await self._with_faults(operation, variables, context)
            arguments = self._arguments(operation, statement, variables, context.actor)
            answer = await self._fetch(statement, arguments, context.actor)
            if statement.looks_gone and context.actor.user_id and statement.looks_gone(answer):
                await context.services.accounts.refuse_gone(context.actor)
            return b'{"data":' + answer + b"}"
        except FieldFault as first:
            kept(first)
        except Exception as error:  # every other fault leaves no data
            return failed(error, context)
        return await self._with_faults(operation, variables, context, statement)

    async def _with_faults(
        self,
        operation: Operation,
        variables: Variables,
        context: Context,
        statement: Statement | None = None,
    ) -> bytes:
        """The answer of an operation some of whose fields fail, or that asks for introspection.

        A plan that is known finds what is wrong with its arguments without being made again.
        """
        actor = context.actor
        request = Request(variables, actor.user_id, session_id=actor.session_id)
        planning = self._planning(operation, variables, context.actor)
        try:
            while True:
                plan = await self._steps.run(
                    context.network, partial(self._partial_plan, planning, request, statement)
                )
                try:
                    answer = await self.read(plan.statement, request, context.actor)
                    break
                except FieldFaults as refused:
                    planning.faults |= refused.faults
            if len(planning.faults) > FEW_FAULTS:
                await self._fault_pace.wait(context.network)
            return await self._steps.run(
                context.network, partial(self._told, planning, plan, answer)
            )
        except Exception as error:
            return failed(error, context)

    def _partial_plan(
        self, planning: Planning, request: Request, statement: Statement | None
    ) -> PartialPlan:
        """The plan without the fields at fault, all of which are in `planning` from then on.

        One pass over the document finds every fault of a kind: those of planning, then those of
        arguments, then what the answer shows to be refused. The fields at fault are planned as
        null from then on, so no pass comes twice.
        """
        if statement is not None and not planning.faults:
            planning.faults |= faults_of(statement.getters, request)
        operation, known_faults = planning.operation, frozenset(planning.faults)
        key = (planning.plan_key, known_faults)
        known: PartialPlan | None = operation.normalized.partial_plans.get(key)
        if known is not None:
            return known
        root, fields = planning.root()
        introspected = {k: n for k, n in fields.items() if n[0].name.value in INTROSPECTION}
        compiled = {key: nodes for key, nodes in fields.items() if key not in introspected}
        while True:
            found: dict[Path, FieldFault] = {}
            planner = planning.planner(Parameters(), found)
            pairs = self._plan_fields(planner, root, compiled)
            found = found or faults_of(planner.parameters.getters.values(), request)
            if not found:
                break
            planning.faults |= found
        statement = _statement(planner, pairs)
        plan = PartialPlan(statement, planner.nullable, tuple(fields), introspected)
        if known_faults and known_faults == planning.faults.keys():
            operation.normalized.remember_partial(key, plan)
        return plan

    def _told(self, planning: Planning, plan: PartialPlan, answer: bytes) -> bytes:
        """The response: the data, null where a field fails, and what is wrong with each."""
        data, told = spread(orjson.loads(answer), planning.faults, plan.nullable)
        if data is not None and plan.introspected:
            data |= self._introspection.answer(
                planning.operation, plan.introspected, planning.variables
            )
            data = {key: data[key] for key in plan.keys}
        errors = [top_level(fault, place) for fault, place in told]
        tail = b',"errors":' + orjson.dumps(errors) if errors else b""
        return b'{"data":' + orjson.dumps(data) + tail + b"}"

    def subscription_plan(
        self, operation: Operation, variables: Variables, *, signed_in: bool = True
    ) -> SubscriptionPlan:
        """The plan of a subscription for these variables."""
        plan_key = (signed_in, *operation.plan_key(variables))
        plan: SubscriptionPlan | None = operation.plans.get(plan_key)
        if plan is None:
            planning = Planning(self.schema, operation, variables, signed_in=signed_in)
            plan = SubscriptionPlan(planning)
            operation.normalized.remember(plan_key, plan)
        return plan

    async def plan_subscription(
        self,
        operation: Operation,
        given_variables: Mapping[str, Any],
        actor: Actor,
        network: str,
    ) -> int:
        """Makes the plan of a subscription, so that `subscription_plan()` has it; its cost."""
        if actor.grant is not None:
            refuse_key(self.schema, operation, actor.grant)
        variables = coerce_variables(self.schema, operation, given_variables)
        signed_in = actor.user_id is not None
        if (signed_in, *operation.plan_key(variables)) not in operation.plans:
            plan = partial(self.subscription_plan, operation, variables, signed_in=signed_in)
            await self._steps.run(network, plan)
        return variables.cost

    async def read(self, statement: Statement, request: Request, actor: Actor) -> bytes:
        """Runs a statement for an actor."""
        return await self._fetch(statement, statement.arguments(request), actor)

    @staticmethod
    def _arguments(
        operation: Operation, statement: Statement, variables: Variables, actor: Actor
    ) -> list[Any]:
        """The statement's arguments; of a text without variables, computed once."""
        if operation.variables is None:
            request = Request(variables, actor.user_id, session_id=actor.session_id)
            return statement.arguments(request)
        key = ("arguments", actor.user_id is not None)
        arguments = operation.memo.get(key)
        if arguments is None:
            arguments = statement.arguments(Request(variables, None))
            operation.memo[key] = arguments
        return statement.for_actor(arguments, actor)

    async def _fetch(self, statement: Statement, arguments: list[Any], actor: Actor) -> bytes:
        """The statement's answer, asked for once more if its connection had died."""
        arguments.append(actor.user_claim)
        pool = self.database.pools[actor.role]
        began = perf_counter()
        for last_try in (False, True):
            try:
                async with pool.connection() as connection:
                    answer = await connection.fetch_value(statement.with_claims, arguments)
            except Exception as error:
                if last_try or not worth_another_try(error, perf_counter() - began):
                    raise
            else:
                break
        return statement.finished(answer)

    async def query_statement(
        self, operation: Operation, variables: Variables, actor: Actor, network: str = ""
    ) -> Statement | None:
        """The operation's statement for these variables; nothing when it asks for introspection."""
        statement = self._known_statement(operation, variables, actor)
        if statement is None:
            planning = self._planning(operation, variables, actor)
            statement = await self._steps.run(network, partial(self._query_plan, planning))
        return statement

    @staticmethod
    def _known_statement(
        operation: Operation, variables: Variables, actor: Actor
    ) -> Statement | None:
        """The operation's statement, if it was made before."""
        plan_key = (actor.user_id is not None, *operation.plan_key(variables))
        known: Statement | None = operation.plans.get(plan_key)
        return known

    def _planning(self, operation: Operation, variables: Variables, actor: Actor) -> Planning:
        signed_in = actor.user_id is not None
        return Planning(self.schema, operation, variables, signed_in=signed_in)

    def _query_plan(self, planning: Planning) -> Statement | None:
        # Others with the same document may have come first.
        known: Statement | None = planning.operation.plans.get(planning.plan_key)
        if known is not None:
            return known
        root, fields = planning.root()
        if any(nodes[0].name.value in INTROSPECTION for nodes in fields.values()):
            return None
        planner = planning.planner(Parameters())
        pairs = self._plan_fields(planner, root, fields)
        statement = _statement(planner, pairs, looks_gone(root, fields))
        planning.operation.normalized.remember(planning.plan_key, statement)
        return statement

    def _plan_fields(
        self, planner: Planner, root: GraphQLObjectType, fields: dict[str, list[FieldNode]]
    ) -> list[tuple[str, Json]]:
        return [
            (key, self._roots.field(planner, root, key, nodes)) for key, nodes in fields.items()
        ]

    async def _mutate(self, operation: Operation, variables: Variables, context: Context) -> bytes:
        parts: list[bytes] = []
        errors: list[dict[str, Any]] = []
        run, room_bytes = Run(context, variables), self.limits.answer_bytes
        plan = partial(self.mutation_fields, operation, variables)
        is_planned = operation.plan_key(variables) in operation.plans
        fields = plan() if is_planned else await self._steps.run(context.network, plan)
        for key, field in fields.items():
            try:
                answer = await self._mutate_field(field, run)
                room_bytes -= len(answer)
                if room_bytes < 0:
                    raise _done_but_too_large()
            except Exception as error:
                errors.append(top_level(report(error, context), [key]))
                answer = b"null"
            parts.append(orjson.dumps(key) + b":" + answer)
        if any(field is not None and not field.spec.unmetered for field in fields.values()):
            context.services.wake()
        if context.answer_holds is not None and (errors or not _is_by_itself(fields)):
            context.answer_holds = None
        tail = b',"errors":' + orjson.dumps(errors) if errors else b""
        return b'{"data":{' + b",".join(parts) + b"}" + tail + b"}"

    def mutation_fields(
        self, operation: Operation, variables: Variables
    ) -> dict[str, MutationField | None]:
        """The planned root fields of a mutation for these variables."""
        plan_key = operation.plan_key(variables)
        planned: dict[str, MutationField | None] | None = operation.plans.get(plan_key)
        if planned is None:
            planning = Planning(self.schema, operation, variables, signed_in=True)
            root, fields = planning.root()
            planned = {
                key: MutationField.plan(planning, self.conversions, root, nodes)
                for key, nodes in fields.items()
            }
            operation.normalized.remember(plan_key, planned)
        return planned

    async def _mutate_field(self, field: MutationField | None, run: Run) -> bytes:
        if field is None:
            return self._mutation_name
        if not field.spec.unmetered:
            await run.context.services.mutations.admit(run.context.actor, run.context.network)
        if not field.spec.while_read_only:
            await run.context.services.of(SwitchWatch.of).admit(run.context.actor)
        asked_from(run.context)
        arguments = field.arguments(run.variables)
        return await run_mutation(self.database, field.payload, field.spec, arguments, run)


def _is_by_itself(fields: Mapping[str, MutationField | None]) -> bool:
    """Whether nothing beside the one operation changes something, or reads rows."""
    return len(fields) == 1 and all(f is not None and not f.payload.parts for f in fields.values())


def _statement(
    planner: Planner, pairs: list[tuple[str, Json]], gone: LooksGone | None = None
) -> Statement:
    return make_statement(build_object(pairs), planner.parameters, planner.finishers, gone)


def report(error: Exception, context: Context) -> DomainError:
    """The domain error to show; an internal error is logged whole and shown masked."""
    known = domain_error(error)
    if known is not None:
        return known
    log.error("operation_failed", request_id=context.request_id, exc_info=error)
    return masked(context.request_id)


def failed(error: Exception, context: Context) -> bytes:
    """The response of a query that could not be answered."""
    if isinstance(error, RequestError):
        raise error
    return b'{"data":null,"errors":' + orjson.dumps([top_level(report(error, context))]) + b"}"


def _done_but_too_large() -> DomainError:
    """Each field of a mutation is a statement of its own, within the bound by itself."""
    return DomainError(
        ErrorCode.LIMIT_EXCEEDED,
        "This was done, but with it the answer has too many bytes. Ask for fewer large fields.",
    )


def _request_error(message: str) -> RequestError:
    return RequestError([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)
