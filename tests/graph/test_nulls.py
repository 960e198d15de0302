"""Null in an input empties a column that may be empty, and is refused with its path elsewhere."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type, is_non_null_type
from strawberry.utils.str_converters import to_snake_case

from auth.one_time_codes import OneTimeCodes
from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from graph.engine.specs import backing_of
from graph.schema import build_schema
from graph.shared.relay import NO_ROW
from server.services import Services
from settings import Settings
from tests import photos

from ..attuned import onboard
from ..conftest import MakeUser
from ..jobs.helpers import create_generation, ready_upload
from ..workflows import DEFINITION, found_organization
from . import developer_errors, discord_errors
from .billing_errors import open_portal, paid_order
from .campaign_errors import campaign_input
from .conftest import Ask
from .developing import LATER
from .identity_errors import code_of
from .play_errors import AI_WRITES, drawn_session
from .referral_errors import redeemed_code
from .store_errors import (
    bought,
    new_code,
    new_file,
    new_product,
    new_store,
    new_version,
    willing_seller,
)
from .subscribing import SELL, sell
from .workflow_errors import made as made_workflow

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
# What the catalog is given for these tests alone, and rid of behind them.
NEW, NEW_COLOR, NEW_KEY = "given-nulls", "#0a1b2c", "tests.given.nulls"
CATALOG = {
    "saveHairColor": {"hexCode": NEW_COLOR},
    "saveHairstyle": {
        "id": NEW,
        "name": "A cut",
        "imageUrl": "/catalog/hairstyles/a-cut.webp",
        "gender": "FEMALE",
        "category": "short",
    },
    "savePlan": {"id": NEW, "name": "Given nulls", "monthlyCredits": 1, "maxDailyCredits": 1},
    "saveProduct": {"id": NEW, "name": "Given nulls", "kind": "CREDITS", "credits": 1},
    "saveProductPrice": {"productId": "credits-50", "provider": "sandbox"},
    "saveSkinColor": {"hexCode": NEW_COLOR, "name": "A tone"},
    "saveTool": {"id": NEW, "type": "FILTER", "iconName": "SparklesIcon", "isActive": False},
    "setTranslation": {"locale": "en", "key": NEW_KEY},
}
ACTIVITY = {
    "kind": "TRUTH",
    "level": "G",
    "intensity": 1,
    "text": "Which nulls were you given?",
    "themes": ["nulls"],
}
FORGET = """
delete from activities where themes = '{nulls}';
delete from hair_colors where hex_code = '#0a1b2c';
delete from skin_colors where hex_code = '#0a1b2c';
delete from hairstyles where id = 'given-nulls';
delete from plans where id = 'given-nulls';
delete from products where id = 'given-nulls';
update products set is_active = false where id = 'pro-renewed';
delete from tools where id = 'given-nulls';
delete from translations where key = 'tests.given.nulls';
"""
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


def document(name: str) -> str:
    input_name = f"{name[0].upper()}{name[1:]}Input"
    return (
        f"mutation($input: {input_name}!) {{ {name}(input: $input) {{ errors {{ code path }} }} }}"
    )


async def renewed(
    ask: Ask, owner: asyncpg.Connection, services: Services, actor: Actor
) -> dict[str, Any]:
    """What has begun a subscription of the user's, which is to end with its period."""
    await owner.execute(SELL)
    sell(services)
    given = {"planId": "pro", "idempotencyKey": "renewed"}
    answer = await ask(document("createSubscription"), {"input": given}, actor=actor)
    assert answer["data"]["createSubscription"]["errors"] == []
    await owner.execute(
        "update provider_subscriptions set status = 'ACTIVE', cancel_at_period_end = true,"
        " provider_subscription_id = 'sub_' || id where user_id = $1",
        actor.user_id,
    )
    return given


async def stores_of(stage: SimpleNamespace) -> dict[str, Any]:
    """An input for each mutation on a store of the user's, and on what they have bought."""
    store_id, product_id = f"store_{await new_store(stage)}", await new_product(stage)
    return {
        "createStore": {"slug": f"s-{stage.actor.user_id}", "name": "S", "idempotencyKey": "s"},
        "updateStore": {"id": store_id},
        "saveCreatorProfile": {},
        "createProduct": {"storeId": store_id, "name": "P", "idempotencyKey": "p"},
        "updateProduct": {"id": product_id},
        "createProductVersion": {"fileId": await new_file(stage), "label": "1"},
        "downloadProduct": {"productId": await new_version(stage)},
        "createDiscountCode": {
            "storeId": store_id,
            "code": "NULLS",
            "kind": "PERCENTAGE",
            "percent": 10,
        },
        "updateDiscountCode": {"id": await new_code(stage)},
        "saveReview": {"productId": await bought(stage), "rating": 5},
        "onboardSeller": {"storeId": store_id, "provider": "paypal"},
    }


async def developer_inputs(
    ask: Ask, owner: asyncpg.Connection, actor: Actor
) -> dict[str, dict[str, Any]]:
    """Inputs of somebody who has a product, a whitelist and licences."""
    somebody = SimpleNamespace(ask=ask, owner=owner, actor=actor)
    product = await developer_errors.product(somebody)
    system = await developer_errors.whitelist(somebody)
    one, key = await developer_errors.licence(somebody)
    _, other_key = await developer_errors.licence(somebody)
    await ask(
        f'mutation {{ redeemLicence(input: {{key: "{key}", robloxId: "1"}}) {{ errors {{ code }} }} }}',
        actor=actor,
    )
    return {
        "createDeveloperKey": {"name": "Game"},
        "createDeveloperProduct": {"name": "Tank", "robloxGroupId": "1"},
        "setWhitelistEntry": {"productId": product, "robloxId": "1", "expiresAt": LATER},
        "createWhitelistSystem": {"name": "Bot"},
        "syncWhitelist": {"systemId": system},
        "createLicences": {"productId": product, "idempotencyKey": "l"},
        "redeemLicence": {"key": other_key},
        "verifyLicence": {"key": key},
        "banLicence": {"id": one},
        "extendLicence": {"id": one},
        "transferLicence": {"id": one},
    }


async def discord_inputs(owner: asyncpg.Connection, actor: Actor) -> dict[str, dict[str, Any]]:
    """Inputs of somebody who makes bots, and has a server with a product."""
    server, product = await discord_errors.product(SimpleNamespace(owner=owner, actor=actor))
    key = {"productId": product, "key": "KEY-00001", "discordId": "123456789012345678"}
    return {
        "createBotKey": {"name": "A bot"},
        "redeemBotKey": key,
        "syncBotWhitelist": {"serverId": server},
    }


@pytest.fixture
async def valid(
    ask: Ask,
    database: Database,
    settings: Settings,
    make_user: MakeUser,
    owner: asyncpg.Connection,
    services: Services,
) -> AsyncIterator[tuple[Actor, dict[str, dict[str, Any]]]]:
    """A user, and an input for each mutation that changes something of theirs."""
    actor = await make_user()
    session_id = await owner.fetchval(
        "insert into sessions (user_id, expires_at) values ($1, now() + interval '1 hour')"
        " returning id",
        actor.user_id,
    )
    actor = replace(actor, session_id=session_id)
    willing_seller(services)
    upload = await ready_upload(database, open_storage(settings), actor)
    running = await create_generation(database, actor, upload)
    create = document("createProfile").replace("errors", "profile { id } errors")
    await owner.execute("update users set role = 'admin' where id = $1", actor.user_id)
    made = (await ask(create, {"input": {"analysis": {}}}, actor=actor))["data"]["createProfile"]
    session = await owner.fetchval(
        "insert into coaching_sessions (user_id, profile_id) values ($1, $2) returning id",
        actor.user_id,
        UUID(made["profile"]["id"].removeprefix("profile_")),
    )
    coached = f"coachingSession_{session}"
    key = {"name": "A bot", "scopes": ["READ"]}
    create = document("createApiKey").replace("errors", "apiKey { id } errors")
    api_key = (await ask(create, {"input": key}, actor=actor))["data"]["createApiKey"]["apiKey"]

    async def link(purpose: str) -> str:
        code_id = await owner.fetchval(
            "insert into one_time_codes (purpose, user_id, email, email_key, network_hash, expires_at)"
            " select $2, id, email, email_key, '', now() + interval '1 hour' from users where id = $1"
            " returning id",
            actor.user_id, purpose,
        )  # fmt: skip
        return OneTimeCodes(settings).link_token(code_id)

    await owner.execute(AI_WRITES, 10)
    await onboard(owner, actor.user_id)
    create = document("createActivity").replace("errors", "activity { id } errors")
    activity = (await ask(create, {"input": ACTIVITY}, actor=actor))["data"]["createActivity"]
    inputs = {
        **CATALOG,
        "createApiKey": key,
        "createOrganizationApiKey": key
        | {"organizationId": f"organization_{await found_organization(owner, actor)}"},
        "createUser": {"email": f"given.{actor.user_id}@example.test"},
        "rotateApiKey": {"id": api_key["id"]},
        "beginPasskeyRegistration": {},
        "beginPasskeySignIn": {},
        "deleteAccount": {},
        "reauthenticate": {},
        "signOutEverywhere": {},
        "signOutUser": {"id": f"user_{actor.user_id}"},
        "signUp": {"email": f"new.{actor.user_id}@example.test", "password": "correct horse"},
        "confirmEmail": {"code": await link("CONFIRM_EMAIL")},
        "signInWithCode": {"code": await link("SIGN_IN")},
        "undoAddedFactor": {"code": await link("UNDO_ADDED_FACTOR")},
        "undoEmailChange": {"code": await link("UNDO_EMAIL_CHANGE")},
        "resetPassword": {
            "code": await link("RESET_PASSWORD"),
            "newPassword": "another horse",
        },
        "updateUser": {},
        "updateDemographics": {
            "name": "Ada",
            "anatomySelf": ["VAGINA"],
            "anatomyPreference": ["PENIS"],
        },
        "cancelGeneration": {"id": f"generation_{running}"},
        "createGeneration": {
            "toolId": "halloween",
            "uploadId": f"upload_{upload}",
            "idempotencyKey": "k",
        },
        "createBillingPortal": {"provider": await open_portal(services, owner, actor.user_id)},
        "createSubscription": await renewed(ask, owner, services, actor),
        "previewPlanChange": {},
        "changeSubscription": {"idempotencyKey": "k"},
        "cancelSubscription": {},
        "resumeSubscription": {},
        "createCheckout": {
            "productId": "credits-50",
            "provider": "sandbox",
            "idempotencyKey": "k",
        },
        "broadcastNotification": {
            "type": "OFFER",
            "titleKey": "notifications.welcome.title",
            "messageKey": "notifications.welcome.message",
            "idempotencyKey": "k",
        },
        "createCoachingSession": {"profileId": made["profile"]["id"]},
        "updateCoachingSession": {"id": coached},
        "createProfile": {"analysis": {}},
        "exchangeSignInCode": {
            "code": await code_of(SimpleNamespace(services=services), str(actor.user_id))
        },
        "givePlan": {
            "userId": f"user_{actor.user_id}",
            "planId": "pro",
            "reason": "r",
            "idempotencyKey": "k",
        },
        "grantCredits": {
            "userId": f"user_{actor.user_id}",
            "amount": 1,
            "reason": "r",
            "idempotencyKey": "k",
        },
        "markAllNotificationsRead": {},
        "redeemReferralCode": {"code": await redeemed_code(owner, actor.user_id)},
        "refundOrder": {
            "orderId": f"order_{await paid_order(owner, actor.user_id, 'sandbox')}",
            "reason": "r",
            "idempotencyKey": "k",
        },
        "sendNotification": {
            "userId": f"user_{actor.user_id}",
            "type": "OFFER",
            "titleKey": "t",
            "messageKey": "m",
            "idempotencyKey": "k",
        },
        "completeActivity": {"sessionId": await drawn_session(owner, actor.user_id), "version": 1},
        "confirmPlaySession": {"id": await drawn_session(owner, actor.user_id)},
        "createActivity": ACTIVITY,
        "acceptPartner": {"requestId": await asked(owner, actor)},
        "requestPartner": {"email": "nobody@nulls.test"},
        "requestActivities": {"sessionId": await drawn_session(owner, actor.user_id)},
        "updateActivity": {"id": activity["activity"]["id"]},
        "startPlaySession": {"level": "G"},
        "selectOrganization": {},
        "signInAnonymously": {},
        "spendCredits": {"amount": 1, "idempotencyKey": "k"},
        "syncProfiles": {"deviceId": "phone"},
        "updateProfile": {"id": made["profile"]["id"]},
        "updateUserProfile": {},
        "createCampaign": await campaign_input(SimpleNamespace(owner=owner, actor=actor)),
        **await stores_of(SimpleNamespace(owner=owner, actor=actor)),
        "createWorkflow": {
            "organizationId": f"organization_{await found_organization(owner, actor)}",
            "name": "Reminder",
            "definition": DEFINITION,
            "idempotencyKey": "w",
        },
        **await developer_inputs(ask, owner, actor),
        **await discord_inputs(owner, actor),
        "updateWorkflow": {"id": await made_workflow(SimpleNamespace(owner=owner, actor=actor))},
    }
    yield actor, inputs
    await owner.execute(AI_WRITES, 0)
    await owner.execute(FORGET)


async def asked(owner: asyncpg.Connection, actor: Actor) -> str:
    """The global id of a request to connect that an actor has received."""
    made = await owner.fetchval(
        "with other as (insert into users (email) select gen_random_uuid() || '@nulls.test' returning id)"
        " insert into partner_requests (requester_id, email_key, recipient_id, expires_at, delivered_at)"
        " select id, 'nulls', $1, now() + interval '5 minutes', now() from other returning id",
        actor.user_id,
    )
    return f"partnerRequest_{made}"


@pytest.mark.parametrize(("name", "field"), list(nullable_fields()))
async def test_null_empties_or_is_refused(
    ask: Ask,
    owner: asyncpg.Connection,
    valid: tuple[Actor, dict[str, dict[str, Any]]],
    name: str,
    field: str,
) -> None:
    actor, inputs = valid
    may_be_empty = (name, field) in NOT_STORED or await owner.fetchval(
        NULLABLE_SQL, TABLES[name], COLUMNS.get((name, field), to_snake_case(field))
    )
    assert may_be_empty is not None, f"{TABLES[name]} has no column for {field}"
    given = inputs[name] | {field: None}
    answer = (await ask(document(name), {"input": given}, actor=actor))["data"][name]
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
async def test_a_blank_idempotency_key_is_refused(
    ask: Ask, valid: tuple[Actor, dict[str, dict[str, Any]]], key: str
) -> None:
    actor, inputs = valid
    refused = [{"code": "BAD_USER_INPUT", "path": ["input", "idempotencyKey"]}]
    profile = inputs["updateProfile"]["id"]
    inputs = inputs | {
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
        "startRun": {"workflowId": inputs["updateWorkflow"]["id"], "to": "+12025550123"},
    }
    answers = {
        name: (await ask(document(name), {"input": given | {"idempotencyKey": key}}, actor=actor))[
            "data"
        ][name]["errors"]
        for name, given in inputs.items()
        if name in MUTATIONS_WITH_KEYS
    }
    assert answers.keys() == MUTATIONS_WITH_KEYS
    assert {name: errors for name, errors in answers.items() if errors != refused} == {}


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
