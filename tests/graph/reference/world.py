"""The data both ways of answering look at: users whose rows hold every awkward value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from db.core.actor import SERVICE, Actor
from db.core.pool import Database

from ...db.states import rows_with_a_past
from ..developing import add_tiers
from .account_rows import account_ids, add_account_rows
from .answers import answer, reference_schema
from .bill_rows import add_bill_rows, bill_ids
from .chat_rows import add_chat_rows, add_coaching_rows, chat_ids
from .developer_rows import add_developer_rows, add_licence_rows, developer_ids
from .discord_rows import add_discord_rows, discord_ids
from .people import ADA, DOCUMENT, GUEST, LASTING, START, STRANGER, TEXTS, TIMESTAMPS, known
from .people import add as _add
from .play_rows import activity_ids, add_activity_rows, add_play_rows, play_ids
from .store_rows import add_affiliate_rows, add_sale_rows, add_store_rows, product_ids, store_ids
from .survey_rows import add_survey_rows, add_surveys, survey_ids
from .sync_rows import add_sync_rows, sync_ids
from .workflow_rows import add_workflow_rows, workflow_ids

OWN_PAGES = (
    "apiKeys",
    "auditLog",
    "affiliateLinks",
    "affiliateReferrals",
    "botServers",
    "creditGrants",
    "creditTransactions",
    "discordServers",
    "exports",
    "generations",
    "identities",
    "invoices",
    "issuedLicences",
    "licences",
    "memberships",
    "notifications",
    "passkeys",
    "playPlaces",
    "orders",
    "owedCommissions",
    "payments",
    "profiles",
    "purchases",
    "pushTokens",
    "reviews",
    "sales",
    "sessions",
    "stores",
    "subscriptionTransactions",
    "syncConflicts",
    "uploads",
)
ROOT_PAGES = (
    "users",
    "generationLogs",
    "aiRequestLogs",
    "deadJobs",
    "webhookEvents",
    "broadcasts",
    "activities",
    "activityGenerationLogs",
)
GONE = 5
STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SUCCEEDED", "FAILED")
BROADCAST_STATUSES = ("QUEUED", "RUNNING", "FINISHED", "CANCELLED", "FAILED")
TOOLS = ("hair-color", "switched-off", "halloween", "analysis")


@dataclass
class World:
    """Ids that exist, by the type they are of, and cursors by the connection they are good for."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    cursors: dict[str, list[str]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    timestamps: list[str] = field(default_factory=list)

    def every_cursor(self) -> set[str]:
        """All cursors of all lists."""
        return {cursor for cursors in self.cursors.values() for cursor in cursors}


async def _profiles(owner: asyncpg.Connection, user: Actor) -> None:
    numbers = [0, -1, 2**31 - 1, -(2**31), None, 7, None]
    for n, (local_id, name) in enumerate(zip(numbers, TEXTS, strict=True)):
        await _add(
            owner,
            "profiles",
            id=known(user, "profile", n),
            user_id=user.user_id,
            local_id=local_id,
            name=name if n != 4 else None,
            thumbnail=None if n % 2 else "aGk=",
            analysis=DOCUMENT if n % 2 else {},
            chat_history=[DOCUMENT, None] if n % 3 else [],
            created_at=TIMESTAMPS[n % len(TIMESTAMPS)],
            updated_at=TIMESTAMPS[-n % len(TIMESTAMPS)],
            synced_at=START,
        )


async def _uploads(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(("AWAITING", "READY", "DELETED", "REJECTED", "READY")):
        ready = status == "READY"
        await _add(
            owner,
            "uploads",
            id=known(user, "upload", n),
            user_id=user.user_id,
            status=status,
            content_type="image/webp",
            declared_size_bytes=2**20,
            path=f"uploads/{user.user_id}/{n}.png" if ready else "",
            stored_content_type="image/png" if ready else None,
            original_sha256="0" * 64 if ready else None,
            width_pixels=640 if ready else None,
            height_pixels=480 if ready else None,
            size_bytes=2**20 + n if ready else None,
            rejected_code="INVALID_IMAGE" if status == "REJECTED" else None,
            expires_at=TIMESTAMPS[2],
            created_at=TIMESTAMPS[n],
        )


async def _generations(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(STATUSES):
        identity = known(user, "generation", n)
        picture = status == "SUCCEEDED" and TOOLS[n % 4] != "analysis"
        await _add(
            owner,
            "generations",
            id=identity,
            user_id=user.user_id,
            tool_id=TOOLS[n % 4],
            upload_id=known(user, "upload", n % 5),
            status=status,
            parameters=DOCUMENT if n % 2 else {},
            cache_key=identity.hex,
            result=DOCUMENT if status == "SUCCEEDED" else None,
            result_path=f"generations/{user.user_id}/{identity}.png" if picture else None,
            result_content_type="image/png" if picture else None,
            error_code=("PROVIDER_FAILED" if n % 2 else "INTERNAL") if status == "FAILED" else None,
            error_message=TEXTS[2] if status == "FAILED" else None,
            credits_charged=2**31 - 1 if n == 2 else n,
            from_cache=n % 2 == 0,
            made_offline=n % 3 == 0,
            created_at=TIMESTAMPS[n % len(TIMESTAMPS)],
            started_at=TIMESTAMPS[n % len(TIMESTAMPS)] if n else None,
            finished_at=TIMESTAMPS[-1] if status in ("FAILED", "SUCCEEDED") else None,
        )


async def _notifications(owner: asyncpg.Connection, user: Actor) -> None:
    for n in range(6):
        await _add(
            owner,
            "notifications",
            id=known(user, "notification", n),
            user_id=user.user_id,
            type=("OFFER", "FEATURE", "GENERAL")[n % 3],
            title_key=TEXTS[n],
            message_key=f"m{n}",
            data=DOCUMENT if n == 3 else {"n": n},
            read=n % 2 == 0,
            created_at=TIMESTAMPS[n],
        )


ORDER_STATUSES = ("PENDING", "PAID", "EXPIRED", "PARTIALLY_REFUNDED", "DISPUTED")


async def _billing(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(ORDER_STATUSES):
        product = "pro-month" if n == 1 else "credits-50"
        is_paid = status not in ("PENDING", "EXPIRED")
        await _add(
            owner,
            "orders",
            id=known(user, "order", n),
            user_id=user.user_id,
            product_id=product,
            kind="PLAN" if n == 1 else "CREDITS",
            credits=None if n == 1 else 50,
            plan_id="pro" if n == 1 else None,
            provider=TEXTS[n],
            amount_cents=2**31 - 1 if n == 2 else 500,
            currency="USD",
            status=status,
            refunded_cents=100 if n == 3 else 0,
            credits_taken_back=10 if n == 3 else 0,
            created_at=TIMESTAMPS[n],
            expires_at=LASTING[n],
            paid_at=TIMESTAMPS[n] if is_paid else None,
            paid_until=LASTING[n] if n == 1 else None,
        )
        await _add(
            owner,
            "payments",
            id=known(user, "payment", n),
            user_id=user.user_id,
            order_id=known(user, "order", n),
            provider=TEXTS[n],
            provider_payment_id=str(known(user, "payment", n)),
            amount_cents=500,
            currency="USD",
            status=("PENDING", "SUCCEEDED", "FAILED", "PARTIALLY_REFUNDED", "DISPUTED")[n],
            pays_order=is_paid,
            refunded_cents=100 if n == 3 else 0,
            created_at=TIMESTAMPS[n],
        )
        await _add(
            owner,
            "webhook_events",
            id=known(user, "webhook event", n),
            provider=TEXTS[n],
            event_id=str(known(user, "webhook event", n)),
            kind=TEXTS[3],
            status=("RECEIVED", "PROCESSED", "PARKED", "QUARANTINED", "PROCESSED")[n],
            verified=n != 3,
            reason="FORGED" if n == 3 else None,
            detail=TEXTS[2] if n == 3 else None,
            order_id=known(user, "order", n) if n else None,
            headers={"content-type": TEXTS[2]} if n else {},
            query="hmac=0" if n == 2 else "",
            body=TEXTS[n],
            received_at=LASTING[n],
            processed_at=TIMESTAMPS[n] if n else None,
        )


async def _subscriptions(owner: asyncpg.Connection, user: Actor) -> None:
    for n, status in enumerate(("ACTIVE", "CANCELLED", "EXPIRED", "ACTIVE")):
        await _add(
            owner,
            "subscription_transactions",
            id=known(user, "subscription transaction", n),
            user_id=user.user_id,
            order_id=known(user, "order", n),
            provider=TEXTS[n],
            transaction_id=str(known(user, "subscription transaction", n)),
            purchase_id=TEXTS[3],
            plan_id="pro",
            amount_cents=2**31 - 1 if n == 2 else 499,
            currency="USD",
            started_at=TIMESTAMPS[n],
            expires_at=LASTING[n],
            auto_renews=n != 1,
            grace_ends_at=LASTING[n] if n == 3 else None,
            status=status,
            told_at=TIMESTAMPS[n],
            created_at=TIMESTAMPS[n],
        )


async def _for_admins(owner: asyncpg.Connection) -> None:
    outcomes = ("SUCCEEDED", "FAILED", "DISCARDED", "ABANDONED", "TIMED_OUT", "SUCCEEDED")
    for n, outcome in enumerate(outcomes):
        user = (ADA, STRANGER)[n % 2]
        await _add(
            owner,
            "ai_generation_logs",
            id=known(user, "log", n),
            generation_id=known(user, "generation", n),
            user_id=user.user_id,
            tool_id=TOOLS[n % 4],
            attempt=n + 1,
            provider=TEXTS[n],
            outcome=outcome,
            latency_milliseconds=n * 1000,
            usage=DOCUMENT if n == 2 else {},
            cost_micro_usd=2**31 - 1 if n == 1 else n,
            error=TEXTS[2] if outcome == "FAILED" else None,
            created_at=LASTING[n],
        )
        await _add(
            owner,
            "dead_jobs",
            id=known(user, "dead job", n),
            entrypoint="run_generation",
            payload=b"{}",
            generation_id=known(user, "generation", n) if n else None,
            attempts=n,
            error=TEXTS[n],
            died_at=LASTING[n],
            retried_at=TIMESTAMPS[n] if n % 2 else None,
        )
    for n, state in enumerate(("CLOSED", "OPEN", "HALF_OPEN")):
        await _add(
            owner,
            "provider_circuits",
            provider=f"{TEXTS[3]} {n}",
            state=state,
            consecutive_failures=n,
            retry_at=TIMESTAMPS[n] if n else None,
            updated_at=TIMESTAMPS[n + 1],
        )


async def _credits(database: Database, user: Actor) -> None:
    async with database.transaction(SERVICE) as transaction:
        for source in ("ADMIN", "PURCHASE"):
            await transaction.connection.fetchval(
                "select app.grant_credits($1, $2, 20, 'order 1')", user.user_id, source
            )
        for n, source in enumerate(("PLAN", "SIGNUP_BONUS", "REFERRAL")):
            await transaction.connection.fetchval(
                "select app.grant_credits($1, $2, 20, null, now() + make_interval(years => $3))",
                user.user_id,
                source,
                3 - n,
            )
        await transaction.connection.fetchval(
            "select app.hold_credits($1, 3, $2, interval '1 year')",
            user.user_id,
            str(known(user, "generation", 0)),
        )
        await transaction.connection.fetchval(
            "select app.grant_credits($1, 'PLAN', 20, 'pro')", user.user_id
        )
    for n, reason in enumerate(TEXTS[1:5]):
        async with database.transaction(user) as transaction:
            await transaction.connection.fetchval(
                "select app.spend_credits($1, $2, null, $3)", n + 1, reason or None, str(n)
            )


async def _broadcasts(owner: asyncpg.Connection) -> None:
    for n, status in enumerate(BROADCAST_STATUSES):
        await _add(
            owner,
            "broadcasts",
            id=known(ADA, "broadcast", n),
            sent_by=(ADA.user_id, STRANGER.user_id, None)[n % 3],
            type=("OFFER", "FEATURE", "GENERAL")[n % 3],
            title_key=TEXTS[n],
            message_key=TEXTS[-n],
            data=DOCUMENT if n % 2 else {},
            audience=("EVERYBODY", "GUESTS", "MEMBERS")[n % 3],
            status=status,
            user_count=None if n == 0 else n,
            sent_count=n,
            created_at=TIMESTAMPS[n],
            active_since=TIMESTAMPS[0] if n % 2 else None,
            finished_at=TIMESTAMPS[n] if n > 1 else None,
        )
    await owner.execute(
        "update broadcasts set plan_ids = '{free,pro}', locales = '{}' where sent_count = 1"
    )


async def _organizations(
    owner: asyncpg.Connection, user: Actor, *others: tuple[Actor, str]
) -> None:
    organization = known(user, "organization", 0)
    await _add(
        owner,
        "organizations",
        id=organization,
        name=TEXTS[3],
        created_at=TIMESTAMPS[1],
        updated_at=TIMESTAMPS[2],
    )
    for n, (member, role) in enumerate(((user, "OWNER"), *others)):
        await _add(
            owner,
            "organization_members",
            id=known(user, "member", n),
            organization_id=organization,
            user_id=member.user_id,
            role=role,
            joined_at=TIMESTAMPS[n],
        )
    for n, status in enumerate(("PENDING", "PENDING", "ACCEPTED", "REVOKED")):
        await _add(
            owner,
            "organization_invitations",
            id=known(user, "invitation", n),
            organization_id=organization,
            email=f"{n}@example.test",
            email_key=f"{n}@example.test",
            role="MEMBER",
            status=status,
            created_at=TIMESTAMPS[n],
            expires_at=datetime(2999 if n else 2001, 1, 1, tzinfo=UTC),
        )
    await owner.execute(
        "update users set selected_organization_id = $1 where id = $2", organization, user.user_id
    )
    await _robots(owner, user, organization)


async def _robots(owner: asyncpg.Connection, user: Actor, organization: UUID) -> None:
    """Keys of the organization, and what its audit log says."""
    for n, role in enumerate(("ADMIN", "VIEWER")):
        robot = known(user, "robot", n)
        await _add(owner, "users", id=robot, display_name=TEXTS[n])
        await _add(
            owner,
            "organization_members",
            id=known(user, "robot's membership", n),
            organization_id=organization,
            user_id=robot,
            role=role,
            is_robot=True,
            joined_at=TIMESTAMPS[n],
        )
        await _add(
            owner,
            "api_keys",
            id=known(user, "robot's key", n),
            user_id=robot,
            organization_id=organization,
            role=role,
            name="A robot",
            prefix=str(robot),
            secret_hash=robot.bytes * 2,
            scopes=("READ",),
            created_at=TIMESTAMPS[n],
        )
        await _add(
            owner,
            "organization_audit_log",
            organization_id=organization,
            user_id=user.user_id if n else None,
            actor=TEXTS[n] if n else None,
            action="set_member_role",
            subject=f"user_{user.user_id}" if n else None,
            role=role if n else None,
            created_at=TIMESTAMPS[n],
        )


async def _compatibility(owner: asyncpg.Connection, user: Actor, n: int, partner: Actor) -> None:
    whose = {
        "connection_id": known(user, "partner", n),
        "user_id": user.user_id,
        "partner_id": partner.user_id,
    }
    # Both were made of the profile that every user has here.
    profiles = dict.fromkeys(
        ("own_profile_id", "partner_profile_id"), known(user, "survey profile", 0)
    )
    await _add(owner, "compatibilities", **whose, **profiles, score=70 - n, word="HIGH")
    for place, (kind, name) in enumerate(
        (("TOTAL", "POWER"), ("DOMAIN", "POWER"), ("SECTION", "oral"))
    ):
        await _add(
            owner, "compatibility_parts", id=known(user, f"part {n}", place), **whose, kind=kind,
            name=name, score=50.5, points=None if place else 7.5, sort_order=place,
        )  # fmt: skip
    for place, kind in enumerate(("MUTUAL", "OWN_ONLY", "TOPIC")):
        await _add(
            owner, "compatibility_items", id=known(user, f"item {n}", place), **whose, kind=kind,
            item_id=f"B{place}",
        )  # fmt: skip
        await _add(
            owner, "compatibility_conflicts", id=known(user, f"conflict {n}", place), **whose,
            limit_key=f"limit {place}", is_own=place == 1, item_ids=() if place == 1 else ("B1",),
        )  # fmt: skip


async def _partners(owner: asyncpg.Connection, user: Actor, *others: Actor) -> None:
    for n, (partner, status) in enumerate(zip(others, ("CONNECTED", "DISCONNECTED"), strict=False)):
        await _add(
            owner,
            "partners",
            id=known(user, "partner", n),
            user_id=user.user_id,
            partner_id=partner.user_id,
            display_name=TEXTS[n],
            status=status,
            sharing=("ALL", "DEMOGRAPHICS")[n],
            shared=("OVERLAPPING", "ALL")[n],
            connected_at=TIMESTAMPS[n],
            last_used_at=TIMESTAMPS[n + 1],
            shared_changed_at=TIMESTAMPS[n] if n else None,
        )
        await _compatibility(owner, user, n, partner)
        await _add(
            owner,
            "partner_blocks",
            id=known(user, "partner block", n),
            user_id=user.user_id,
            blocked_id=partner.user_id,
            display_name=TEXTS[n] if n else None,
            created_at=TIMESTAMPS[n],
        )
    for n, status in enumerate(("PENDING", "PENDING", "ACCEPTED", "DECLINED", "EXPIRED")):
        await _add(
            owner,
            "partner_requests",
            id=known(user, "partner_request", n),
            requester_id=user.user_id,
            requester_name=TEXTS[n],
            email=f"{n}@example.test",
            email_key=f"{n}@example.test",
            recipient_id=others[0].user_id if n % 2 else None,
            status=status,
            created_at=TIMESTAMPS[n],
            expires_at=datetime(2999 if n else 2001, 1, 1, tzinfo=UTC),
            ended_at=TIMESTAMPS[n] if n > 1 else None,
        )


async def _plans(owner: asyncpg.Connection, user: Actor) -> None:
    await _add(
        owner,
        "plan_subscriptions",
        user_id=user.user_id,
        plan_id="pro",
        started_at=TIMESTAMPS[5],
        current_period_start=TIMESTAMPS[1],
        current_period_end=LASTING[3],
        scheduled_plan_id="free",
    )


async def _entitlements(owner: asyncpg.Connection, user: Actor) -> None:
    for n, name in enumerate(("pro", TEXTS[3], TEXTS[3], "free")):
        await _add(
            owner,
            "provider_entitlements",
            id=known(user, "entitlement", n),
            user_id=user.user_id,
            provider="revenuecat",
            source=str(known(user, "entitlement", n)),
            name=name,
            product=TEXTS[n],
            store=("APP_STORE", "PLAY_STORE")[n % 2],
            expires_at=(TIMESTAMPS[n], LASTING[n], TIMESTAMPS[n], None)[n],
            grace_ends_at=LASTING[n] if n == 2 else None,
            will_renew=n % 2 == 0,
            told_at=TIMESTAMPS[n],
            created_at=TIMESTAMPS[n],
        )


async def _referrals(owner: asyncpg.Connection) -> None:
    """Each of three came by another's code; no two by one another's."""
    pairs = ((ADA, STRANGER, "REWARDED"), (STRANGER, GUEST, "PENDING"), (GUEST, ADA, "REFUSED"))
    for n, (referrer, referee, status) in enumerate(pairs):
        await _add(
            owner,
            "referrals",
            id=known(referrer, "referral", n),
            referrer_id=referrer.user_id,
            referee_id=referee.user_id,
            status=status,
            is_near=n == 1,
            credits=5 if n == 0 else 0,
            created_at=TIMESTAMPS[n],
            ended_at=None if n == 1 else TIMESTAMPS[n],
        )


async def fill(owner: asyncpg.Connection, database: Database) -> World:
    """Makes the users and their rows, and says what there is to ask for."""
    for user, email in ((ADA, "Ada@Example.test"), (GUEST, None), (STRANGER, "s@example.test")):
        await _add(
            owner,
            "users",
            id=user.user_id,
            email=email,
            is_anonymous=email is None,
            display_name=TEXTS[3] if email else None,
            plan_id="pro" if email else None,
            role="admin" if user is ADA else "user",
            created_at=TIMESTAMPS[2],
        )
    await add_surveys(owner)
    for user in (ADA, STRANGER):
        await _profiles(owner, user)
        async with rows_with_a_past(owner, "uploads", "generations"):
            await _uploads(owner, user)
            await _generations(owner, user)
        await _notifications(owner, user)
        await _credits(database, user)
        await add_account_rows(owner, user)
        await add_survey_rows(owner, user)
        await _plans(owner, user)
        await _entitlements(owner, user)
        await add_play_rows(owner, user, GUEST)
        await add_chat_rows(owner, user)
        await add_coaching_rows(owner, user)
        await add_sync_rows(owner, user)
        async with rows_with_a_past(owner, "orders", "payments", "webhook_events"):
            await _billing(owner, user)
            await _subscriptions(owner, user)
    async with rows_with_a_past(owner, "referrals"):
        await _referrals(owner)
    async with rows_with_a_past(owner, "organization_invitations"):
        await _organizations(owner, ADA, (GUEST, "VIEWER"))
        await _organizations(owner, STRANGER)
    async with rows_with_a_past(owner, "provider_subscriptions", "provider_invoices"):
        await add_bill_rows(owner, ADA)
        await add_bill_rows(owner, STRANGER)
    for user in (ADA, STRANGER):
        await add_workflow_rows(owner, user)
    for user in (ADA, STRANGER):
        await add_store_rows(owner, user)
    await add_sale_rows(owner, ADA, STRANGER)
    await add_sale_rows(owner, STRANGER, ADA)
    await add_affiliate_rows(owner, ADA, STRANGER)
    await add_affiliate_rows(owner, STRANGER, ADA)
    await add_tiers(owner)
    for user, other in ((ADA, STRANGER), (STRANGER, ADA)):
        await add_developer_rows(owner, user)
        await add_discord_rows(owner, user, other)
    await add_licence_rows(owner, ADA, STRANGER)
    await add_licence_rows(owner, STRANGER, ADA)
    async with rows_with_a_past(owner, "partners", "partner_requests"):
        await _partners(owner, ADA, STRANGER, GUEST)
        await _partners(owner, STRANGER, ADA)
    async with rows_with_a_past(owner, "broadcasts"):
        await _broadcasts(owner)
    async with rows_with_a_past(owner, "dead_jobs", "provider_circuits"):
        await _for_admins(owner)
    await add_activity_rows(owner, ADA)
    world = await _described(owner)
    for page in (*OWN_PAGES, *ROOT_PAGES):
        await _cursors(database, world, page)
    # Cursors of rows that are gone stay good.
    before = world.every_cursor()
    for table in ("profiles", "notifications"):
        gone = known(ADA, table.removesuffix("s"), GONE)
        await owner.execute(f"delete from {table} where id = $1", gone)
    now = World(cursors={})
    for page in ("profiles", "notifications"):
        await _cursors(database, now, page)
    kept = {page.partition(" ")[0] for page in now.cursors}
    world.stale = {
        cursor
        for page, cursors in world.cursors.items()
        if page.partition(" ")[0] in kept
        for cursor in cursors
    } - now.every_cursor()
    assert world.stale < before
    return world


async def _cursors(database: Database, world: World, page: str) -> None:
    parent = "Query" if page in ROOT_PAGES else "User"
    arguments = reference_schema().type_map[parent].fields[page].args  # type: ignore[attr-defined]
    fields = (
        list(arguments["orderBy"].type.fields["field"].type.of_type.values)
        if "orderBy" in arguments
        else []
    )
    orders = [""] + [f"{name} {direction}" for name in fields for direction in ("ASC", "DESC")]
    for order in orders:
        field, _, direction = order.partition(" ")
        chosen = f"(orderBy: {{field: {field}, direction: {direction}}})" if order else ""
        asked = f"{page}{chosen} {{ edges {{ cursor }} }}"
        text = f"{{ {asked} }}" if page in ROOT_PAGES else f"{{ viewer {{ {asked} }} }}"
        found = await answer(database, ADA, text, {})
        assert found.data, found.errors
        edges = (found.data if page in ROOT_PAGES else found.data["viewer"])[page]["edges"]
        world.cursors[f"{page} {order}".strip()] = [edge["cursor"] for edge in edges]


async def _described(owner: asyncpg.Connection) -> World:
    rows = await owner.fetch(
        "select id from credit_transactions where user_id = $1 order by created_at, id",
        ADA.user_id,
    )
    grants = await owner.fetch(
        "select id from credit_grants where user_id = $1 order by id", ADA.user_id
    )
    entries = await owner.fetch(
        "select id, user_id from audit_log where user_id = any($1) order by id",
        [ADA.user_id, STRANGER.user_id],
    )
    ids = {
        **account_ids(ADA),
        **survey_ids(ADA),
        **play_ids(ADA),
        **sync_ids(ADA),
        **workflow_ids(ADA),
        **chat_ids(ADA),
        **bill_ids(ADA),
        **store_ids(ADA),
        **developer_ids(ADA),
        **discord_ids(ADA),
        "DeveloperTier": ["developerTier_free", "developerTier_pro"],
        "OrganizationPlan": ["organizationPlan_free", "organizationPlan_starter"],
        "Partner": [f"partner_{known(ADA, 'partner', n)}" for n in range(2)],
        "PartnerBlock": [f"partnerBlock_{known(ADA, 'partner block', n)}" for n in range(2)],
        "Compatibility": [f"compatibility_{known(ADA, 'partner', n)}" for n in range(2)],
        "AiRequestLog": [f"aiRequestLog_{known(ADA, 'ai request log', n)}" for n in range(2)],
        **activity_ids(ADA),
        "AuditEntry": [
            f"auditEntry_{row['id']}" for row in entries if row["user_id"] == ADA.user_id
        ],
        "User": [f"user_{ADA.user_id}"],
        "Credits": [f"credits_{ADA.user_id}"],
        "HairColor": [f"hairColor_{await owner.fetchval('select min(hex_code) from hair_colors')}"],
        "SkinColor": [f"skinColor_{await owner.fetchval('select min(hex_code) from skin_colors')}"],
        "ProviderCircuit": [f"providerCircuit_{TEXTS[3]} 1"],
        "Profile": [f"profile_{known(ADA, 'profile', n)}" for n in range(len(TEXTS))],
        "Generation": [f"generation_{known(ADA, 'generation', n)}" for n in range(len(STATUSES))],
        "Notification": [f"notification_{known(ADA, 'notification', n)}" for n in range(6)],
        "CreditTransaction": [f"transaction_{row['id']}" for row in rows],
        "CreditGrant": [f"grant_{row['id']}" for row in grants],
        "Organization": [f"organization_{known(ADA, 'organization', 0)}"],
        "OrganizationMember": [f"organizationMember_{known(ADA, 'member', n)}" for n in range(2)],
        "OrganizationInvitation": [
            f"organizationInvitation_{known(ADA, 'invitation', n)}" for n in range(4)
        ],
        "Broadcast": [
            f"broadcast_{known(ADA, 'broadcast', n)}" for n in range(len(BROADCAST_STATUSES))
        ],
        "Upload": [f"upload_{known(ADA, 'upload', 0)}"],
        "GenerationLog": [f"generationLog_{known(ADA, 'log', 0)}"],
        "Order": [f"order_{known(ADA, 'order', n)}" for n in range(len(ORDER_STATUSES))],
        "Payment": [f"payment_{known(ADA, 'payment', n)}" for n in range(len(ORDER_STATUSES))],
        "SubscriptionTransaction": [
            f"subscriptionTransaction_{known(ADA, 'subscription transaction', n)}" for n in range(4)
        ],
        "Product": ["product_credits-50", "product_pro-month", *product_ids(ADA)],
        "WebhookEvent": [f"webhookEvent_{known(ADA, 'webhook event', n)}" for n in range(2)],
        "DeadJob": [f"deadJob_{known(ADA, 'dead job', 2)}"],
        "Tool": ["tool_hair-color", "tool_halloween", "tool_hairstyle"],
        "Plan": ["plan_free", "plan_pro"],
        "PlanSubscription": [f"planSubscription_{ADA.user_id}"],
        "Hairstyle": [
            f"hairstyle_{row['id']}"
            for row in await owner.fetch("select id from hairstyles order by id limit 2")
        ],
    }
    foreign = [
        f"user_{STRANGER.user_id}",
        f"credits_{STRANGER.user_id}",
        f"planSubscription_{STRANGER.user_id}",
        f"profile_{known(STRANGER, 'profile', 0)}",
        f"generation_{known(STRANGER, 'generation', 0)}",
        f"upload_{known(STRANGER, 'upload', 0)}",
        *(ids[0] for ids in account_ids(STRANGER).values()),
        *(ids[0] for ids in play_ids(STRANGER).values()),
        *(ids[0] for ids in chat_ids(STRANGER).values()),
        *(ids[0] for ids in bill_ids(STRANGER).values()),
        *(ids[0] for ids in sync_ids(STRANGER).values()),
        *(ids[0] for ids in workflow_ids(STRANGER).values()),
        *(ids[0] for ids in store_ids(STRANGER).values()),
        *(ids[0] for ids in developer_ids(STRANGER).values()),
        *(id_ for ids in discord_ids(STRANGER).values() for id_ in ids[:2]),
        *product_ids(STRANGER),
        *(f"auditEntry_{row['id']}" for row in entries if row["user_id"] == STRANGER.user_id),
        f"order_{known(STRANGER, 'order', 0)}",
        f"payment_{known(STRANGER, 'payment', 0)}",
    ]
    timestamps = [timestamp.isoformat() for timestamp in TIMESTAMPS] + [
        "2026-03-01T14:00:00.5+02:00"
    ]
    return World(ids, foreign, timestamps=timestamps)
