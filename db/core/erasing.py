"""What a table declares of its rows for when their user's account is deleted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delete:
    """The rows whose `column` names the user go.

    It names them by a column of `users`, which is `by`.
    """

    column: str = "user_id"
    by: str = "id"


@dataclass(frozen=True)
class Anonymise:
    """The rows whose `column` names the user stay, and name nobody any more."""

    column: str
    by: str = "id"


@dataclass(frozen=True)
class GoesWith:
    """The rows go with the row that the foreign key `column` leads to."""

    column: str


@dataclass(frozen=True)
class Keep:
    """The rows stay, with the user's id in these `columns`; `reason` says why."""

    reason: str
    columns: tuple[str, ...] = ("user_id",)


@dataclass(frozen=True)
class Call:
    """A SQL function of the slice does it: `app.<name>(leaving uuid, at_most integer)`.

    It does so much at a time, and is called until it returns 0.
    """

    function: str


ErasingRule = Delete | Anonymise | GoesWith | Keep | Call


def rule_for(rules: tuple[ErasingRule, ...], column: str) -> ErasingRule | None:
    """The rule that names a column."""
    for rule in rules:
        match rule:
            case Keep(_, columns) if column in columns:
                return rule
            case Delete() | Anonymise() | GoesWith() if rule.column == column:
                return rule
    return None


def erasing_rules(declared: ErasingRule | tuple[ErasingRule, ...]) -> tuple[ErasingRule, ...]:
    """What a table declares, in order; one rule may stand alone."""
    return declared if isinstance(declared, tuple) else (declared,)
