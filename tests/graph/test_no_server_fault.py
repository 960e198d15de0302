"""Whatever schemathesis makes of the schema is answered, refused with a code, and no fault of ours."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from graphql import (
    BooleanValueNode,
    FloatValueNode,
    IntValueNode,
    ListValueNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
)
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from db.core.errors import ErrorCode

SIGN_UP = """mutation($email: String!) {
  signUp(input: {email: $email, password: "correct horse"}) { session { accessToken } }
}"""
NEWER = {"accept": "application/graphql-response+json"}
# Its first example would take the session from all that follow.
ENDS_THE_SESSION = frozenset(
    {"Mutation.signOut", "Mutation.signOutEverywhere", "Mutation.deleteAccount"}
)
EXAMPLES, NIGHTLY_EXAMPLES = 2, 300
CODES = {code.value for code in ErrorCode} - {"INTERNAL"}


def as_node(value: Any) -> ValueNode:
    """A JSON value as it is written in a document."""
    match value:
        case None:
            return NullValueNode()
        case bool():
            return BooleanValueNode(value=value)
        case int():
            return IntValueNode(value=str(value))
        case float():
            return FloatValueNode(value=repr(value))
        case str():
            return StringValueNode(value=value)
        case list():
            return ListValueNode(values=tuple(as_node(item) for item in value))
    return ObjectValueNode(
        fields=tuple(
            ObjectFieldNode(name=NameNode(value=key), value=as_node(item))
            for key, item in value.items()
        )
    )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex("[a-z_]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)
TIMESTAMPS = st.datetimes().map(lambda timestamp: f"{timestamp.isoformat()}Z")
schemathesis.graphql.scalar("JSON", VALUES.map(as_node))
schemathesis.graphql.scalar("Cursor", st.text().map(as_node))
schemathesis.graphql.scalar("DateTime", TIMESTAMPS.map(as_node))


@pytest.fixture(scope="module")
def fields(server_url: str) -> dict[str, Any]:
    """Every root field of the running server's schema, as schemathesis sees it."""
    schema = schemathesis.graphql.from_url(f"{server_url}/graphql", timeout=60)
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def token(server_url: str) -> str:
    """The access token of a new account."""
    body = {"query": SIGN_UP, "variables": {"email": f"{uuid4()}@example.test"}}
    answer = httpx.post(f"{server_url}/graphql", json=body, timeout=30).json()
    found: str = answer["data"]["signUp"]["session"]["accessToken"]
    return found


def assert_no_fault_of_ours(response: requests.Response) -> None:
    """Data or coded errors; a generated document is valid, so 400 is for its values alone."""
    assert response.status_code in {200, 400}, response.text
    answer = response.json()
    assert "data" in answer or answer["errors"]
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] in CODES, response.text


def try_all(fields: dict[str, Any], token: str, examples: int, *, nightly: bool) -> int:
    """Sends generated documents for every root field, signed in and as nobody; how many were sent."""
    sent = 0
    signed_in = {"authorization": f"Bearer {token}"}

    def send(case: Any) -> None:
        nonlocal sent
        # Making a document takes longer than having it answered twice.
        for headers in ({},) if case.operation.label in ENDS_THE_SESSION else ({}, signed_in):
            assert_no_fault_of_ours(case.call(headers={**NEWER, **headers}))
            sent += 1

    for field in fields.values():
        checked = given(case=field.as_strategy())(send)
        profile(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=not nightly,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )(checked)()
    return sent


@pytest.mark.timeout(600)
def test_no_document_of_the_schema_is_a_fault_of_ours(
    server_url: str, fields: dict[str, Any]
) -> None:
    sent = try_all(fields, token(server_url), EXAMPLES, nightly=False)
    assert sent > 2 * len(fields)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_document_of_a_long_night_is_a_fault_of_ours(
    server_url: str, fields: dict[str, Any]
) -> None:
    sent = try_all(fields, token(server_url), NIGHTLY_EXAMPLES, nightly=True)
    assert sent > 40 * len(fields)
