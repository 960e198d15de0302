"""`tallygraph explain` shows what runs, with its values and Postgres's plan, and writes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from cli.core.explain import Question, explain, wrapped
from db.core.actor import NOBODY
from db.core.errors import DomainError
from db.core.pool import Database
from graph.engine.documents.variables import coerce_variables
from graph.engine.execution.engine import Engine
from graph.shared.errors import RequestError
from server.services import Services
from tests.running import RunningServer, run_command

from ..conftest import MakeUser

PAGE = """query Page($n: Int!) {
  viewer { id credits { balance } creditTransactions(first: $n) { nodes { id amount createdAt } } }
}"""
SPEND = """mutation($amount: Int!) { spendCredits(input: {amount: $amount, idempotencyKey: "k"}) {
  credits { balance } transaction { id } errors { code } } }"""


class Explainer:
    """Explains as a user of the test database."""

    def __init__(self, engine: Engine, services: Services, email: str) -> None:
        self._engine, self._services, self.email = engine, services, email

    async def __call__(self, text: str, *, analyze: bool = False, **variables: Any) -> str:
        question = Question(text, variables, None, self.email, analyze)
        return await explain(self._engine, self._services, question)


@pytest.fixture
async def explained(
    engine: Engine, services: Services, make_user: MakeUser, owner: asyncpg.Connection
) -> Explainer:
    """An explainer for a user with ten credits."""
    actor = await make_user()
    email = await owner.fetchval("select email from users where id = $1", actor.user_id)
    return Explainer(engine, services, email)


async def test_a_query_shows_its_sql_its_values_and_its_plan(explained: Explainer) -> None:
    shown = await explained(PAGE, n=7)
    user_id = explained.email.removesuffix("@example.test")
    assert f"-- As {explained.email}, role authenticated" in shown
    assert "with claims as materialized" in shown
    assert "credit_transactions" in shown
    assert re.search(r"^-- \$\d+ = 7$", shown, re.MULTILINE), shown
    assert f"= '{user_id}' (the claim app.user_id)" in shown
    assert "-- EXPLAIN (costs)" in shown
    assert "cost=" in shown
    assert "actual time" not in shown


async def test_analyze_runs_what_reads(explained: Explainer) -> None:
    shown = await explained(PAGE, n=7, analyze=True)
    assert "-- EXPLAIN (analyze, buffers)" in shown
    assert "actual time" in shown


async def test_a_verb_is_shown_and_not_run(explained: Explainer, owner: asyncpg.Connection) -> None:
    shown = await explained(SPEND, amount=3, analyze=True)
    assert "spendCredits: function and payload, not run" in shown
    assert "app.spend_credits(" in shown
    assert re.search(
        r"^ +FROM app.reread_wallets_\w+\(done.actor_user_id\)", shown, re.MULTILINE
    ), shown
    assert re.search(r"^-- \$\d+ = 3$", shown, re.MULTILINE), shown
    assert "EXPLAIN" not in shown
    assert "'balance': 10" not in shown
    spent = await owner.fetchval(
        "select count(*) from credit_transactions where user_id = "
        "(select id from users where email = $1) and amount < 0",
        explained.email,
    )
    assert spent == 0


async def test_what_is_selected_after_a_verb_is_shown(explained: Explainer) -> None:
    cancel = """mutation($id: ID!) { cancelGeneration(input: {id: $id}) {
      viewer { generations { nodes { id } } } } }"""
    shown = await explained(cancel, id=f"generation_{uuid4()}")
    assert "what is selected after the call" in shown
    assert re.search(r"^-- +FROM generations", shown, re.MULTILINE), shown


async def test_work_in_python_is_not_done(explained: Explainer, owner: asyncpg.Connection) -> None:
    before = await owner.fetchval("select count(*) from users")
    guest = "mutation { signInAnonymously { session { accessToken user { id } } } }"
    shown = await explained(guest)
    assert "signInAnonymously: done in Python, in a transaction, not run" in shown
    assert "then the payload is read" in shown
    assert await owner.fetchval("select count(*) from users") == before


async def test_a_subscription_shows_both_its_statements(explained: Explainer) -> None:
    shown = await explained("subscription { creditsChanged { credits { balance } cursor } }")
    assert "-- The state now" in shown
    assert "-- Each event" in shown
    assert "cost=" in shown


async def test_introspection_has_no_statement(explained: Explainer) -> None:
    assert "graphql-core" in await explained("{ __schema { queryType { name } } }")


async def test_nobody_reads_what_everybody_may(engine: Engine, services: Services) -> None:
    shown = await explain(engine, services, Question("{ tools { id } }", {}))
    assert "-- As nobody, role anon" in shown
    assert "tools" in shown


async def test_faults_are_those_of_the_request(explained: Explainer) -> None:
    with pytest.raises(RequestError):
        await explained("{ nothing }")
    with pytest.raises(RequestError):
        await explained(PAGE)
    with pytest.raises(DomainError, match="first"):
        await explained(PAGE, n=1000)
    explained.email = "nobody@example.test"
    with pytest.raises(DomainError, match="Nobody has the e-mail"):
        await explained(PAGE, n=1)


async def test_wrapping_changes_only_white_space(engine: Engine) -> None:
    operation = engine.documents.operation(PAGE, None)
    variables = coerce_variables(engine.schema, operation, {"n": 3})
    statement = await engine.query_statement(operation, variables, NOBODY)
    assert statement is not None
    for sql in (
        statement.with_claims,
        "select 'a  from (b', extract(epoch from x) from t where (a)",
    ):
        assert "".join(wrapped(sql).split()) == "".join(sql.split())
    lines = wrapped("select a, (select 'x from  y' from b where c = (1)) from t").splitlines()
    assert lines == [
        "select a, (",
        "  select 'x from  y'",
        "  from b",
        "  where c = (1)",
        ")",
        "from t",
    ]


def test_the_command_prints_and_says_what_is_wrong(
    server: RunningServer, tmp_path: Path, database: Database
) -> None:
    file = tmp_path / "tools.graphql"
    file.write_text("query A { tools { id } } query B { plans { id } }")
    done = run_command(server.data_directory, "explain", str(file), "--operation", "B")
    assert done.returncode == 0, done.stderr
    assert "plans" in done.stdout
    assert "cost=" in done.stdout
    for arguments, message in (
        (("--variables", "{"), "not valid JSON"),
        (("--variables", "[]"), "must be a JSON object"),
        (("--operation", "C"), "no operation named"),
        (("--operation", "A", "--as", f"{uuid4()}@example.test"), "Nobody has the e-mail"),
    ):
        done = run_command(server.data_directory, "explain", str(file), *arguments)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
