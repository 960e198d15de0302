"""What a tool accepts."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from db.errors import bad_input


def check_parameters(schema: dict[str, Any], parameters: object) -> None:
    """Refuses parameters that break a tool's schema (JSON Schema 2020-12), naming the place."""
    for error in Draft202012Validator(schema).iter_errors(parameters):
        place = [str(step) for step in error.absolute_path]
        message = "This does not fit the tool's parametersSchema: "
        message += f"{'.'.join(['parameters', *place])} breaks `{error.validator}`."
        raise bad_input(message, "input", "parameters", *place)
