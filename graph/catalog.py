"""The catalog in the schema: plans, tools, and the choices tools offer; everybody may read it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import ColumnElement, FromClause, Text, case, func, literal_column

from db.catalog import operations, tables
from db.core.errors import ErrorCode
from graph.accounts import User
from graph.engine.declare import (
    backed_by,
    column,
    embedded,
    expression,
    global_id,
    joint_live,
    live,
    mutation,
    related_row,
    rows,
)
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.extending import extend
from graph.shared.changes import ChangeKind
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload
from graph.shared.relay import Cursor, Node, slug_from_global_id
from graph.shared.scalars import JSON
from settings import get_settings


def public_link(name: str, *, description: str) -> Any:
    """A field that is a link: of a path of this server's the whole, where clients reach it."""

    def link(row: FromClause) -> ColumnElement[Any]:
        path, base = row.c[name], get_settings().base_url.replace("'", "''")
        ours = func.starts_with(path, literal_column("'/'"))
        return case((ours, literal_column(f"'{base}'", Text).concat(path)), else_=path)

    return expression(link, description=f"{description} Anybody may fetch it.")


def i18n_key(begins: str, ends: str, *, of: str, description: str) -> Any:
    """A field that is the key of a text: made of a column, between what all have in common."""

    def key(row: FromClause) -> ColumnElement[Any]:
        return (
            literal_column(f"'{begins}'", Text)
            .concat(row.c[of])
            .concat(literal_column(f"'{ends}'"))
        )

    return expression(key, description=f"{description} `translations` has its texts.")


@strawberry.enum(description="What kind of thing a tool does.")
class ToolType(Enum):
    """Kinds of tools (from Sparky)."""

    TRANSFORMATION = "TRANSFORMATION"
    FILTER = "FILTER"
    ANALYSIS = "ANALYSIS"


@strawberry.enum(description="For whom a hairstyle is shown first.")
class Gender(Enum):
    """Genders of the hairstyle list (from Sparky)."""

    MALE = "MALE"
    FEMALE = "FEMALE"


@backed_by(tables.Tool, prefix="tool")
class Tool(Node):
    """Something to run on a photo. Only active tools are listed."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug, such as `hair-color`.")
    name_key: str = column(description="i18n key of the name; `translations` has its texts.")
    description_key: str = column(description="i18n key of the description.")
    type: ToolType = column(description="What kind of thing it does.")
    icon_name: str = column(description="Which icon the client shows.")
    cover_image_url: str | None = public_link(
        "cover_image_url", description="A picture for the list."
    )
    is_active: bool = column(description="Whether it can be run now.")
    sort_order: int = column(description="Position in the list, ascending.")
    credits_cost: int = expression(
        lambda tool: case((tool.c.is_preview, literal_column("0")), else_=tool.c.credits_cost),
        description="Credits one run costs; 0 while it `isPreview`.",
    )
    is_preview: bool = column(
        description="Whether a run gives only a labelled preview, for nothing, because no provider "
        "that makes this is set up."
    )
    parameters_schema: JSON = column(
        description="JSON Schema of `createGeneration`'s parameters for this tool. Beside an "
        "`enum`, `x-labels` has the i18n key of each choice."
    )
    takes_mask: bool = column(
        description="Whether `createGeneration` takes a `maskUploadId` for this tool."
    )


@backed_by(tables.Plan)
class PlanPrice:
    """A plan's price for one month."""

    amount_cents: int = column("price_cents", description="In hundredths of the currency.")
    currency: str = column(description="ISO 4217 code.")


@backed_by(tables.Plan, prefix="plan")
class Plan(Node):
    """What a subscriber gets."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug, such as `pro`.")
    name: str = column(description="Its name.")
    name_key: str = i18n_key("plan.", ".name", of="id", description="i18n key of the name.")
    description_key: str = i18n_key(
        "plan.", ".description", of="id", description="i18n key of the description."
    )
    monthly_credits: int = column(description="Credits granted each month.")
    max_daily_credits: int = column(description="How many of them may be spent in a day.")
    price: PlanPrice | None = embedded(
        lambda plan: plan.c.price_cents.is_not(None),
        description="Price of a month; null when it is on request.",
    )
    sort_order: int = column(description="Position among plans of one price, ascending.")
    adds_watermark: bool = column(description="Whether pictures made on it carry a watermark.")
    has_pro_hairstyles: bool = column(
        description="Whether hairstyles that are `isPro` may be asked for; PLAN_REQUIRED without."
    )
    has_high_quality: bool = column(
        description="Whether pictures can be had as they were made, in full quality."
    )


extend(
    User, plan=related_row("plan_id", returns=Plan | None, description="The plan subscribed to.")
)


@backed_by(tables.Hairstyle, prefix="hairstyle")
class Hairstyle(Node):
    """A hairstyle the hairstyle tool can give."""

    id: strawberry.ID = global_id("Global id; inputs also take the slug.")
    name: str = column(description="Its name in English.")
    name_key: str = i18n_key("hairstyle.", ".name", of="id", description="i18n key of the name.")
    image_url: str = public_link("image_url", description="A picture of it.")
    gender: Gender = column(description="For whom it is shown first.")
    is_pro: bool = column(description="Whether it needs a paid plan.")
    category: str = column(description="Its group in the list.")
    category_key: str = i18n_key(
        "editor.hairstyle.category.",
        "",
        of="category",
        description="i18n key of the category's name.",
    )
    sort_order: int = column(description="Position in the list, ascending.")
    is_active: bool = column(description="Whether it can be asked for; false once it was removed.")


@backed_by(tables.HairColor, prefix="hairColor")
class HairColor(Node):
    """A colour offered for hair."""

    id: strawberry.ID = global_id()
    hex_code: str = column(description="Lower-case #rrggbb.")
    name_key: str = i18n_key(
        "hairColor.", ".name", of="hex_code", description="i18n key of the name."
    )
    sort_order: int = column(description="Position in the palette, ascending.")


@backed_by(tables.SkinColor, prefix="skinColor")
class SkinColor(Node):
    """A named skin tone."""

    id: strawberry.ID = global_id()
    hex_code: str = column(description="Lower-case #rrggbb.")
    name: str = column(description="Its name in English.")
    name_key: str = i18n_key(
        "skinColor.", ".name", of="hex_code", description="i18n key of the name."
    )
    sort_order: int = column(description="Position in the palette, ascending.")


@strawberry.type
class CatalogQuery:
    """Queries on the catalog."""

    tools: list[Tool] = rows(("sort_order", "id"), description="The active tools, in their order.")
    all_tools: list[Tool] | None = rows(
        ("sort_order", "id"),
        for_admins=True,
        description="All tools, those that are switched off too. For admins; FORBIDDEN for others.",
    )
    plans: list[Plan] = rows(
        ("price_cents", "sort_order", "id"),
        description="The plans, cheapest first; those with a price on request come last.",
    )
    hairstyles: list[Hairstyle] = rows(
        ("sort_order", "id"), description="The hairstyles, in their order."
    )
    all_hairstyles: list[Hairstyle] | None = rows(
        ("sort_order", "id"),
        for_admins=True,
        description="All hairstyles, removed ones too. For admins; FORBIDDEN for others.",
    )
    hair_colors: list[HairColor] = rows(
        ("sort_order", "hex_code"), description="The hair colours, in their order."
    )
    skin_colors: list[SkinColor] = rows(
        ("sort_order", "hex_code"), description="The skin tones, in their order."
    )


@strawberry.input(description="Which tool to switch, and how.")
class SetToolActiveInput:
    tool_id: strawberry.ID = strawberry.field(description="The tool's global id or slug.")
    is_active: bool = strawberry.field(description="Whether it can be run from now on.")


@strawberry.type(description="Result of `setToolActive`.")
class SetToolActivePayload(MutationPayload):
    tool: Tool | None = strawberry.field(description="The tool as it is now.")


async def set_tool_active(context: Context, input: SetToolActiveInput) -> Outcome:
    """Switches a tool on or off."""
    context.signed_in()
    tool_id = slug_from_global_id(input.tool_id, "tool")
    return Outcome(operations.set_tool_active(tool_id, active=input.is_active), {"tool": RESULT})


@strawberry.type
class CatalogMutation:
    """Mutations on the catalog."""

    set_tool_active: SetToolActivePayload | None = mutation(
        set_tool_active,
        SetToolActiveInput,
        errors=(ErrorCode.NOT_FOUND,),
        for_admins=True,
        description="Switch a tool on or off: one that is off is in no list and takes no new "
        "generations; those under way end as usual. For admins; FORBIDDEN for others.",
    )


@strawberry.type(description="A tool that was added, changed or taken away.")
class ToolsChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    tool: Tool | None = strawberry.field(
        description="The tool right after the change; null when it was taken away, and in the "
        "first item, which only gives the cursor."
    )
    removed_id: strawberry.ID | None = strawberry.field(
        description="The global id of a tool that was switched off or deleted; null otherwise."
    )


_AFTER = "as it is right after the change; null when another thing changed or it was taken away."


@strawberry.type(description="Something of the catalog that was added, changed or taken away.")
class CatalogChanged:
    cursor: Cursor = strawberry.field(description="Pass it as `after` to continue from here.")
    kind: ChangeKind | None = strawberry.field(
        description="What has happened to it: DELETED when it was switched off, removed or "
        "deleted; null in the first item, which only gives the cursor."
    )
    tool: Tool | None = strawberry.field(description=f"The tool {_AFTER}")
    hairstyle: Hairstyle | None = strawberry.field(description=f"The hairstyle {_AFTER}")
    hair_color: HairColor | None = strawberry.field(description=f"The colour {_AFTER}")
    skin_color: SkinColor | None = strawberry.field(description=f"The skin tone {_AFTER}")
    plan: Plan | None = strawberry.field(description=f"The plan {_AFTER}")
    deleted_id: strawberry.ID | None = strawberry.field(
        description="The global id of what was switched off, removed or deleted; null otherwise."
    )


@strawberry.type
class CatalogSubscription:
    """Subscriptions on the catalog."""

    catalog_changed: CatalogChanged = joint_live(
        tables.CATALOG_TOPIC,
        ("tool", "hairstyle", "hairColor", "skinColor", "plan"),
        gone="deletedId",
        kind="kind",
        description="Tools, hairstyles, colours and plans as they are added, changed and taken "
        "away, each change once and in order, behind one item without any. Everybody may watch, "
        "without a token too.",
    )

    tools_changed: ToolsChanged = live(
        "tools.changed",
        "tool",
        starts_empty=True,
        gone="removedId",
        description="The tools as they are added, changed and taken away, each change once and in "
        "order, behind one null item. Everybody may watch, without a token too.",
    )
