"""A good input of each mutation that takes null somewhere, made only when it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from auth.one_time_codes import OneTimeCodes
from db.core.actor import Actor
from db.core.pool import Database
from db.files.storage import open_storage
from server.services import Services
from settings import Settings

from ..jobs.helpers import create_generation, ready_upload
from ..workflows import DEFINITION, found_organization
from . import developer_errors, discord_errors, store_errors
from .billing_errors import open_portal, paid_order
from .campaign_errors import campaign_input
from .conftest import Ask
from .developing import LATER
from .identity_errors import code_of
from .play_errors import drawn_session
from .referral_errors import redeemed_code
from .subscribing import SELL, sell
from .workflow_errors import made as made_workflow

# What the catalog is given for these tests alone, and rid of behind them.
NEW, NEW_COLOR, NEW_KEY = "given-nulls", "#0a1b2c", "tests.given.nulls"
CATALOG: Mapping[str, dict[str, Any]] = {
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
ACTIVITY = {
    "kind": "TRUTH",
    "level": "G",
    "intensity": 1,
    "text": "Which nulls were you given?",
    "themes": ["nulls"],
}
API_KEY = {"name": "A bot", "scopes": ["READ"]}
MESSAGE = {
    "type": "OFFER",
    "titleKey": "notifications.welcome.title",
    "messageKey": "notifications.welcome.message",
    "idempotencyKey": "k",
}
# Whoever it is, and whatever they have.
PLAIN: Mapping[str, dict[str, Any]] = {
    **CATALOG,
    "createApiKey": API_KEY,
    "createActivity": ACTIVITY,
    "broadcastNotification": MESSAGE,
    "beginPasskeyRegistration": {},
    "beginPasskeySignIn": {},
    "deleteAccount": {},
    "reauthenticate": {},
    "signOutEverywhere": {},
    "updateUser": {},
    "updateDemographics": {
        "name": "Ada",
        "anatomySelf": ["VAGINA"],
        "anatomyPreference": ["PENIS"],
    },
    "createCheckout": {
        "productId": "credits-50",
        "provider": "sandbox",
        "idempotencyKey": "k",
    },
    "createProfile": {"analysis": {}},
    "markAllNotificationsRead": {},
    "requestPartner": {"email": "nobody@nulls.test"},
    "startPlaySession": {"level": "G"},
    "selectOrganization": {},
    "signInAnonymously": {},
    "spendCredits": {"amount": 1, "idempotencyKey": "k"},
    "syncProfiles": {"deviceId": "phone"},
    "updateUserProfile": {},
    "saveCreatorProfile": {},
    "createDeveloperProduct": {"name": "Tank", "robloxGroupId": "1"},
    "createWhitelistSystem": {"name": "Bot"},
    "createBotKey": {"name": "A bot"},
}

# What is there already, or is made along.
Maker = Callable[[], dict[str, Any] | Awaitable[dict[str, Any]]]


def document(name: str) -> str:
    """A mutation by its input, that selects its errors."""
    input_name = f"{name[0].upper()}{name[1:]}Input"
    return (
        f"mutation($input: {input_name}!) {{ {name}(input: $input) {{ errors {{ code path }} }} }}"
    )


@dataclass
class ValidInputs:
    """Somebody who is an admin, and what makes an input for them by the mutation's name.

    Making all of them for each of many tests would take longer than the tests.
    """

    ask: Ask
    owner: asyncpg.Connection
    database: Database
    settings: Settings
    services: Services
    actor: Actor

    async def __call__(self, name: str) -> dict[str, Any]:
        """A good input of a mutation."""
        if name in PLAIN:
            return dict(PLAIN[name])
        makers = {**self.of_accounts(), **self.of_work(), **self.of_play(), **self.of_sales()}
        makers |= self.of_developers()
        given = makers[name]()
        if isawaitable(given):
            given = await given
        return {field: await one if isawaitable(one) else one for field, one in given.items()}

    async def made(self, name: str, entity: str, given: dict[str, Any]) -> str:
        """The id of what a mutation makes."""
        asked = document(name).replace("errors", f"{entity} {{ id }} errors", 1)
        answer = (await self.ask(asked, {"input": given}, actor=self.actor))["data"][name]
        return str(answer[entity]["id"])

    async def link(self, purpose: str) -> str:
        """A code as a mail has it in a link."""
        code_id = await self.owner.fetchval(
            "insert into one_time_codes (purpose, user_id, email, email_key, network_hash, expires_at)"
            " select $2, id, email, email_key, '', now() + interval '1 hour' from users where id = $1"
            " returning id",
            self.actor.user_id, purpose,
        )  # fmt: skip
        return OneTimeCodes(self.settings).link_token(code_id)

    async def upload(self) -> UUID:
        """A photo of the user's."""
        return await ready_upload(self.database, open_storage(self.settings), self.actor)

    async def profile(self) -> str:
        """A profile of the user's."""
        return await self.made("createProfile", "profile", {"analysis": {}})

    async def renewed(self) -> None:
        """Begins a subscription of the user's, which is to end with its period."""
        await self.owner.execute(SELL)
        sell(self.services)
        given = {"planId": "pro", "idempotencyKey": "renewed"}
        asked = document("createSubscription")
        answer = await self.ask(asked, {"input": given}, actor=self.actor)
        assert answer["data"]["createSubscription"]["errors"] == []
        await self.owner.execute(
            "update provider_subscriptions set status = 'ACTIVE', cancel_at_period_end = true,"
            " provider_subscription_id = 'sub_' || id where user_id = $1",
            self.actor.user_id,
        )

    async def after(self, done: Awaitable[object], given: dict[str, Any]) -> dict[str, Any]:
        """An input, once what its mutation takes is there."""
        await done
        return given

    async def organization(self) -> str:
        """An organization of the user's."""
        return f"organization_{await found_organization(self.owner, self.actor)}"

    async def generation(self) -> str:
        """One that has not ended."""
        made = await create_generation(self.database, self.actor, await self.upload())
        return f"generation_{made}"

    async def coaching(self) -> str:
        """A coaching session."""
        made = await self.owner.fetchval(
            "insert into coaching_sessions (user_id, profile_id) values ($1, $2) returning id",
            self.actor.user_id,
            UUID((await self.profile()).removeprefix("profile_")),
        )
        return f"coachingSession_{made}"

    async def asked(self) -> str:
        """A request to connect that the user has received."""
        made = await self.owner.fetchval(
            "with other as (insert into users (email) select gen_random_uuid() || '@nulls.test' returning id)"
            " insert into partner_requests (requester_id, email_key, recipient_id, expires_at, delivered_at)"
            " select id, 'nulls', $1, now() + interval '5 minutes', now() from other returning id",
            self.actor.user_id,
        )
        return f"partnerRequest_{made}"

    async def licence(self, part: int) -> str:
        """The id (0) or the key (1) of a licence that is redeemed."""
        made = await developer_errors.licence(self)
        redeem = f'''mutation {{ redeemLicence(input: {{key: "{made[1]}", robloxId: "1"}}) {{
          errors {{ code }} }} }}'''
        await self.ask(redeem, actor=self.actor)
        return made[part]

    async def new_licence(self) -> str:
        """The key of one that nobody has redeemed."""
        return (await developer_errors.licence(self))[1]

    async def server(self, part: int) -> str:
        """A server at Discord (0), or a product of one (1)."""
        return (await discord_errors.product(self))[part]

    def of_accounts(self) -> dict[str, Maker]:
        """Of accounts, and of what admins do with them."""
        user_id, owner = self.actor.user_id, self.owner
        assert user_id
        user = f"user_{user_id}"
        return {
            "createOrganizationApiKey": lambda: API_KEY | {"organizationId": self.organization()},
            "createUser": lambda: {"email": f"given.{user_id}@example.test"},
            "rotateApiKey": lambda: {"id": self.made("createApiKey", "apiKey", API_KEY)},
            "signOutUser": lambda: {"id": user},
            "signUp": lambda: {"email": f"new.{user_id}@example.test", "password": "correct horse"},
            "confirmEmail": lambda: {"code": self.link("CONFIRM_EMAIL")},
            "signInWithCode": lambda: {"code": self.link("SIGN_IN")},
            "undoAddedFactor": lambda: {"code": self.link("UNDO_ADDED_FACTOR")},
            "undoEmailChange": lambda: {"code": self.link("UNDO_EMAIL_CHANGE")},
            "resetPassword": lambda: {
                "code": self.link("RESET_PASSWORD"),
                "newPassword": "another horse",
            },
            "exchangeSignInCode": lambda: {"code": code_of(self, str(user_id))},
            "givePlan": lambda: {
                "userId": user,
                "planId": "pro",
                "reason": "r",
                "idempotencyKey": "k",
            },
            "grantCredits": lambda: {
                "userId": user,
                "amount": 1,
                "reason": "r",
                "idempotencyKey": "k",
            },
            "sendNotification": lambda: {
                "userId": user,
                "type": "OFFER",
                "titleKey": "t",
                "messageKey": "m",
                "idempotencyKey": "k",
            },
            "redeemReferralCode": lambda: {"code": redeemed_code(owner, user_id)},
        }

    def of_work(self) -> dict[str, Maker]:
        """Of profiles, generations, calls and subscriptions."""
        return {
            "cancelGeneration": lambda: {"id": self.generation()},
            "createGeneration": lambda: {
                "toolId": "halloween",
                "uploadId": named("upload", self.upload()),
                "idempotencyKey": "k",
            },
            "createCoachingSession": lambda: {"profileId": self.profile()},
            "updateCoachingSession": lambda: {"id": self.coaching()},
            "updateProfile": lambda: {"id": self.profile()},
            "createCampaign": lambda: campaign_input(self),
            "createWorkflow": lambda: {
                "organizationId": self.organization(),
                "name": "Reminder",
                "definition": DEFINITION,
                "idempotencyKey": "w",
            },
            "updateWorkflow": lambda: {"id": made_workflow(self)},
            "createSubscription": lambda: self.after(
                self.renewed(), {"planId": "pro", "idempotencyKey": "renewed"}
            ),
            "previewPlanChange": lambda: self.after(self.renewed(), {}),
            "changeSubscription": lambda: self.after(self.renewed(), {"idempotencyKey": "k"}),
            "cancelSubscription": lambda: self.after(self.renewed(), {}),
            "resumeSubscription": lambda: self.after(self.renewed(), {}),
        }

    def of_play(self) -> dict[str, Maker]:
        """Of partners, games and activities."""
        user_id, owner = self.actor.user_id, self.owner
        return {
            "completeActivity": lambda: {"sessionId": drawn_session(owner, user_id), "version": 1},
            "confirmPlaySession": lambda: {"id": drawn_session(owner, user_id)},
            "acceptPartner": lambda: {"requestId": self.asked()},
            "requestActivities": lambda: {"sessionId": drawn_session(owner, user_id)},
            "updateActivity": lambda: {"id": self.made("createActivity", "activity", ACTIVITY)},
        }

    def of_sales(self) -> dict[str, Maker]:
        """Of stores, and of what is bought."""
        owner, user_id = self.owner, self.actor.user_id
        return {
            "createBillingPortal": lambda: {"provider": open_portal(self.services, owner, user_id)},
            "refundOrder": lambda: {
                "orderId": named("order", paid_order(owner, user_id, "sandbox")),
                "reason": "r",
                "idempotencyKey": "k",
            },
            "createStore": lambda: {"slug": f"s-{uuid4()}", "name": "S", "idempotencyKey": "s"},
            "updateStore": lambda: {"id": named("store", store_errors.new_store(self))},
            "createProduct": lambda: {
                "storeId": named("store", store_errors.new_store(self)),
                "name": "P",
                "idempotencyKey": "p",
            },
            "updateProduct": lambda: {"id": store_errors.new_product(self)},
            "createProductVersion": lambda: {"fileId": store_errors.new_file(self), "label": "1"},
            "downloadProduct": lambda: {"productId": store_errors.new_version(self)},
            "createDiscountCode": lambda: {
                "storeId": named("store", store_errors.new_store(self)),
                "code": "NULLS",
                "kind": "PERCENTAGE",
                "percent": 10,
            },
            "updateDiscountCode": lambda: {"id": store_errors.new_code(self)},
            "saveReview": lambda: {"productId": store_errors.bought(self), "rating": 5},
            "onboardSeller": lambda: {
                "storeId": named("store", store_errors.new_store(self)),
                "provider": "paypal",
            },
        }

    def of_developers(self) -> dict[str, Maker]:
        """Of developers, and of bots."""
        return {
            "createDeveloperKey": lambda: self.after(
                developer_errors.product(self), {"name": "Game"}
            ),
            "setWhitelistEntry": lambda: {
                "productId": developer_errors.product(self),
                "robloxId": "1",
                "expiresAt": LATER,
            },
            "syncWhitelist": lambda: {"systemId": developer_errors.whitelist(self)},
            "createLicences": lambda: {
                "productId": developer_errors.product(self),
                "idempotencyKey": "l",
            },
            "redeemLicence": lambda: {"key": self.new_licence()},
            "verifyLicence": lambda: {"key": self.licence(1)},
            "banLicence": lambda: {"id": self.licence(0)},
            "extendLicence": lambda: {"id": self.licence(0)},
            "transferLicence": lambda: {"id": self.licence(0)},
            "redeemBotKey": lambda: {
                "productId": self.server(1),
                "key": "KEY-00001",
                "discordId": "123456789012345678",
            },
            "syncBotWhitelist": lambda: {"serverId": self.server(0)},
        }


async def named(prefix: str, made: Awaitable[UUID]) -> str:
    """The global id of what is made."""
    return f"{prefix}_{await made}"
