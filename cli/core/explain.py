"""Shows what one operation becomes: its SQL, its parameters, and Postgres's plan for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any
from uuid import UUID

from graphql import OperationType
from sqlalchemy import text as sql_text

from db.accounts.emails import clean_email, email_key
from db.core.actor import NOBODY, SERVICE, Actor
from db.core.commands import FunctionCall
from db.core.errors import DomainError, ErrorCode
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.documents.limits import Limits
from graph.engine.documents.operation import Operation
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.engine.execution.mutation_fields import MutationField
from graph.engine.execution.outcomes import Outcome
from graph.engine.execution.payloads import Run, call_request
from graph.engine.planning.parameters import Request
from graph.engine.planning.statements import Statement
from graph.live.bus import WakeBus
from graph.schema import build_schema
from graph.shared.context import Context
from server.app import make_services
from server.services import Services
from settings import Settings

LINE_WIDTH = 100
INDENT = "  "
CLAUSES = r"select|from|where|order by|group by|having|limit|left outer join|join|union all"
_TOKEN = re.compile(rf"'(?:[^']|'')*'|\"[^\"]*\"|\s+|[(),]|(?:{CLAUSES})\b|\$?\w+|.", re.IGNORECASE)
_CLAUSE = re.compile(CLAUSES, re.IGNORECASE)
_FIND_USER = sql_text(
    "select id, is_anonymous, role = 'admin' as is_admin from users where email_key = :email_key"
)


@dataclass(frozen=True)
class Question:
    """An operation to explain, and for whom; `analyze` also runs what only reads."""

    document: str
    variables: Mapping[str, Any]
    operation_name: str | None = None
    email: str | None = None
    analyze: bool = False


@dataclass(frozen=True)
class Step:
    """One statement of an operation; without `arguments` it depends on what ran before it."""

    title: str
    sql: str = ""
    arguments: Sequence[Any] | None = None
    reads: bool = False
    selection: str = ""  # the argument that is SQL itself, for some functions


async def explain(engine: Engine, services: Services, question: Question) -> str:
    """The explanation as text. Nothing is written; errors are those of the request."""
    actor = await _find_actor(engine.database, question.email)
    operation = engine.documents.operation(question.document, question.operation_name)
    variables = coerce_variables(engine.schema, operation, question.variables)
    parts = [f"-- As {question.email or 'nobody'}, role {actor.role}"]
    for step in await _steps(engine, services, operation, variables, actor):
        parts.append(_shown(step))
        if step.reads and step.arguments is not None:
            parts.append(await _plan_of(engine.database, actor, step, question.analyze))
    return "\n\n".join(parts) + "\n"


async def explain_here(settings: Settings, url: str, question: Question) -> str:
    """The same in a process of its own, over the database at `url`."""
    database = await Database.connect(url, settings)
    services = make_services(settings, database, open_storage(settings), WakeBus.memory())
    try:
        limits = Limits.of(settings)
        engine = Engine(build_schema(), database, introspection=True, limits=limits)
        return await explain(engine, services, question)
    finally:
        services.passwords.close()
        await database.close()


async def _find_actor(database: Database, email: str | None) -> Actor:
    if email is None:
        return NOBODY
    async with database.transaction(SERVICE) as transaction:
        found = await transaction.fetch_one(_FIND_USER, email_key=email_key(email))
    if found is None:
        raise DomainError(ErrorCode.NOT_FOUND, f"Nobody has the e-mail {clean_email(email)}.")
    return Actor(
        "authenticated",
        found["id"],
        is_anonymous=found["is_anonymous"],
        is_admin=found["is_admin"],
    )


async def _steps(
    engine: Engine, services: Services, operation: Operation, variables: Any, actor: Actor
) -> list[Step]:
    if operation.kind is OperationType.MUTATION:
        context = Context(actor, services, "explain")
        fields = engine.mutation_fields(operation, variables)
        return [
            step
            for key, field in fields.items()
            if field is not None
            for step in await _mutation_steps(key, field, context, variables)
        ]
    request = Request(variables, actor.user_id)
    if operation.kind is OperationType.SUBSCRIPTION:
        plan = engine.subscription_plan(operation, variables)
        return [
            _reading("The state now", plan.now, request, actor),
            Step("Each event; its row is a parameter", plan.event.with_claims),
        ]
    statement = await engine.query_statement(operation, variables, actor)
    if statement is None:
        return [Step("Introspection is answered by graphql-core, without its own statement")]
    return [_reading("Query", statement, request, actor)]


def _reading(title: str, statement: Statement, request: Request, actor: Actor) -> Step:
    arguments = [*statement.arguments(request), actor.user_claim]
    return Step(title, statement.with_claims, arguments, reads=True)


async def _mutation_steps(
    key: str, field: MutationField, context: Context, variables: Any
) -> list[Step]:
    # Only an operation that hands back an outcome has not run its command yet when it returns.
    if field.spec.operation.__annotations__["return"] in (Outcome, Outcome.__name__):
        outcome: Outcome = await field.spec.operation(context, **field.arguments(variables))
        statement = field.payload.call_statement(outcome)
        if statement is not None and isinstance(outcome.command, FunctionCall):
            request = call_request(outcome, Run(context, variables))
            claim = context.actor.user_claim
            arguments = statement.arguments(outcome.command.values, request, claim)
            title = f"{key}: function and payload, not run"
            return [Step(title, statement.sql, arguments, selection=statement.selection)]
    steps = [Step(f"{key}: done in Python, in a transaction, not run")]
    if field.payload.parts:
        steps.append(Step(f"{key}: then the payload is read", field.payload.rows_statement().sql))
    return steps


def _shown(step: Step) -> str:
    lines = [f"-- {step.title}"]
    if step.sql:
        lines.append(wrapped(step.sql) + ";")
    arguments = step.arguments or ()
    for position, value in enumerate(arguments, start=1):
        shown = repr(str(value) if isinstance(value, UUID) else value)
        if step.selection and value == step.selection:
            shown = "what is selected after the call:\n" + indent(wrapped(value), "--   ")
        elif position == len(arguments):
            shown += " (the claim app.user_id)"
        lines.append(f"-- ${position} = {shown}")
    return "\n".join(lines)


async def _plan_of(database: Database, actor: Actor, step: Step, analyze: bool) -> str:
    options = "analyze, buffers" if analyze else "costs"
    async with database.transaction(actor) as transaction:
        await transaction.connection.execute("set transaction read only")
        rows = await transaction.connection.fetch(
            f"explain ({options}) {step.sql}", *(step.arguments or ())
        )
    return "\n".join([f"-- EXPLAIN ({options})", *(row[0] for row in rows)])


def wrapped(sql: str) -> str:
    """SQL with a line for each clause, subselects indented; nothing but white space changes."""
    return "\n".join(line.rstrip() for line in _lines(sql) if line.strip())


def _lines(sql: str) -> Iterator[str]:
    tokens = [" " if token.isspace() else token for token in _TOKEN.findall(sql)]
    # For each open parenthesis, whether a subselect is inside.
    open_subselects: list[bool] = []
    line = ""
    for number, token in enumerate(tokens):
        if token == ")":
            is_new_line = bool(open_subselects) and open_subselects.pop()
        else:
            is_here = not open_subselects or open_subselects[-1]
            is_new_line = is_here and _CLAUSE.fullmatch(token) is not None
        if is_new_line:
            yield line
            line = INDENT * sum(open_subselects)
        if token != " " or line.strip():
            line += token
        if token == "(":
            following = next((t for t in tokens[number + 1 : number + 3] if t != " "), "")
            open_subselects.append(following.lower() == "select")
        elif token == "," and len(line) > LINE_WIDTH:
            yield line
            line = INDENT * (sum(open_subselects) + 1)
    yield line
