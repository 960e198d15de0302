"""Answers an operation through graphql-core: every field resolved alone, from the row it is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    execute,
    get_named_type,
    parse,
)
from strawberry.utils.str_converters import to_camel_case

from db.accounts.tables import User
from db.audit.actions import AuditAction
from db.catalog.tables import Plan
from db.core.actor import Actor
from db.core.errors import DomainError, ErrorCode, forbidden, sign_in_first
from db.core.pool import Database
from db.notifications.tables import Notification
from db.partners.tables import SharingChoice
from db.quotas.tables import QuotaLimit, QuotaUse
from db.surveys import tables as surveys
from db.whitelists.tables import WhitelistEntry
from graph.engine import specs
from graph.engine.specs import backing_of, python_name, spec_of
from graph.schema import build_schema
from settings import get_settings

from .developer_numbers import DEVELOPER_NUMBERS, developer_number, tier_of
from .entitlement_rows import entitlements
from .lists import List, object_type
from .organization_numbers import ORGANIZATION_NUMBERS, organization_number
from .rows import Reader, Row, key_from_text
from .store_rows import affiliate_earnings, earnings
from .survey_rows import SURVEY_EXPRESSIONS

REFERENCES = {
    "HOLD": "generation_",
    "CAPTURE": "generation_",
    "RELEASE": "generation_",
    "REFUND": "transaction_",
    "TRANSFER": "user_",
}


def referred_to(line: Mapping[str, Any]) -> str | None:
    """A movement's reference as a client sees it."""
    reference: str | None = line["reference_id"]
    try:
        is_key = reference == str(UUID(reference or ""))
    except ValueError:
        is_key = False
    prefix = REFERENCES.get(line["type"], "") if is_key else ""
    if line["type"] == "PLAN" and reference is not None and not is_key:
        prefix = "plan_"
    return None if reference is None else f"{prefix}{reference}"


# What the declarations say in SQL, said again in Python.
def whole_link(link: str | None) -> str | None:
    """A path of the server's as the link that clients fetch."""
    return get_settings().base_url + link if link and link.startswith("/") else link


EXPRESSIONS: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
    ("DailyLimit", "used"): lambda _: 0,
    ("DailyLimit", "limit"): lambda user: None if user["plan_id"] else 25,
    ("DailyLimit", "remaining"): lambda user: None if user["plan_id"] else 25,
    ("DailyLimit", "resetsAt"): lambda _: (
        datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    ),
    ("DailyLimit", "upgradeRequired"): lambda _: False,
    ("PlayPlayer", "userId"): lambda player: player["user_id"] and f"user_{player['user_id']}",
    ("SyncConflict", "profileId"): lambda conflict: f"profile_{conflict['profile_id']}",
    ("User", "isAdmin"): lambda user: user["role"] == "admin",
    ("User", "isLocked"): lambda user: user["status"] == "locked",
    ("Credits", "available"): lambda wallet: wallet["balance"] - wallet["held"],
    ("Credits", "unlimited"): lambda wallet: wallet["unlimited"],
    ("CreditTransaction", "referenceId"): referred_to,
    ("Upload", "contentType"): lambda upload: (
        upload["stored_content_type"] or upload["content_type"]
    ),
    ("OrganizationInvitation", "isExpired"): lambda invitation: (
        invitation["status"] == "PENDING" and invitation["expires_at"] <= datetime.now(UTC)
    ),
    ("DataExport", "sizeBytes"): lambda export: (
        export["size_bytes"] and min(export["size_bytes"], 2**31 - 1)
    ),
    ("AuditEntry", "action"): lambda entry: AuditAction(entry["action"]),
    ("OrganizationAuditEntry", "action"): lambda entry: AuditAction(entry["action"]),
    ("Tool", "creditsCost"): lambda tool: 0 if tool["is_preview"] else tool["credits_cost"],
    ("Tool", "coverImageUrl"): lambda tool: whole_link(tool["cover_image_url"]),
    ("Plan", "nameKey"): lambda plan: f"plan.{plan['id']}.name",
    ("ProviderSubscription", "planId"): lambda subscription: (
        f"plan_{subscription['plan_id']}"
        if subscription["user_id"]
        else f"organizationPlan_{subscription['plan_id']}"
    ),
    # Whole numbers in this world, which JSON writes without a fraction.
    ("Product", "rating"): lambda product: (
        product["rating_sum"] // product["rating_count"] if product["rating_count"] else None
    ),
    ("Product", "nameKey"): lambda product: f"product.{product['id']}.name",
    ("Plan", "descriptionKey"): lambda plan: f"plan.{plan['id']}.description",
    ("Hairstyle", "nameKey"): lambda hairstyle: f"hairstyle.{hairstyle['id']}.name",
    ("Hairstyle", "categoryKey"): lambda hairstyle: (
        f"editor.hairstyle.category.{hairstyle['category']}"
    ),
    ("HairColor", "nameKey"): lambda color: f"hairColor.{color['hex_code']}.name",
    ("SkinColor", "nameKey"): lambda color: f"skinColor.{color['hex_code']}.name",
    ("Hairstyle", "imageUrl"): lambda hairstyle: whole_link(hairstyle["image_url"]),
    ("Upload", "sizeBytes"): lambda upload: upload["size_bytes"] or upload["declared_size_bytes"],
    **SURVEY_EXPRESSIONS,
    ("WhitelistEntry", "robloxId"): lambda entry: str(entry["roblox_id"]),
    ("WhitelistUser", "robloxId"): lambda user: user["roblox_id"] and str(user["roblox_id"]),
    ("BotWhitelistedUser", "robloxId"): lambda user: user["roblox_id"] and str(user["roblox_id"]),
    ("BotProduct", "robloxGroupId"): lambda product: (
        product["roblox_group_id"] and str(product["roblox_group_id"])
    ),
    ("BotProduct", "licensedProductId"): lambda product: (
        f"developerProduct_{product['developer_product_id']}"
        if product["developer_product_id"]
        else product["product_id"] and f"product_{product['product_id']}"
    ),
    ("DeveloperProduct", "robloxGroupId"): lambda product: str(product["roblox_group_id"]),
    ("Licence", "robloxId"): lambda licence: licence["roblox_id"] and str(licence["roblox_id"]),
    ("Licence", "productId"): lambda licence: (
        f"developerProduct_{licence['developer_product_id']}"
        if licence["developer_product_id"]
        else f"product_{licence['product_id']}"
    ),
}
# Which rows are items of a list that does not have them all.
ONLY: dict[tuple[str, str], Callable[[Mapping[str, Any]], bool]] = {
    ("User", "creditGrants"): lambda grant: (
        grant["remaining"] > 0
        and (grant["expires_at"] or datetime.max.replace(tzinfo=UTC)) > datetime.now(UTC)
    ),
    ("Query", "products"): lambda product: product["store_id"] is None,
    ("User", "uploads"): lambda upload: upload["status"] != "DELETED",
    ("User", "botKeys"): lambda key: key["revoked_at"] is None,
    ("User", "apiKeys"): lambda key: key["revoked_at"] is None,
    ("Organization", "apiKeys"): lambda key: key["revoked_at"] is None,
    ("Organization", "members"): lambda member: not member["is_robot"],
    ("Developer", "keys"): lambda key: key["revoked_at"] is None,
    ("User", "sessions"): lambda session: (
        session["revoked_at"] is None and session["expires_at"] > datetime.now(UTC)
    ),
}
PRESENT: dict[tuple[str, str], Callable[[Mapping[str, Any]], bool]] = {
    ("User", "dailyLimit"): lambda _: True,
    ("PlaySession", "turn"): lambda session: session["ended_at"] is None,
    ("PlaySession", "nudge"): lambda session: session["skips_in_row"] == 3,
    ("Broadcast", "segment"): lambda broadcast: True,
    ("ChatMessage", "error"): lambda message: message["error_code"] is not None,
    ("ProfileAnalysis", "error"): lambda analysis: analysis["error_code"] is not None,
    ("Generation", "error"): lambda generation: generation["error_code"] is not None,
    ("OrganizationMember", "user"): lambda member: True,
    ("Organization", "limits"): lambda _: True,
    ("Organization", "usage"): lambda _: True,
    ("Organization", "withinLimits"): lambda _: True,
    ("Plan", "price"): lambda plan: plan["price_cents"] is not None,
    ("SurveyProfile", "power"): lambda profile: True,
    ("User", "onboarding"): lambda user: True,
    ("Developer", "limits"): lambda user: True,
    ("Developer", "usage"): lambda user: True,
    ("Developer", "obfuscation"): lambda user: True,
}


@cache
def reference_schema() -> GraphQLSchema:
    """The product's own schema, built anew, every field answered by the resolver below."""
    schema = build_schema.__wrapped__()._schema  # another instance than the engine's
    for graph_type in schema.type_map.values():
        if graph_type.name.startswith("__"):
            continue
        if isinstance(graph_type, GraphQLInterfaceType):
            graph_type.resolve_type = lambda row, *_: row.type_name
        if isinstance(graph_type, GraphQLObjectType):
            graph_type.is_type_of = None
            for field in graph_type.fields.values():
                field.resolve = _resolve
                if "first" in field.args:  # its default holds only where `last` is not given
                    field.args["first"].default_value = None
                if (written := get_named_type(field.type)).name == "Float":
                    written.coerce_output_value = lambda value: (
                        value
                    )  # a whole number without a fraction
    return schema


async def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    reader: Reader = info.context
    reader.answered.add((info.parent_type.name, info.field_name))
    field = info.parent_type.fields[info.field_name]
    if isinstance(source, Row):
        return await _of_row(reader, source, info.parent_type, info.field_name, arguments)
    if isinstance(source, Mapping):
        return source[info.field_name]
    if source is not None:
        return getattr(source, python_name(field))
    return await _of_root(reader, info, arguments)


async def _of_root(reader: Reader, info: GraphQLResolveInfo[Any], arguments: dict[str, Any]) -> Any:
    field = info.parent_type.fields[info.field_name]
    match spec_of(field):
        case specs.ViewerRow():
            return await _by_key(reader, object_type(field.type), reader.actor.user_id)
        case specs.NodeLookup(many=False, of_type=of_type):
            found = await _by_global_id(reader, info.schema, arguments["id"])
            is_wanted = found is None or found.type_name == get_named_type(field.type).name
            return found if is_wanted or not of_type else None
        case specs.NodeLookup(many=True):
            if len(arguments["ids"]) > 100:
                raise DomainError(ErrorCode.LIMIT_EXCEEDED, "ids")
            return [await _by_global_id(reader, info.schema, id_) for id_ in arguments["ids"]]
        case specs.OnlyRow():
            only = object_type(field.type)
            backing = backing_of(only)
            assert backing is not None
            (row,) = await reader.rows(backing.model, only.name)
            return row
        case specs.ValueLookup(column):
            wanted = object_type(field.type)
            backing = backing_of(wanted)
            assert backing is not None
            return await reader.row(
                backing.model, wanted.name, column, arguments[to_camel_case(column)]
            )
        case specs.Rows(order, for_admins, _, only):
            if for_admins:
                _refuse_others(reader)
            item = object_type(field.type)
            backing = backing_of(item)
            assert backing is not None
            rows = await reader.rows(backing.model, item.name, as_admin=for_admins)
            if only is not None:
                rows = [one for one in rows if ONLY["Query", info.field_name](one.values)]
            return List(reader, item, order, {}).sorted(rows)
        case specs.Page(order):
            if reader.actor.user_id is None:
                raise sign_in_first()
            item = object_type(object_type(field.type).fields["nodes"].type)
            backing = backing_of(item)
            assert backing is not None
            asked = List(reader, item, order, arguments)
            asked.check()
            _refuse_others(reader)
            return await asked.page(await reader.rows(backing.model, item.name, as_admin=True))
        case spec:
            raise AssertionError(spec)


def _refuse_others(reader: Reader) -> None:
    """Refuses a root list to everybody but admins."""
    if not reader.actor.is_admin:
        raise sign_in_first() if reader.actor.user_id is None else forbidden()


async def _by_key(
    reader: Reader, graph_type: GraphQLObjectType, key: Any, *, as_admin: bool = False
) -> Row | None:
    backing = backing_of(graph_type)
    assert backing is not None
    if key is None:
        return None
    return await reader.row(backing.model, graph_type.name, backing.key, key, as_admin=as_admin)


async def _by_global_id(reader: Reader, schema: GraphQLSchema, global_id: str) -> Row | None:
    for graph_type in schema.type_map.values():
        backing = backing_of(graph_type)
        if backing is None or not backing.prefix:
            continue
        if global_id.startswith(f"{backing.prefix}_"):
            assert isinstance(graph_type, GraphQLObjectType)
            key = key_from_text(global_id.removeprefix(f"{backing.prefix}_"), backing.model)
            return await _by_key(reader, graph_type, key, as_admin=True)
    return None


async def _of_row(
    reader: Reader, row: Row, parent: GraphQLObjectType, name: str, arguments: dict[str, Any]
) -> Any:
    field = parent.fields[name]
    if isinstance(spec := spec_of(field), specs.Column):
        return row.values[spec.name or python_name(field)]
    backing = backing_of(parent)
    assert backing is not None
    match spec:
        case specs.Report(function) if function.name == "app.quotas":
            return await _quotas(reader, row.values)
        case specs.Report(function) if function.name == "app.affiliate_earnings":
            return await affiliate_earnings(reader, row.values["id"])
        case specs.Report(function) if function.name == "app.seller_earnings":
            return await earnings(reader, row.values["id"])
        case specs.Report(function) if function.name == "app.entitlements_of":
            return await entitlements(reader, row.values["id"])
        case specs.GlobalId():
            return f"{backing.prefix}_{row.values[backing.key]}"
        case specs.Reference(column, prefix):
            key = row.values[column]
            return None if key is None else f"{prefix}_{key}"
        case specs.Expression() if (parent.name, name) == ("User", "unreadNotificationCount"):
            found = await reader.rows(
                Notification, "Notification", "user_id", row.values["id"], as_admin=row.as_admin
            )
            return sum(not one.values["read"] for one in found)
        case specs.Expression() if parent.name in ORGANIZATION_NUMBERS:
            return await organization_number(reader, row, parent.name, name)
        case specs.Expression() if parent.name in DEVELOPER_NUMBERS:
            return await developer_number(reader, row, parent.name, name)
        case specs.Expression() if (parent.name, name) == ("Developer", "tier"):
            return (await tier_of(reader, row)).get("id")
        case specs.Expression() if (parent.name, name) == ("DeveloperProduct", "entryCount"):
            entries = await reader.rows(
                WhitelistEntry,
                "WhitelistEntry",
                "product_id",
                row.values["id"],
                as_admin=row.as_admin,
            )
            return sum(one.values["expires_at"] > datetime.now(UTC) for one in entries)
        case specs.Expression() if parent.name == "Onboarding":
            return (await _onboarding(reader, row.values["id"]))[name]
        case specs.Expression() if (parent.name, name) == ("User", "defaultSharing"):
            return await _default_sharing(reader, row.values["id"])
        case specs.Expression() if (parent.name, name) == ("LegalDocument", "isInForce"):
            return row.values["id"] in await _in_force(reader)
        case specs.Expression() if name == "diagnostics":
            # Of every turn in this world.
            return {} if reader.actor.is_admin else None
        case specs.Expression():
            return EXPRESSIONS[parent.name, name](row.values)
        case specs.SessionExpression():
            session_id = row.values.get("session_id", row.values["id"])
            return session_id == reader.actor.session_id
        case specs.Embedded():
            present = PRESENT[parent.name, name](row.values)
            return replace(row, type_name=object_type(field.type).name) if present else None
        case specs.RelatedRow(local, remote):
            target = object_type(field.type)
            behind = backing_of(target)
            assert behind is not None
            key = row.values[local]
            return await reader.row(behind.model, target.name, remote, key, as_admin=row.as_admin)
        case specs.RelatedRows(key, order, _, local):
            item = object_type(field.type)
            behind = backing_of(item)
            assert behind is not None
            above = row.values[local or backing.key]
            rows = await reader.rows(behind.model, item.name, key, above, as_admin=row.as_admin)
            return List(reader, item, order, {}).sorted(rows)
        case specs.Page(order, key, only):
            item = object_type(object_type(field.type).fields["nodes"].type)
            behind = backing_of(item)
            assert behind is not None
            asked = List(reader, item, order, arguments)
            asked.check()
            above = row.values[backing.key]
            rows = await reader.rows(behind.model, item.name, key, above, as_admin=row.as_admin)
            if only is not None:
                rows = [one for one in rows if ONLY[parent.name, name](one.values)]
            return await asked.page(rows)
        case specs.Computed(columns, function, present):
            if present is not None and not await _has_high_quality(reader, row.values["user_id"]):
                return None
            chosen = {name: value and value.name for name, value in arguments.items()}
            return function(
                SimpleNamespace(**{c: _plain(row.values[c]) for c in columns}), **chosen
            )
        case spec:
            raise AssertionError(spec)


async def _in_force(reader: Reader) -> dict[str, Mapping[str, Any]]:
    """The documents that count now, by their ids."""
    versions = [one.values for one in await reader.rows(surveys.LegalDocument, "LegalDocument")]
    begun = [one for one in versions if one["effective_at"] <= datetime.now(UTC)]
    begun.sort(key=lambda one: (one["effective_at"], one["version"]))
    newest = {one["document_id"]: one for one in begun}
    return {one["id"]: one for one in newest.values()}


async def _onboarding(reader: Reader, user_id: UUID) -> dict[str, Any]:
    """How far somebody is; whoever else asks sees nothing of it."""
    consents = await reader.rows(surveys.Consent, "Consent", "user_id", user_id)
    agreed = {
        f"{one.values['document_id']}:{one.values['version']}"
        for one in consents
        if one.values["withdrawn_at"] is None
    }
    required = {name for name, one in (await _in_force(reader)).items() if one["is_required"]}
    done = {
        "CONSENT": required <= agreed,
        "DEMOGRAPHICS": bool(
            await reader.rows(surveys.Demographics, "Demographics", "user_id", user_id)
        ),
        "SURVEY": bool(
            await reader.rows(surveys.SurveyProfile, "SurveyProfile", "user_id", user_id)
        ),
    }
    shown = {
        "hasConsented": done["CONSENT"],
        "canPlay": done["CONSENT"] and done["DEMOGRAPHICS"],
        "isPersonalized": done["SURVEY"],
    }
    step = next((name for name, is_done in done.items() if not is_done), "DONE")
    return {**shown, "nextStep": step}


async def _default_sharing(reader: Reader, user_id: UUID) -> str:
    """What new partners of a user are shown; whoever else asks sees what everybody begins with."""
    chosen = await reader.rows(SharingChoice, "SharingChoice", "user_id", user_id)
    own = [one.values["level"] for one in chosen if one.values["partner_id"] is None]
    return own[0] if own else "OVERLAPPING"


async def _has_high_quality(reader: Reader, user_id: UUID) -> bool:
    """Whether a user's plan has pictures as they were made."""
    user = await reader.row(User, "User", "id", user_id, as_admin=True)
    plan_id = user and user.values["plan_id"]
    plan = plan_id and await reader.row(Plan, "Plan", "id", plan_id)
    return bool(plan and plan.values["has_high_quality"])


async def _quotas(reader: Reader, user: Mapping[str, Any]) -> list[Row]:
    """What a user has of each counted table, and what holds for them: guests first, then plans."""
    used = await reader.rows(QuotaUse, "Quota", "user_id", user["id"])
    limits = await reader.rows(QuotaLimit, "Quota")
    audience = "GUEST" if user["is_anonymous"] else user["plan_id"]
    found = {}
    for wanted in ("MEMBER", audience):
        found |= {r.values["slice"]: r.values for r in limits if r.values["audience"] == wanted}
    nothing = {"rows_used": 0, "bytes_used": 0}
    uses = {row.values["slice"]: row.values for row in used}
    return [
        Row("Quota", {**limit, **uses.get(name, nothing), "slice": name.upper()})
        for name, limit in sorted(found.items())
    ]


def _plain(value: Any) -> Any:
    """A value as a computed field gets it: as JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return str(value) if isinstance(value, UUID) else value


async def answer(
    database: Database,
    actor: Actor,
    text: str,
    variables: Mapping[str, Any],
    answered: set[tuple[str, str]] | None = None,
) -> ExecutionResult:
    """The answer to a valid operation; `answered` gathers the fields it met."""
    async with database.transaction(actor) as transaction:
        reader = Reader(transaction, actor)
        result = execute(
            reference_schema(), parse(text), context_value=reader, variable_values=dict(variables)
        )
        if not isinstance(result, ExecutionResult):
            result = await result
    if answered is not None:
        answered |= reader.answered
    return result


def codes(result: ExecutionResult) -> set[tuple[str, tuple[str | int, ...] | None]]:
    """The errors of an answer, each its code and path; a fault of the reference is raised."""
    found = set()
    for error in result.errors or ():
        cause = error.original_error
        if cause is not None and not isinstance(cause, DomainError | GraphQLError):
            raise cause
        code = cause.code.value if isinstance(cause, DomainError) else "BAD_USER_INPUT"
        found.add((code, tuple(error.path) if error.path else None))
    return found
