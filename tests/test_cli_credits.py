"""An operator reads a wallet as a statement; what they change is audited and done once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.core.pool import Database

Credits = Callable[..., Awaitable[str]]


@pytest.fixture
def credits(database: Database) -> Credits:
    """`await credits("show", …, status=0)` is what `tallygraph credits show …` prints."""

    async def run(*arguments: str, status: int = 0) -> str:
        runner = CliRunner(env={"COLUMNS": "160"})
        done = await asyncio.to_thread(runner.invoke, app, ["credits", *arguments])
        assert done.exit_code == status, done.output
        return done.output

    return run


@pytest.fixture
async def email(owner: asyncpg.Connection) -> str:
    """A member of the plan `free` with its bonus of 10 credits."""
    address = f"{uuid4()}@example.test"
    await owner.execute(
        "with u as (insert into users (email, email_key) values ($1, $1) returning id)"
        " select app.grant_sign_up_bonus(id) from u",
        address,
    )
    return address


async def user_id(owner: asyncpg.Connection, email: str) -> UUID:
    found: UUID = await owner.fetchval("select id from users where email = $1", email)
    return found


async def balance(owner: asyncpg.Connection, email: str) -> int:
    found: int = await owner.fetchval(
        "select balance from wallets join users on id = user_id where email = $1", email
    )
    return found


async def spend(owner: asyncpg.Connection, email: str, amount: int) -> UUID:
    async with owner.transaction():
        await owner.execute(
            "select set_config('app.user_id', $1, true)", str(await user_id(owner, email))
        )
        made: UUID = await owner.fetchval(
            "select app.spend_credits($1, 'a picture', null, $2)", amount, str(uuid4())
        )
    return made


async def test_a_wallet_reads_as_a_statement(
    credits: Credits, owner: asyncpg.Connection, email: str
) -> None:
    await credits("grant", email, "5", "--reason", "for waiting", "--expires", "2099-12-31")
    made = await spend(owner, email, 2)
    await owner.execute(
        "select app.hold_credits($1, 3, 'portrait 7', interval '1 hour')",
        await user_id(owner, email),
    )
    said = await credits("show", f" {email.upper()} ")
    rows = [re.sub(r"[\s│┃]+", " ", line).strip() for line in said.splitlines()]
    assert rows[0] == email
    assert rows[1:4] == ["Balance 13", "Held 3 for work under way", "Available 10"]
    assert any(re.match(r"Plan Free next credits \d{4}-\d\d-\d\d$", row) for row in rows)
    assert "Today 2 of 5 of the plan's credits, until 24:00 UTC" not in rows  # another grant paid
    assert any(row.startswith("signup bonus 10 10 never") for row in rows)
    assert any(row.startswith("3 portrait 7") for row in rows)
    assert any(re.search(r"spend -2 13 a picture$", row) for row in rows)
    assert any(re.search(r"admin \+5 15 for waiting$", row) for row in rows)
    assert str(made) in said


async def test_the_ids_that_refunds_need_are_whole_on_a_narrow_terminal(
    credits: Credits, owner: asyncpg.Connection, email: str
) -> None:
    await credits("grant", email, "7", "--reason", "for waiting", "--expires", "2099-12-31")
    made = await spend(owner, email, 2)
    runner = CliRunner(env={"COLUMNS": "80"})
    done = await asyncio.to_thread(runner.invoke, app, ["credits", "show", email])
    assert str(made) in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert re.search(r"admin +5 +7 +2099-12-31, in \d+ days", done.output)


async def test_a_grant_is_audited_and_its_key_gives_it_once(
    credits: Credits, owner: asyncpg.Connection, email: str
) -> None:
    for _ in range(2):
        said = await credits("grant", email, "7", "--reason", "a gift", "--key", "gift-1")
        assert "has 17 credits" in said
    rows = await owner.fetch(
        "select detail from audit_log where user_id = $1 and action = 'grant_credits'",
        await user_id(owner, email),
    )
    (detail,) = (json.loads(row["detail"]) for row in rows)
    assert (detail["amount"], detail["reason"]) == (7, "a gift")
    assert "@" in detail["by"]
    assert detail["transaction"] in said
    said = await credits("grant", email, "8", "--reason", "a gift", "--key", "gift-1", status=1)
    assert "other parameters" in said
    assert await balance(owner, email) == 17


async def test_refunds_and_transfers_are_audited(
    credits: Credits, owner: asyncpg.Connection, email: str
) -> None:
    other = f"{uuid4()}@example.test"
    await owner.execute("insert into users (email, email_key) values ($1, $1)", other)
    made = await spend(owner, email, 4)
    await credits("refund", f"transaction_{made}", "--amount", "1", "--reason", "blurred")
    await credits("refund", str(made), "--reason", "blurred")
    assert await balance(owner, email) == 10
    said = await credits("refund", str(made), "--reason", "blurred", status=1)
    assert "0 of this spend are left" in said
    await credits("transfer", email, other, "6", "--reason", "merged")
    assert (await balance(owner, email), await balance(owner, other)) == (4, 6)
    actions = await owner.fetch(
        "select action from audit_log where user_id = $1 order by id", await user_id(owner, email)
    )
    assert [row["action"] for row in actions] == [
        "credit_use",
        "refund_credits",
        "refund_credits",
        "transfer_credits",
    ]


async def test_a_user_is_made_unlimited_and_limited_again(
    credits: Credits, owner: asyncpg.Connection, email: str
) -> None:
    assert "Changed 1 wallet." in await credits("unlimited", email, "--reason", "a friend")
    assert "unlimited" in await credits("show", email)
    await spend(owner, email, 1000)
    assert await balance(owner, email) == 10
    assert "Changed 0 wallets." in await credits("unlimited", email, "--reason", "again")
    await credits("unlimited", email, "--off", "--reason", "no more")
    assert "Name one account" in await credits("unlimited", "--reason", "who?", status=1)


async def test_sound_books_are_proven(credits: Credits) -> None:
    assert "wallets are sound" in await credits("prove")


@pytest.mark.parametrize(
    ("arguments", "status", "parts"),
    [
        (("show", "nobody@example.test"), 1, ["Nobody has the e-mail nobody@example.test"]),
        (("grant", "nobody@example.test", "5", "--reason", "x"), 1, ["Nobody"]),
        (("grant", "a@b.example", "0", "--reason", "x"), 2, ["amount"]),
        (("grant", "a@b.example", "5"), 2, ["--reason"]),
        (("grant", "a@b.example", "5", "--reason", " "), 1, ["--reason needs a text"]),
        (("refund", str(uuid4()), "--reason", "x"), 1, ["no such spend"]),
    ],
)
async def test_what_cannot_be_done_is_said(
    credits: Credits, arguments: tuple[str, ...], status: int, parts: list[str]
) -> None:
    said = await credits(*arguments, status=status)
    assert all(part in said for part in parts), said
