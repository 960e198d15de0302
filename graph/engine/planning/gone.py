"""Notices that an account is gone before its tokens are: then not even its own row is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
from graphql import FieldNode, GraphQLObjectType

from graph.engine.specs import ViewerRow, spec_of

LooksGone = Callable[[bytes], bool]
# An answer is searched as far as this for a `viewer` that is not its first field.
SEARCHED_BYTES = 65_536


def looks_gone(
    root: GraphQLObjectType, fields: Mapping[str, Sequence[FieldNode]]
) -> LooksGone | None:
    """Whether an answer of a query that shows the viewer has none; it may say so by mistake.

    The answers of most are looked at in their first bytes alone.
    """
    for position, (key, nodes) in enumerate(fields.items()):
        definition = root.fields.get(nodes[0].name.value)
        if definition is not None and isinstance(spec_of(definition), ViewerRow):
            name = orjson.dumps(key)
            # As Postgres writes it, and as Python does when it has finished something.
            nulls = (name + b" : null", name + b":null")
            if position == 0:
                starts = tuple(b"{" + null for null in nulls)
                return lambda answer: answer.startswith(starts)
            return lambda answer: any(answer.find(n, 0, SEARCHED_BYTES) >= 0 for n in nulls)
    return None
