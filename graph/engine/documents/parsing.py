"""Texts become trees: each string of a text is read once, and only what is at fault is located."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import orjson
from graphql import (
    DocumentNode,
    GraphQLError,
    Lexer,
    Node,
    SelectionNode,
    Source,
    Token,
    TokenKind,
)
from graphql.language.parser import Parser

from db.core.errors import ErrorCode
from db.core.yield_points import yield_point
from graph.engine.documents.limits import Limits, check_document, too_complex
from graph.shared.errors import RequestError

# Linear: nothing is tried twice.
_STRING = re.compile(r'"(?:[^"\\\n\r]++|\\.)*+"')


class Strings:
    """What the strings of one text say: graphql-core needs 0.7 µs for each escape in one."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def value(self, token: str) -> str:
        """What a string between single quotes says; `GraphQLError` when it is none."""
        known = self.known(token)
        if known is None:
            known = _Lexer(Source(token), self).advance().value
            assert known is not None
        return known

    def known(self, token: str) -> str | None:
        """The same, if it was read before or means the same in JSON."""
        known = self._known.get(token)
        if known is None:
            try:
                # GraphQL also has \u{…} and lets control characters stand; all else is alike.
                known = self._known[token] = orjson.loads(token)
            except orjson.JSONDecodeError:
                return None
        return known

    def keep(self, token: str, value: str) -> None:
        """Remembers a string that graphql-core has read."""
        self._known[token] = value


class _Lexer(Lexer):
    """Reads strings that are known already at once."""

    def __init__(self, source: Source, strings: Strings) -> None:
        super().__init__(source)
        self._strings = strings

    def read_string(self, start: int) -> Token:
        """The string that begins here."""
        found = _STRING.match(self.source.body, start)
        known = self._strings.known(found[0]) if found else None
        if found is None or known is None:
            token = super().read_string(start)
            assert token.value is not None
            self._strings.keep(self.source.body[start : token.end], token.value)
            return token
        return self.create_token(TokenKind.STRING, start, found.end(), known)


class _Parser(Parser):
    """Parses one selection after another, and may be suspended before each."""

    def parse_selection(self) -> SelectionNode:
        """A field or a fragment."""
        yield_point()
        return super().parse_selection()


def parsed(text: str, strings: Strings, limits: Limits) -> DocumentNode:
    """The document without locations, once it is known to be small enough to validate.

    Locations take half of a document's memory.
    """
    try:
        document = _tree(text, strings, limits, is_located=False)
        check_document(document, limits)
    except GraphQLError as error:
        code = ErrorCode.BAD_USER_INPUT
        if "Parsing aborted" in error.message:
            code = ErrorCode.QUERY_TOO_COMPLEX
        raise RequestError([_without_values(error)], code) from None
    except RecursionError:
        raise too_complex("The document is nested too deeply.") from None
    return document


# A value in the words of the parser: its kind stays.
_VALUE_TOLD = re.compile(r"\b(String|BlockString|Int|Float) ['\"].*", re.DOTALL)


def _without_values(error: GraphQLError) -> GraphQLError:
    """A fault of syntax without the text or number that was found in the wrong place."""
    message = _VALUE_TOLD.sub(r"\1.", error.message)
    return GraphQLError(message, error.nodes, error.source, error.positions)


def located(
    errors: Sequence[GraphQLError],
    document: DocumentNode,
    text: str,
    strings: Strings,
    limits: Limits,
) -> list[GraphQLError]:
    """The faults of a document with their places in its text."""
    # Of the same text comes the same tree, so its nodes follow one another in the same order.
    twins = _tree(text, strings, limits, is_located=True)
    places = {id(node): twin for node, twin in zip(_nodes(document), _nodes(twins), strict=True)}
    return [
        GraphQLError(
            error.message,
            [places[id(node)] for node in error.nodes or () if id(node) in places],
            extensions=error.extensions,
        )
        for error in errors
    ]


def _tree(text: str, strings: Strings, limits: Limits, *, is_located: bool) -> DocumentNode:
    lexer = _Lexer(Source(text), strings)
    first = lexer.token
    try:
        return _Parser(
            lexer.source, no_location=not is_located, max_tokens=limits.tokens, lexer=lexer
        ).parse_document()
    finally:
        _part(first)


def _part(first: Token) -> None:
    """Tokens know their neighbours, so only the garbage collector would find them."""
    token: Token | None = first
    while token is not None:
        token.prev, token.next, token = None, None, token.next


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    for node in waiting:  # grows while nodes are opened
        yield node
        for part in vars(node).values():
            if isinstance(part, Node):
                waiting.append(part)
            elif isinstance(part, tuple):
                waiting += part
