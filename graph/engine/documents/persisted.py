"""Documents named instead of sent: automatic persisted queries, and trusted documents."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from graphql import GraphQLError

from db.core.errors import ErrorCode
from graph.engine.documents.cache import ByteBoundedCache
from graph.engine.documents.store import Documents
from graph.shared.errors import RequestError
from settings import SettingsError

STORE_BYTES = 4 * 1024 * 1024
PROTOCOL_VERSION = 1
# How the GraphQL over HTTP proposal writes an id that is a hash.
HASH_PREFIX = "sha256:"


def sha256_of(text: str) -> str:
    """The name a document gives itself: SHA-256 of its text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def names_document(request: Mapping[str, Any]) -> bool:
    """Whether a request without `query` says in another way which document it means."""
    extensions = request.get("extensions")
    return request.get("documentId") is not None or (
        isinstance(extensions, Mapping) and extensions.get("persistedQuery") is not None
    )


class PersistedDocuments:
    """Finds the text of a request's document.

    Without `trusted` the process remembers valid documents that clients sent with their hash, by
    Apollo's protocol. With it, only those documents run, by id or by their exact text.
    """

    def __init__(
        self,
        documents: Documents,
        trusted: Mapping[str, str] | None = None,
        store_bytes: int = STORE_BYTES,
    ) -> None:
        self._documents = documents
        self._store: ByteBoundedCache[str, str] = ByteBoundedCache(store_bytes)
        self._trusted: dict[str, str] | None = None
        if trusted is not None:
            by_hash = {sha256_of(text): text for text in trusted.values()}
            self._trusted = {**by_hash, **trusted}
            self._trusted_texts = frozenset(trusted.values())

    def reads(self, request: Mapping[str, Any]) -> bool:
        """Whether finding the text of this request reads its document."""
        return self._trusted is None and bool(
            isinstance(request.get("query"), str)
            and "persistedQuery" in request.get("extensions", ())
        )

    def text(self, request: Mapping[str, Any], operation_name: str | None) -> str:
        """The text of the document a request sends or names; `RequestError` without one."""
        query: str | None = request.get("query")
        digest = _hash_in(request.get("extensions"))
        if self._trusted is not None:
            return self._trusted_text(query, digest or _document_id(request))
        if digest is None:
            if query is None:
                raise _refused("This server has no documents by id: send `query`.")
            return query
        if query is None:
            return self._remembered(digest)
        if sha256_of(query) != digest:
            raise _refused("provided sha does not match query")
        # Only what is valid is kept, so that nonsense cannot push out what clients use.
        self._documents.operation(query, operation_name)
        self._store.put(digest, query, sys.getsizeof(query) + sys.getsizeof(digest))
        return query

    def _remembered(self, digest: str) -> str:
        text = self._store.get(digest)
        if text is None:
            # Apollo's clients look for exactly this message or this code, then send the text.
            raise _refused("PersistedQueryNotFound", ErrorCode.PERSISTED_QUERY_NOT_FOUND)
        return text

    def _trusted_text(self, query: str | None, identifier: str | None) -> str:
        assert self._trusted is not None
        text = query if identifier is None else self._trusted.get(identifier)
        if text is None or text not in self._trusted_texts or query not in (None, text):
            raise _refused("This server runs only trusted documents.", ErrorCode.FORBIDDEN)
        return text


def _hash_in(extensions: Mapping[str, Any] | None) -> str | None:
    asked = extensions.get("persistedQuery") if extensions else None
    if asked is None:
        return None
    if not isinstance(asked, Mapping) or not isinstance(asked.get("sha256Hash"), str):
        raise _refused("`extensions.persistedQuery` needs `version` and `sha256Hash`.")
    if asked.get("version") != PROTOCOL_VERSION:
        raise _refused("PersistedQueryNotSupported", ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED)
    digest: str = asked["sha256Hash"]
    return digest


def _document_id(request: Mapping[str, Any]) -> str | None:
    identifier = request.get("documentId")
    if identifier is None:
        return None
    if not isinstance(identifier, str):
        raise _refused("`documentId` must be a string.")
    return identifier.removeprefix(HASH_PREFIX)


def _refused(message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> RequestError:
    return RequestError([GraphQLError(message)], code)


def load_trusted_documents(path: Path) -> dict[str, str]:
    """The documents of a file by their ids: a plain map (Relay's), or Apollo's manifest."""
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"Cannot read the trusted documents: {error}") from None
    except orjson.JSONDecodeError:
        raise SettingsError(f"The trusted documents in {path} are not valid JSON.") from None
    try:
        if "operations" in found and "format" in found:
            found = {operation["id"]: operation["body"] for operation in found["operations"]}
        documents = dict(found.items())
    except (AttributeError, KeyError, TypeError):
        documents = {"": None}
    if not all(isinstance(text, str) and text for item in documents.items() for text in item):
        raise SettingsError(
            f"The trusted documents in {path} must be a JSON object of ids and texts, "
            "or an Apollo manifest with `operations`, each with an `id` and a `body`."
        )
    return {name.removeprefix(HASH_PREFIX): text for name, text in documents.items()}
