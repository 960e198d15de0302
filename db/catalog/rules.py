"""What a tool accepts as parameters, and what is said of those it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError

from db.catalog.schemas import ParametersValidator
from db.core.errors import DomainError, InputRefused, bad_input

_MOST_PROBLEMS = 20
_KINDS = {
    "string": "text", "number": "a number", "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParameterRules:
    """A tool's JSON Schema for parameters, and the rows of the catalog that those given name.

    `references` has their keys by the names of the parameters; null where there is no such row.
    Beside what JSON Schema says, `x-catalog` is a table that a parameter names a row of,
    `x-aliases` are names that a parameter had before, and a `default` is filled in.
    """

    schema: dict[str, Any]
    references: dict[str, list[str] | None]


def accepted_parameters(rules: ParameterRules, parameters: Any) -> dict[str, Any]:
    """The parameters as they are kept: under their names of today, defaults filled in.

    Rows of the catalog are by their keys, colours in lower case. `InputRefused` with every problem
    when they break the tool's schema (JSON Schema 2020-12) or name a row that the catalog does not
    have. No value of theirs is repeated.
    """
    spelled: dict[str, str] = {}
    if isinstance(parameters, dict):
        spelled = _older_names(rules.schema, parameters)
        older = {old: name for name, old in spelled.items()}
        parameters = _defaults(rules.schema) | {
            older.get(name, name): value for name, value in parameters.items()
        }
    problems = list(islice(_problems(rules, parameters, spelled), _MOST_PROBLEMS))
    if problems:
        raise InputRefused(problems)
    return {name: _kept(rules, name, value) for name, value in parameters.items()}


def _older_names(schema: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str]:
    """The older names that parameters were given under, by those they have today."""
    return {
        name: given
        for name, rule in schema.get("properties", {}).items()
        if name not in parameters
        for given in [next((a for a in rule.get("x-aliases", ()) if a in parameters), None)]
        if given is not None
    }


def _defaults(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {}).items()
    return {name: rule["default"] for name, rule in properties if "default" in rule}


def _kept(rules: ParameterRules, name: str, value: Any) -> Any:
    if found := rules.references.get(name):
        return found[0]
    rule = rules.schema.get("properties", {}).get(name, {})
    if isinstance(value, str) and rule.get("format") == "color":
        return value.lower()
    if isinstance(value, float) and rule.get("type") == "integer":
        return int(value)  # 40.0 is a whole number in JSON Schema, and the same request as 40
    return value


def _problems(
    rules: ParameterRules, parameters: object, spelled: dict[str, str]
) -> Iterator[DomainError]:
    """What is wrong, at the names that the parameters were `spelled` with."""
    seen = set()
    for error in ParametersValidator(rules.schema).iter_errors(parameters):
        for place, sentence in _sentences(error, spelled):
            if place not in seen:  # an error is told for each of the names that are missing
                seen.add(place)
                yield bad_input(sentence, "input", "parameters", *place)
    for name, found in sorted(rules.references.items()):
        given = spelled.get(name, name)
        if (given,) not in seen and len(found or ()) != 1:
            listed = f"`{_catalog_field(rules.schema, name)}`"
            sentence = f"There is no such {given}. {listed} lists what there is."
            if found:
                sentence = f"{given} could be one of {len(found)}; give the id that {listed} has."
            yield bad_input(sentence, "input", "parameters", given)


def _catalog_field(schema: dict[str, Any], name: str) -> str:
    """The field of the query that lists a catalog."""
    first, *others = str(schema["properties"][name]["x-catalog"]).split("_")
    return first + "".join(other.title() for other in others)


def _sentences(
    error: ValidationError, spelled: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong and where, for people; names come from the schema alone."""
    first, *others = [*map(str, error.absolute_path)] or [""]
    place = (spelled.get(first, first), *others) if first else ()
    name = place[-1] if place else "parameters"
    keyword: str = str(error.validator)
    limit: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if keyword == "required":
        for missing in limit:
            if missing not in instance:
                yield (*place, missing), f"{missing} is missing."
    elif keyword == "additionalProperties":
        known = ", ".join(schema.get("properties", {}))
        yield place, f"This tool takes only {known}." if known else "This tool takes no parameters."
    elif keyword in {"pattern", "format"} or (keyword == "type" and "title" in schema):
        yield place, f"{name} must be {_described(schema)}."
    else:
        said = _SENTENCES.get(keyword, lambda _: "does not fit the tool's parametersSchema")
        yield place, f"{name} {said(limit)}."


def _described(schema: dict[str, Any]) -> str:
    """What a text has to be like, by its schema's title and first example."""
    title = str(schema.get("title", "text in the form that the tool's parametersSchema gives"))
    article = "an" if title[0].lower() in "aeiou" else "a"
    example = next(iter(schema.get("examples", ())), None)
    return f"{article} {title[0].lower()}{title[1:]}" + (f" such as {example}" if example else "")


def _kinds(limit: str | list[str]) -> str:
    kinds = [limit] if isinstance(limit, str) else limit
    return "must be " + " or ".join(_KINDS[kind] for kind in kinds)


_SENTENCES: dict[str, Callable[[Any], str]] = {
    "type": _kinds,
    "enum": lambda choices: f"must be one of {', '.join(map(str, choices))}",
    "minLength": lambda limit: f"must have at least {limit} characters",
    "maxLength": lambda limit: f"may have at most {limit} characters",
    "minimum": lambda limit: f"must be at least {limit}",
    "maximum": lambda limit: f"may be at most {limit}",
    "minItems": lambda limit: f"must have at least {limit} items",
    "maxItems": lambda limit: f"may have at most {limit} items",
}
