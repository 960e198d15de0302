"""`tallygraph ai …`: what chats and analyses may take of a language model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.core.terminal import console, owner_url, result_console, run
from settings import get_settings

commands = typer.Typer(help="Language models: what plans allow of them.")


class AiFeature(StrEnum):
    """What a language model is used for."""

    CHAT = "chat"
    ANALYSIS = "analysis"


@commands.callback()
def ai() -> None:
    """Language models."""


@commands.command()
def budgets() -> None:
    """Lists what each plan allows, and everybody else."""
    from db.ai.administration import read_budgets

    columns = ("Feature", "Plan", "Model", "Answer", "Context", "Day", "Held", "Per credit")
    table = Table(*columns, box=SIMPLE_HEAD)
    for row in run(read_budgets(owner_url(get_settings()))):
        table.add_row(
            row["feature"].lower(),
            row["plan_id"] or "(all others)",
            row["model"] or "(ANTHROPIC_MODEL)",
            str(row["max_output_tokens"]),
            str(row["context_tokens"]),
            str(row["daily_tokens"]),
            str(row["credits"]),
            str(row["tokens_per_credit"] or "(all held)"),
        )
    result_console().print(table)


@commands.command("set-budget")
def set_budget(
    feature: Annotated[AiFeature, typer.Argument(help="For what.")],
    answer: Annotated[int, typer.Option(min=16, max=32_000, help="Most tokens of an answer.")],
    context: Annotated[int, typer.Option(min=256, max=200_000, help="Tokens of what is shown.")],
    daily: Annotated[int, typer.Option(min=0, help="Tokens of a user in a day (UTC).")],
    held: Annotated[int, typer.Option(min=0, max=1000, help="Credits held for one.")],
    per_credit: Annotated[
        int | None, typer.Option(min=1, help="Tokens that one credit pays; without, all held are.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="A plan; without, for everybody else.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model; without, that of ANTHROPIC_MODEL.")
    ] = None,
) -> None:
    """Sets what a feature may take; the next message meets it."""
    from db.ai.administration import UnknownPlanError
    from db.ai.administration import set_budget as write
    from db.ai.operations import AiAllowance

    budget = AiAllowance(
        feature=feature.name,
        plan_id=plan,
        model=model,
        max_output_tokens=answer,
        context_tokens=context,
        daily_tokens=daily,
        credits=held,
        tokens_per_credit=per_credit,
    )
    try:
        run(write(owner_url(get_settings()), budget))
    except UnknownPlanError as unknown:
        console.print(f"There is no plan {unknown}.")
        raise typer.Exit(1) from None
    console.print(f"{feature.value} of {plan or 'all others'} is set.")
