"""Assembles the slices into one schema; a new slice is one line in each class here."""

from __future__ import annotations

from functools import cache

import strawberry
from strawberry.schema.config import StrawberryConfig

from graph.accounts import AccountsMutation, AccountsQuery
from graph.administration import AdministrationMutation, AdministrationQuery
from graph.catalog import CatalogMutation, CatalogQuery, CatalogSubscription
from graph.credits import CreditsMutation, CreditsQuery, CreditsSubscription
from graph.engine.checks import check_schema
from graph.generations import GenerationsMutation, GenerationsQuery, GenerationsSubscription
from graph.jobs import JobsMutation, JobsQuery
from graph.notifications import NotificationsMutation, NotificationsSubscription
from graph.organizations import OrganizationsMutation, OrganizationsQuery
from graph.profiles import ProfilesMutation, ProfilesSubscription
from graph.shared.errors import DailyLimitReachedError, InsufficientCreditsError, OperationError
from graph.shared.scalars import SCALARS
from graph.uploads import UploadsMutation, UploadsSubscription


@strawberry.type(description="What can be asked.")
class Query(
    AccountsQuery,
    AdministrationQuery,
    CatalogQuery,
    CreditsQuery,
    GenerationsQuery,
    JobsQuery,
    OrganizationsQuery,
):
    """The root of queries."""


@strawberry.type(description="What can be done. Fields run one after the other.")
class Mutation(
    AccountsMutation,
    AdministrationMutation,
    CatalogMutation,
    CreditsMutation,
    GenerationsMutation,
    JobsMutation,
    NotificationsMutation,
    OrganizationsMutation,
    ProfilesMutation,
    UploadsMutation,
):
    """The root of mutations."""


@strawberry.type(description="What can be watched.")
class Subscription(
    CatalogSubscription,
    CreditsSubscription,
    GenerationsSubscription,
    NotificationsSubscription,
    ProfilesSubscription,
    UploadsSubscription,
):
    """The root of subscriptions."""


@cache
def build_schema() -> strawberry.Schema:
    """The whole schema, checked against the tables it reads."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[OperationError, InsufficientCreditsError, DailyLimitReachedError],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    check_schema(schema._schema)
    return schema


def schema_text() -> str:
    """The schema as it is committed in `schema.graphql`."""
    return build_schema().as_str() + "\n"
