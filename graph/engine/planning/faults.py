"""Fields that fail: each becomes null, and null climbs to the nearest field that may be null."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from graphql import GraphQLError

from db.core.errors import DomainError, bad_input

# Response keys; a number stands for one item of a list, None for every item.
Path = tuple[str | int | None, ...]
# The same with every item's number.
ResponsePath = tuple[str | int, ...]


class FieldFault(DomainError):
    """What is wrong with one field of the response, and where that field stands."""

    def __init__(self, field: Path, error: DomainError) -> None:
        super().__init__(error.code, error.message, error.path)
        self.field = field


class FieldFaults(FieldFault):
    """What is wrong with several fields, each under where it stands."""

    def __init__(self, faults: Mapping[Path, FieldFault]) -> None:
        first = next(iter(faults.values()))
        super().__init__(first.field, first)
        self.faults = faults


def kept(fault: FieldFault) -> FieldFault:
    """The fault without the frames it was raised in.

    They keep what keeps the fault: of 99 faults in a request, only the garbage collector would find
    some thousand objects, in pauses of 200 ms.
    """
    for origin in (fault.__cause__, fault.__context__):
        if origin is not None:
            origin.__traceback__ = origin.__cause__ = origin.__context__ = None
    fault.__cause__ = fault.__context__ = None
    return fault.with_traceback(None)


@contextmanager
def blamed_on(field: Path) -> Iterator[None]:
    """Whatever is refused in this block is the fault of `field`, or of a field below it."""
    try:
        yield
    except FieldFault:
        raise
    except DomainError as error:
        raise FieldFault(field, error) from error
    except GraphQLError as error:  # an argument whose variable holds null
        raise FieldFault(field, bad_input(error.message)) from error


def blaming[Given, Made](field: Path, function: Callable[[Given], Made]) -> Callable[[Given], Made]:
    """The function, its refusals blamed on `field`."""
    return partial(_blamed, field, function)


def _blamed[Given, Made](field: Path, function: Callable[[Given], Made], given: Given) -> Made:
    try:
        return function(given)
    except (DomainError, GraphQLError):
        with blamed_on(field):
            raise


def _places(
    node: Any, field: Path, place: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    """Where in the data `field` really stands: nowhere below null, once for each item of a list."""
    if node is None:
        return
    if not field:
        yield place
    elif field[0] is None:
        for index, item in enumerate(node):
            yield from _places(item, field[1:], (*place, index))
    elif len(field) == 1:
        yield (*place, field[0])
    else:
        yield from _places(node[field[0]], field[1:], (*place, field[0]))


def spread(
    data: Any, faults: Mapping[Path, FieldFault], nullable: Mapping[Path, bool]
) -> tuple[Any, list[tuple[FieldFault, ResponsePath]]]:
    """The data with its nulls, and each fault that stands in it with its place.

    `nullable` tells of every planned field, in the document's order, whether it may be null; of
    faults that end in the same null, the first is told (GraphQL specification, 6.4.4).
    """
    told: dict[ResponsePath, tuple[FieldFault, ResponsePath]] = {}
    for field in nullable:
        if field not in faults:
            continue
        height = next((n for n in range(len(field), 0, -1) if nullable.get(field[:n])), 0)
        for place in _places(data, field, ()):
            told.setdefault(place[:height], (faults[field], place))
    for end in sorted(told, key=len, reverse=True):
        data = _with_null(data, end)
    return data, list(told.values())


def _with_null(data: Any, place: ResponsePath) -> Any:
    if not place:
        return None
    node = data
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = None
    return data
