"""The schema is the contract: committed, described throughout, with every promised name in it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_non_null_type,
    is_required_argument,
)
from sqlalchemy import func

from db.factors.tables import TotpFactor
from db.generations.tables import Generation as GenerationRow
from db.profiles.tables import Profile as ProfileRow
from graph.engine.checks import SchemaError, check_schema
from graph.engine.declare import (
    backed_by,
    column,
    computed,
    expression,
    opened,
    reference,
    related_row,
)
from graph.engine.specs import backing_of
from graph.schema import build_schema, schema_text
from tests.running import ROOT

# What clients rely on. A name may be added, never taken away or changed.
CONTRACT = """
Query.viewer: User
Query.node(id: ID!): Node
Query.tools: [Tool!]!
Mutation.signUp(input: SignUpInput!): SessionPayload
Mutation.signIn(input: SignInInput!): SessionPayload
Mutation.signInAnonymously: SessionPayload
Mutation.refreshSession(input: RefreshSessionInput!): SessionPayload
Mutation.signOut: SignOutPayload
Mutation.spendCredits(input: SpendCreditsInput!): SpendCreditsPayload
Mutation.createUpload(input: CreateUploadInput!): CreateUploadPayload
Mutation.deleteUpload(input: DeleteUploadInput!): DeleteUploadPayload
Mutation.createGeneration(input: CreateGenerationInput!): CreateGenerationPayload
Subscription.creditsChanged(after: Cursor): CreditsChanged!
Subscription.generationUpdated(id: ID!, after: Cursor): GenerationUpdated!
Subscription.notificationAdded(after: Cursor): NotificationAdded!
SignUpInput.email: String!
SignUpInput.password: String!
SignInInput.email: String!
SignInInput.password: String!
RefreshSessionInput.refreshToken: String!
SpendCreditsInput.amount: Int!
SpendCreditsInput.reason: String
SpendCreditsInput.referenceId: String
SpendCreditsInput.idempotencyKey: String!
CreateUploadInput.contentType: String!
CreateUploadInput.sizeBytes: Int!
CreateGenerationInput.toolId: ID!
CreateGenerationInput.uploadId: ID!
CreateGenerationInput.parameters: JSON
CreateGenerationInput.idempotencyKey: String!
SessionPayload.session: AuthSession
AuthSession.accessToken: String!
AuthSession.refreshToken: String!
AuthSession.expiresAt: DateTime!
AuthSession.user: User
User.id: ID!
User.email: String
User.isAnonymous: Boolean!
User.credits: Credits
User.generations(first: Int, after: Cursor): GenerationConnection!
User.notifications(first: Int, after: Cursor): NotificationConnection!
User.creditTransactions(first: Int, after: Cursor): CreditTransactionConnection!
User.profiles(first: Int, after: Cursor): ProfileConnection!
Credits.balance: Int!
Credits.held: Int!
Credits.available: Int!
CreditTransaction.id: ID!
CreditTransaction.amount: Int!
CreditTransaction.balanceAfter: Int!
CreditTransaction.type: CreditTransactionType!
CreditTransaction.referenceId: String
CreditTransaction.createdAt: DateTime!
Tool.id: ID!
Tool.nameKey: String!
Tool.type: ToolType!
Tool.isActive: Boolean!
Tool.sortOrder: Int!
Tool.parametersSchema: JSON!
SpendCreditsPayload.transaction: CreditTransaction
SpendCreditsPayload.credits: Credits
CreateUploadPayload.upload: Upload
Upload.id: ID!
Upload.url: String!
Upload.method: String!
Upload.headers: [UploadHeader!]!
Upload.expiresAt: DateTime!
UploadHeader.name: String!
UploadHeader.value: String!
CreateGenerationPayload.generation: Generation
Generation.id: ID!
Generation.status: GenerationStatus!
Generation.tool: Tool
Generation.imageUrl(width: ImageWidth): String
Generation.result: JSON
Generation.error: GenerationError
Generation.creditsCharged: Int!
Generation.fromCache: Boolean!
Generation.madeOffline: Boolean!
Generation.createdAt: DateTime!
GenerationError.code: ErrorCode!
GenerationError.message: String!
Notification.id: ID!
Notification.type: NotificationType!
Notification.titleKey: String!
Notification.messageKey: String!
Notification.read: Boolean!
Notification.createdAt: DateTime!
CreditsChanged.cursor: Cursor!
CreditsChanged.credits: Credits!
GenerationUpdated.cursor: Cursor!
GenerationUpdated.generation: Generation!
NotificationAdded.cursor: Cursor!
NotificationAdded.notification: Notification
UserError.code: ErrorCode!
UserError.message: String!
UserError.path: [String!]
InsufficientCredits.balance: Int!
InsufficientCredits.required: Int!
PageInfo.hasNextPage: Boolean!
PageInfo.endCursor: Cursor
GenerationConnection.nodes: [Generation!]!
GenerationConnection.edges: [GenerationEdge!]!
GenerationConnection.pageInfo: PageInfo!
GenerationEdge.cursor: Cursor!
GenerationEdge.node: Generation!
""".strip().splitlines()

ERROR_CODES = {
    "INVALID_CREDENTIALS", "EMAIL_IN_USE", "TOOL_INACTIVE", "UPLOAD_MISSING", "UPLOAD_EXPIRED",
    "EMPTY_FILE", "UNAUTHENTICATED", "NOT_FOUND", "FORBIDDEN", "BAD_USER_INPUT",
    "INSUFFICIENT_CREDITS", "IDEMPOTENCY_CONFLICT", "INVALID_IMAGE", "LIMIT_EXCEEDED",
    "DAILY_LIMIT_REACHED", "PLAN_LIMIT_REACHED", "QUOTA_EXCEEDED", "QUERY_TOO_COMPLEX",
    "RATE_LIMITED", "CURSOR_EXPIRED", "PROVIDER_REFUSED", "PROVIDER_FAILED",
    "SERVICE_UNAVAILABLE", "INTERNAL",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """The schema as the server executes it."""
    return build_schema()._schema


def own_types(schema: GraphQLSchema) -> Iterator[GraphQLNamedType]:
    """Every type but those GraphQL itself brings along."""
    built_in = {"String", "Int", "Float", "Boolean", "ID"}
    for name, found in schema.type_map.items():
        if not name.startswith("__") and name not in built_in:
            yield found


def test_the_committed_schema_is_the_one_served() -> None:
    committed = (ROOT / "schema.graphql").read_text()
    assert committed == schema_text(), "run `tallygraph schema` and commit the file"


@pytest.mark.parametrize("line", CONTRACT)
def test_the_contract_holds(schema: GraphQLSchema, line: str) -> None:
    place, _, promised = line.rpartition(": ")
    place, _, arguments = place.partition("(")
    type_name, field_name = place.split(".")
    field = schema.type_map[type_name].fields[field_name]  # type: ignore[attr-defined]
    assert str(field.type) == promised
    for argument in filter(None, arguments.rstrip(")").split(", ")):
        name, kind = argument.split(": ")
        assert str(field.args[name].type) == kind
    added = set(getattr(field, "args", {})) - set(re.findall(r"(\w+):", arguments))
    for name in added:
        assert not is_required_argument(field.args[name]), f"{place}({name}:) breaks callers"


def test_every_error_code_is_there_and_none_is_gone(schema: GraphQLSchema) -> None:
    codes = schema.type_map["ErrorCode"]
    assert isinstance(codes, GraphQLEnumType)
    assert set(codes.values) >= ERROR_CODES


def undescribed(found: GraphQLNamedType) -> Iterator[str]:
    if not found.description:
        yield found.name
    if isinstance(found, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
        for name, field in found.fields.items():
            if not field.description:
                yield f"{found.name}.{name}"
            for argument_name, argument in getattr(field, "args", {}).items():
                if not argument.description:
                    yield f"{found.name}.{name}({argument_name}:)"


def test_everything_is_described(schema: GraphQLSchema) -> None:
    assert [fault for found in own_types(schema) for fault in undescribed(found)] == []


def test_every_mutation_takes_one_input_and_answers_with_its_errors(schema: GraphQLSchema) -> None:
    mutations = schema.mutation_type
    assert mutations is not None
    for name, field in mutations.fields.items():
        assert set(field.args) <= {"input"}, name
        if "input" in field.args:
            given = field.args["input"].type
            input_type = get_named_type(given)
            assert isinstance(input_type, GraphQLInputObjectType), name
            assert input_type.name == f"{name[0].upper()}{name[1:]}Input"
            # It may be left out where nothing in it is needed.
            needed = any(is_non_null_type(one.type) for one in input_type.fields.values())
            assert is_non_null_type(given) or not needed, name
        payload = schema.type_map[str(field.type)]
        assert isinstance(payload, GraphQLObjectType), name
        assert payload.name.endswith("Payload"), name
        assert str(payload.fields["errors"].type) == "[UserError!]!", name


def test_every_error_type_is_a_user_error(schema: GraphQLSchema) -> None:
    errors = schema.get_possible_types(schema.type_map["UserError"])  # type: ignore[arg-type]
    assert {found.name for found in errors} >= {"OperationError", "InsufficientCredits"}


def test_every_subscription_shows_its_position_and_can_continue(schema: GraphQLSchema) -> None:
    subscriptions = schema.subscription_type
    assert subscriptions is not None
    for name, field in subscriptions.fields.items():
        assert str(field.args["after"].type) == "Cursor", name
        payload = schema.type_map[str(field.type).rstrip("!")]
        assert str(payload.fields["cursor"].type) == "Cursor!"  # type: ignore[attr-defined]


def test_every_node_has_a_prefix_of_its_own(schema: GraphQLSchema) -> None:
    nodes = schema.get_possible_types(schema.type_map["Node"])  # type: ignore[arg-type]
    prefixes = [backing.prefix for node in nodes if (backing := backing_of(node))]
    assert len(prefixes) == len(set(prefixes)) == len(nodes)
    assert all(prefixes)


def faults_of(declared: type) -> list[str]:
    """What is wrong with a schema whose only root field leads to `declared`."""

    @strawberry.type(description="The root.")
    class Query:
        item: declared | None = strawberry.field(description="It.")  # type: ignore[valid-type]

    try:
        check_schema(strawberry.Schema(query=Query)._schema)
    except SchemaError as error:
        return str(error).splitlines()
    return []


def test_a_non_null_field_needs_a_column_that_is_never_null() -> None:
    @backed_by(ProfileRow, prefix="probe")
    class Probe:
        """A probe."""

        name: str = column(description="May be null in the table.")
        user_id: str = column(description="Never null in the table.")

    assert faults_of(Probe) == ["Probe.name is non-null, but its column may be null"]


def test_a_missing_description_is_refused() -> None:
    @backed_by(ProfileRow, prefix="probe")
    class Probe:
        name: str | None = column(description="")

    assert faults_of(Probe) == ["Probe has no description", "Probe.name has no description"]


def test_what_is_sealed_is_shown_by_what_opens_it_alone() -> None:
    @backed_by(TotpFactor, prefix="probe")
    class Probe:
        """A probe."""

        secret: str | None = opened(TotpFactor.sealed_secret, description="Opened.")
        sealed_secret: str | None = column(description="Not opened.")
        user: str | None = reference("sealed_secret", "user", description="Followed.")
        length: int = expression(
            lambda row: func.length(row.c.sealed_secret), description="Computed in SQL."
        )

        @computed("sealed_secret", description="Computed.")
        def is_long(self: Any) -> bool:
            return len(self.sealed_secret) > 9

    said = "is made of sealed_secret, which is sealed"
    assert faults_of(Probe) == [
        f"Probe.{name} {said}" for name in ("sealedSecret", "user", "length", "isLong")
    ]


def test_a_field_must_name_a_column() -> None:
    @backed_by(ProfileRow, prefix="probe")
    class Probe:
        """A probe."""

        nowhere: str | None = column(description="No such column.")

    assert faults_of(Probe) == ["Probe.nowhere names no column of profiles"]


def test_an_edge_may_meet_a_row_that_is_hidden() -> None:
    @backed_by(ProfileRow, prefix="other")
    class Other:
        """Another."""

        name: str | None = column(description="Its name.")

    @backed_by(GenerationRow, prefix="probe")
    class Probe:
        """A probe."""

        other: Other = related_row("upload_id", description="Never missing, it says.")

    assert faults_of(Probe) == [
        "Probe.other leads to a row that may be hidden, so it must be nullable"
    ]
