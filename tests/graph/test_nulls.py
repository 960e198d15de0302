"""Null in an input empties a column that may be empty, and is refused with its path elsewhere."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type, is_non_null_type
from strawberry.utils.str_converters import to_snake_case

from db.core.pool import Database
from graph.engine.specs import backing_of
from graph.schema import build_schema
from graph.shared.relay import NO_ROW
from server.services import Services
from settings import Settings
from tests import photos

from ..attuned import onboard
from ..conftest import MakeUser
from .conftest import Ask
from .play_errors import AI_WRITES
from .store_errors import willing_seller
from .valid_inputs import FORGET, ValidInputs, document

SCHEMA = build_schema()._schema
MUTATIONS_WITH_KEYS = {
    name
    for name, mutation in SCHEMA.mutation_type.fields.items()  # type: ignore[union-attr]
    if "input" in mutation.args
    and "idempotencyKey" in get_named_type(mutation.args["input"].type).fields
}
# The table that an input's fields are columns of.
TABLES = {
    "createDeveloperKey": "developer_keys",
    "createDeveloperProduct": "developer_products",
    "setWhitelistEntry": "whitelist_entries",
    "createWhitelistSystem": "whitelist_systems",
    "syncWhitelist": "whitelist_users",
    "createLicences": "licences",
    "redeemLicence": "licences",
    "verifyLicence": "licences",
    "banLicence": "licences",
    "extendLicence": "licences",
    "transferLicence": "licences",
    "completeActivity": "play_turns",
    "createActivity": "activities",
    "requestActivities": "play_sessions",
    "updateActivity": "activities",
    "confirmPlaySession": "play_sessions",
    "startPlaySession": "play_sessions",
    "acceptPartner": "partner_requests",
    "requestPartner": "partner_requests",
    "broadcastNotification": "broadcasts",
    "givePlan": "plan_subscriptions",
    "grantCredits": "credit_grants",
    "markAllNotificationsRead": "notifications",
    "sendNotification": "notifications",
    "beginPasskeyRegistration": "users",
    "beginPasskeySignIn": "users",
    "cancelGeneration": "generations",
    "confirmEmail": "users",
    "createApiKey": "api_keys",
    "createBotKey": "api_keys",
    "redeemBotKey": "bot_whitelisted_users",
    "syncBotWhitelist": "bot_whitelisted_users",
    "createOrganizationApiKey": "api_keys",
    "createBillingPortal": "orders",
    "createSubscription": "provider_subscriptions",
    "previewPlanChange": "provider_subscriptions",
    "changeSubscription": "provider_subscriptions",
    "cancelSubscription": "provider_subscriptions",
    "resumeSubscription": "provider_subscriptions",
    "createCheckout": "orders",
    "createGeneration": "generations",
    "createCoachingSession": "coaching_sessions",
    "updateCoachingSession": "coaching_sessions",
    "createProfile": "profiles",
    "createUser": "users",
    "deleteAccount": "users",
    "exchangeSignInCode": "users",
    "reauthenticate": "users",
    "redeemReferralCode": "referrals",
    "refundOrder": "orders",
    "resetPassword": "users",
    "rotateApiKey": "api_keys",
    "saveHairColor": "hair_colors",
    "saveHairstyle": "hairstyles",
    "savePlan": "plans",
    "saveProduct": "products",
    "saveProductPrice": "product_prices",
    "saveSkinColor": "skin_colors",
    "saveTool": "tools",
    "selectOrganization": "users",
    "setTranslation": "translations",
    "signInAnonymously": "users",
    "signInWithCode": "users",
    "signOutEverywhere": "sessions",
    "signOutUser": "sessions",
    "signUp": "users",
    "spendCredits": "credit_transactions",
    "syncProfiles": "profiles",
    "updateDemographics": "demographics",
    "updateProfile": "profiles",
    "updateUser": "users",
    "updateUserProfile": "user_profiles",
    "createDiscountCode": "discount_codes",
    "createProduct": "products",
    "createProductVersion": "product_versions",
    "createStore": "stores",
    "downloadProduct": "product_versions",
    "onboardSeller": "stores",
    "saveCreatorProfile": "creator_profiles",
    "saveReview": "reviews",
    "updateDiscountCode": "discount_codes",
    "updateProduct": "products",
    "updateStore": "stores",
    "createWorkflow": "workflows",
    "updateWorkflow": "workflows",
    "createCampaign": "campaigns",
}
# Fields whose columns have other names.
COLUMNS = {
    ("selectOrganization", "organizationId"): "selected_organization_id",
    ("saveProductPrice", "interval"): "billing_interval",
}
# Fields that are kept nowhere: null is as good as leaving them out.
NOT_STORED = {
    *(
        (name, field)
        for name, fields in {
            "createDeveloperKey": ("tier", "idempotencyKey"),
            "createDeveloperProduct": ("description",),
            "setWhitelistEntry": ("discordId",),
            "createWhitelistSystem": ("description", "developerProductId"),
            "syncWhitelist": ("since",),
            "syncBotWhitelist": ("since",),
            "redeemBotKey": ("discordUsername", "robloxId", "robloxUsername"),
            "createBotKey": ("idempotencyKey",),
            "createLicences": ("maxActivations", "expiresAt", "durationDays"),
            "redeemLicence": ("discordId", "robloxId"),
            "verifyLicence": ("key", "robloxId", "productId", "machineId"),
            "banLicence": ("reason",),
            "extendLicence": ("days", "expiresAt"),
            "transferLicence": ("username", "discordId", "robloxId"),
        }.items()
        for field in fields
    ),
    ("broadcastNotification", "segment"),
    ("beginPasskeyRegistration", "secondFactor"),
    ("beginPasskeySignIn", "challengeId"),
    ("cancelGeneration", "idempotencyKey"),
    ("confirmEmail", "email"),
    ("confirmEmail", "signUpToken"),
    ("createApiKey", "idempotencyKey"),
    ("createOrganizationApiKey", "idempotencyKey"),
    ("createBillingPortal", "organizationId"),
    ("createBillingPortal", "returnUrl"),
    ("createSubscription", "organizationId"),
    ("createSubscription", "successUrl"),
    ("createSubscription", "cancelUrl"),
    *(
        (name, field)
        for name in ("previewPlanChange", "changeSubscription")
        for field in ("organizationId", "planId", "interval", "seats")
    ),
    ("changeSubscription", "proratedAt"),
    ("cancelSubscription", "organizationId"),
    ("resumeSubscription", "organizationId"),
    ("completeActivity", "feedback"),
    ("confirmPlaySession", "level"),
    ("createUser", "password"),
    ("requestActivities", "idempotencyKey"),
    ("startPlaySession", "idempotencyKey"),
    ("startPlaySession", "opponentName"),
    ("deleteAccount", "code"),
    ("resetPassword", "removePasskeys"),
    ("deleteAccount", "password"),
    ("exchangeSignInCode", "codeVerifier"),
    ("givePlan", "until"),
    ("markAllNotificationsRead", "until"),
    ("syncProfiles", "since"),
    ("reauthenticate", "code"),
    ("redeemReferralCode", "deviceId"),
    ("reauthenticate", "password"),
    ("refundOrder", "amountCents"),
    ("resetPassword", "email"),
    ("rotateApiKey", "idempotencyKey"),
    ("setTranslation", "text"),
    ("signInAnonymously", "deviceId"),
    ("signInWithCode", "email"),
    ("signOutEverywhere", "keepCurrent"),
    ("signOutUser", "sessionId"),
    ("signUp", "referralCode"),
    ("signUp", "username"),
    ("createCheckout", "affiliateCode"),
    ("createCheckout", "discountCode"),
    ("createCheckout", "email"),
    ("createProduct", "price"),
    ("downloadProduct", "versionId"),
    ("onboardSeller", "returnUrl"),
    ("updateProduct", "price"),
    ("updateProduct", "isFree"),
    ("createWorkflow", "templateVariables"),
    ("updateWorkflow", "name"),
    ("updateWorkflow", "definition"),
    ("updateWorkflow", "templateVariables"),
}
# One of several fields is needed; with none of them, this is said.
NEEDS_ONE = {
    name: [{"code": "BAD_USER_INPUT", "path": ["input"]}]
    for name in ("reauthenticate", "updateWorkflow")
}
# Fields that may be empty in other rows than the one that is tried.
NEEDED_HERE = {
    ("saveProduct", "credits"),
    ("createDiscountCode", "percent"),
    ("verifyLicence", "key"),
}
NULLABLE_SQL = """
select is_nullable = 'YES' from information_schema.columns
where table_schema = 'public' and table_name = $1 and column_name = $2
"""
PROFILE = "{ id name thumbnailUrl localId analysis chatHistory createdAt updatedAt }"


def nullable_fields() -> Iterator[tuple[str, str]]:
    root = SCHEMA.mutation_type
    assert root is not None
    for name, mutation in root.fields.items():
        for argument in mutation.args.values():
            input_type = get_named_type(argument.type)
            assert isinstance(input_type, GraphQLInputObjectType)
            for field_name, field in input_type.fields.items():
                if not is_non_null_type(field.type):
                    yield name, field_name


@pytest.fixture
async def valid(
    ask: Ask,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    services: Services,
) -> AsyncIterator[ValidInputs]:
    """A user, and an input for each mutation that changes something of theirs."""
    actor = await make_user()
    session_id = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 hour')"
        " returning id",
        actor.user_id,
    )
    actor = replace(actor, session_id=session_id)
    willing_seller(services)
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    await owner.execute(AI_WRITES, 10)
    await onboard(owner, actor.user_id)
    yield ValidInputs(ask, owner, database, settings, services, actor)
    await owner.execute(AI_WRITES, 0)
    await owner.execute(FORGET)


@pytest.mark.parametrize(("name", "field"), list(nullable_fields()))
async def test_null_empties_or_is_refused(
    ask: Ask,
    owner: asyncpg.Connection,
    valid: ValidInputs,
    name: str,
    field: str,
) -> None:
    may_be_empty = (name, field) in NOT_STORED or await owner.fetchval(
        NULLABLE_SQL, TABLES[name], COLUMNS.get((name, field), to_snake_case(field))
    )
    assert may_be_empty is not None, f"{TABLES[name]} has no column for {field}"
    given = await valid(name) | {field: None}
    answer = (await ask(document(name), {"input": given}, actor=valid.actor))["data"][name]
    refused = [{"code": "BAD_USER_INPUT", "path": ["input", field]}]
    is_refused = not may_be_empty or (name, field) in NEEDED_HERE
    assert answer["errors"] == (refused if is_refused else NEEDS_ONE.get(name, []))
    description = (
        get_named_type(
            SCHEMA.mutation_type.fields[name].args["input"].type  # type: ignore[union-attr]
        )
        .fields[field]
        .description
    )  # type: ignore[union-attr]
    said = (
        ("Null empties it.", "Null is as good as leaving it out.")
        if may_be_empty
        else ("not be null",)
    )
    assert any(sentence in description for sentence in said)


@pytest.mark.parametrize("key", ["", "   ", "\u3000\n"])
async def test_a_blank_idempotency_key_is_refused(ask: Ask, valid: ValidInputs, key: str) -> None:
    refused = [{"code": "BAD_USER_INPUT", "path": ["input", "idempotencyKey"]}]
    profile = await valid.profile()
    inputs: dict[str, Any] = {
        "analyzeProfile": {"profileId": profile},
        "configureDiscordServer": {
            "serverId": f"discordServer_{NO_ROW}",
            "products": [],
            "permissions": [],
        },
        "createOrganization": {"name": "A"},
        "recordObfuscation": {},
        "saveSurveyAnswers": {
            "runId": f"surveyRun_{NO_ROW}",
            "answers": [{"itemId": "A1", "value": 1}],
        },
        "sendChatMessage": {"profileId": profile, "text": "Hello."},
        "startRun": {"workflowId": (await valid("updateWorkflow"))["id"], "to": "+12025550123"},
    }
    answers = {}
    for name in MUTATIONS_WITH_KEYS:
        given = inputs[name] if name in inputs else await valid(name)
        variables = {"input": given | {"idempotencyKey": key}}
        answers[name] = (await ask(document(name), variables, actor=valid.actor))["data"][name]
    errors = {name: answer["errors"] for name, answer in answers.items()}
    assert {name: said for name, said in errors.items() if said != refused} == {}


async def test_null_empties_what_a_profile_has(ask: Ask, make_user: MakeUser) -> None:
    actor = await make_user()
    create = f"mutation($input: CreateProfileInput!) {{ createProfile(input: $input) {{ profile {PROFILE} }} }}"
    change = f"mutation($input: UpdateProfileInput!) {{ updateProfile(input: $input) {{ profile {PROFILE} errors {{ message path }} }} }}"
    picture = base64.b64encode(photos.jpeg()).decode()
    given = {"name": "Ada", "thumbnail": picture, "analysis": {"a": 1}, "chatHistory": [1]}
    made = (await ask(create, {"input": given}, actor=actor))["data"]["createProfile"]["profile"]
    emptied = {"id": made["id"], "name": None, "thumbnail": None}
    answer = (await ask(change, {"input": emptied}, actor=actor))["data"]["updateProfile"]
    assert (
        answer["profile"].items()
        >= {"name": None, "thumbnailUrl": None, "analysis": {"a": 1}}.items()
    )
    nulls = {"analysis": None, "chatHistory": None, "updatedAt": None, "name": "x" * 256}
    answer = (await ask(change, {"input": {"id": made["id"], **nulls}}, actor=actor))["data"]
    assert answer["updateProfile"]["profile"] is None
    assert {error["path"][1]: error["message"] for error in answer["updateProfile"]["errors"]} == {
        "analysis": "analysis cannot be null; leave it out instead.",
        "chatHistory": "chatHistory cannot be null; leave it out instead.",
        "updatedAt": "updatedAt cannot be null; leave it out instead.",
        "name": "name may have at most 255 characters.",
    }


def conditions() -> Iterator[tuple[str, str]]:
    """A list of the viewer's, and one nullable condition or operator in its `where`."""
    user = SCHEMA.type_map["User"]
    assert isinstance(user, GraphQLObjectType)
    for name, field in user.fields.items():
        if "where" in field.args:
            where = get_named_type(field.args["where"].type)
            assert isinstance(where, GraphQLInputObjectType)
            for condition, operators in where.fields.items():
                yield name, f"{condition}: null"
                named = get_named_type(operators.type)
                assert isinstance(named, GraphQLInputObjectType)
                yield from ((name, f"{condition}: {{ {one}: null }}") for one in named.fields)


@pytest.mark.parametrize(("name", "condition"), list(conditions()))
async def test_null_is_no_condition(
    ask: Ask, make_user: MakeUser, name: str, condition: str
) -> None:
    text = f"{{ viewer {{ {name}(where: {{ {condition} }}) {{ nodes {{ id }} }} }} }}"
    (error,) = (await ask(text, actor=await make_user()))["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["path"] == ["viewer", name]
    assert error["message"] == "A condition may not be null; leave it out."


def test_every_input_that_takes_null_is_told_of() -> None:
    assert {name for name, _ in nullable_fields()} == set(TABLES)
    backed = {backing_of(found) for found in SCHEMA.type_map.values()}
    assert {one.table.name for one in backed if one} >= set(TABLES.values())
