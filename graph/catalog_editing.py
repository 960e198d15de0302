"""What admins do to the catalog in the schema: add, change and remove what is in it."""

from __future__ import annotations

from typing import Any

import strawberry

from db.catalog import operations, tables
from db.core.errors import ErrorCode, Problems
from graph.catalog import Gender, HairColor, Hairstyle, Plan, SkinColor, Tool, ToolType
from graph.engine.declare import mutation
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.shared.context import Context
from graph.shared.inputs import given, nulls, stored_in
from graph.shared.mutations import MutationPayload
from graph.shared.relay import slug_from_global_id
from graph.shared.scalars import JSON

_KEY = "Its global id or slug; a new slug adds it."
_ORDER = "Position in the list, ascending."
_LINK = "A path of this server or an https link, at most 2,000 characters."
_GONE = "The global id of what is gone; null when nothing was removed."
_FOR_ADMINS = "Sent again it changes nothing more. For admins; FORBIDDEN for others."


def _left_out(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


@stored_in(tables.Tool, description="A tool, or changes to one; what is left out stays.")
class SaveToolInput:
    id: strawberry.ID = strawberry.field(description=_KEY)
    name_key: str | None = _left_out("i18n key; `tool.<slug>.name` for a new one.")
    description_key: str | None = _left_out("i18n key; `tool.<slug>.description` for a new one.")
    type: ToolType | None = _left_out("What kind of thing it does; a new one needs it.")
    icon_name: str | None = _left_out("Which icon the client shows; a new one needs it.")
    cover_image_url: str | None = _left_out(_LINK)
    is_active: bool | None = _left_out("Whether it can be run; a new one can.")
    sort_order: int | None = _left_out(_ORDER)
    credits_cost: int | None = _left_out("Credits one run costs, 0 to 1,000; 1 for a new one.")
    parameters_schema: JSON | None = _left_out(
        "JSON Schema (2020-12) of the parameters, at most 16,384 bytes. A `default` is filled in; "
        "`x-catalog` names hairstyles, hair_colors or skin_colors where a parameter is one of "
        "them. Patterns are in RE2's syntax; `$ref`, `$dynamicRef`, `patternProperties`, "
        "`uniqueItems`, `unevaluatedItems` and `unevaluatedProperties` are not taken."
    )
    takes_mask: bool | None = _left_out("Whether it takes a mask; a new one does not.")


@stored_in(tables.Hairstyle, description="A hairstyle, or changes to one; what is left out stays.")
class SaveHairstyleInput:
    id: strawberry.ID = strawberry.field(description=_KEY)
    name: str | None = _left_out("Its name, 1 to 100 characters; a new one needs it.")
    image_url: str | None = _left_out(f"{_LINK} A new one needs it.")
    gender: Gender | None = _left_out("For whom it is shown first; a new one needs it.")
    is_pro: bool | None = _left_out("Whether it needs a plan that has pro hairstyles.")
    category: str | None = _left_out("Its group, such as `short`; a new one needs it.")
    sort_order: int | None = _left_out(_ORDER)
    is_active: bool | None = _left_out("Whether it can be asked for; a new one can.")


@stored_in(tables.HairColor, description="A colour offered for hair.")
class SaveHairColorInput:
    hex_code: str = strawberry.field(description="The colour as #rrggbb; a new one adds it.")
    sort_order: int | None = _left_out(_ORDER)


@stored_in(tables.SkinColor, description="A skin tone, or changes to one; what is left out stays.")
class SaveSkinColorInput:
    hex_code: str = strawberry.field(description="The colour as #rrggbb; a new one adds it.")
    name: str | None = _left_out("Its name, 1 to 100 characters; a new one needs it.")
    sort_order: int | None = _left_out(_ORDER)


@stored_in(tables.Plan, description="A plan, or changes to one; what is left out stays.")
class SavePlanInput:
    id: strawberry.ID = strawberry.field(description=_KEY)
    name: str | None = _left_out("Its name, which no other has; a new one needs it.")
    monthly_credits: int | None = _left_out(
        "Credits granted each month, at most 1,000,000; a new one needs them."
    )
    max_daily_credits: int | None = _left_out(
        "How many of them may be spent in a day; a new one needs it."
    )
    price_cents: int | None = _left_out(
        "Price of a month in hundredths of the currency; on request without one."
    )
    currency: str | None = _left_out("ISO 4217 code; USD for a new one.")
    sort_order: int | None = _left_out("Position among plans of one price, ascending.")
    adds_watermark: bool | None = _left_out("Whether pictures made on it carry a watermark.")
    has_pro_hairstyles: bool | None = _left_out("Whether pro hairstyles may be asked for.")
    has_high_quality: bool | None = _left_out("Whether pictures can be had in full quality.")


@strawberry.input(description="Which tool to remove.")
class RemoveToolInput:
    id: strawberry.ID = strawberry.field(description="Its global id or slug.")


@strawberry.input(description="Which hairstyle to remove.")
class RemoveHairstyleInput:
    id: strawberry.ID = strawberry.field(description="Its global id or slug.")


@strawberry.input(description="Which colour for hair to remove.")
class RemoveHairColorInput:
    id: strawberry.ID = strawberry.field(description="Its global id, or the colour as #rrggbb.")


@strawberry.input(description="Which skin tone to remove.")
class RemoveSkinColorInput:
    id: strawberry.ID = strawberry.field(description="Its global id, or the colour as #rrggbb.")


@strawberry.input(description="Which plan to remove.")
class RemovePlanInput:
    id: strawberry.ID = strawberry.field(description="Its global id or slug.")


@strawberry.type(description="Result of `saveTool`.")
class SaveToolPayload(MutationPayload):
    tool: Tool | None = strawberry.field(description="The tool as it is now; null on errors.")


@strawberry.type(description="Result of `saveHairstyle`.")
class SaveHairstylePayload(MutationPayload):
    hairstyle: Hairstyle | None = strawberry.field(
        description="The hairstyle as it is now; null on errors."
    )


@strawberry.type(description="Result of `saveHairColor`.")
class SaveHairColorPayload(MutationPayload):
    hair_color: HairColor | None = strawberry.field(
        description="The colour as it is now; null on errors."
    )


@strawberry.type(description="Result of `saveSkinColor`.")
class SaveSkinColorPayload(MutationPayload):
    skin_color: SkinColor | None = strawberry.field(
        description="The skin tone as it is now; null on errors."
    )


@strawberry.type(description="Result of `savePlan`.")
class SavePlanPayload(MutationPayload):
    plan: Plan | None = strawberry.field(description="The plan as it is now; null on errors.")


@strawberry.type(description="Result of `removeTool`.")
class RemoveToolPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(description=_GONE)
    tool: Tool | None = strawberry.field(
        description="The tool where it was only switched off, since generations used it."
    )


@strawberry.type(description="Result of `removeHairstyle`.")
class RemoveHairstylePayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(description=_GONE)
    hairstyle: Hairstyle | None = strawberry.field(
        description="The hairstyle, which what was made with it still names."
    )


@strawberry.type(description="Result of `removeHairColor`, `removeSkinColor` and `removePlan`.")
class RemovedFromCatalogPayload(MutationPayload):
    deleted_id: strawberry.ID | None = strawberry.field(description=_GONE)


async def _save(context: Context, thing: str, key: str, input: Any) -> Outcome:
    context.signed_in()
    changes = {name: value for name, value in given(input).items() if name != "hex_code"}
    command = operations.save(thing, key, Problems(nulls(input)), changes)
    return Outcome(command, {thing: RESULT})


async def save_tool(context: Context, input: SaveToolInput) -> Outcome:
    """Adds or changes a tool."""
    return await _save(context, "tool", slug_from_global_id(input.id, "tool"), input)


async def save_hairstyle(context: Context, input: SaveHairstyleInput) -> Outcome:
    """Adds or changes a hairstyle."""
    return await _save(context, "hairstyle", slug_from_global_id(input.id, "hairstyle"), input)


async def save_hair_color(context: Context, input: SaveHairColorInput) -> Outcome:
    """Adds or changes a colour for hair."""
    return await _save(context, "hair_color", input.hex_code, input)


async def save_skin_color(context: Context, input: SaveSkinColorInput) -> Outcome:
    """Adds or changes a skin tone."""
    return await _save(context, "skin_color", input.hex_code, input)


async def save_plan(context: Context, input: SavePlanInput) -> Outcome:
    """Adds or changes a plan."""
    return await _save(context, "plan", slug_from_global_id(input.id, "plan"), input)


def _remove(context: Context, thing: str, prefix: str, given_id: str, *shown: str) -> Outcome:
    context.signed_in()
    key = slug_from_global_id(given_id, prefix)
    command = operations.remove(thing, key.lower())
    rows = dict.fromkeys(shown, RESULT)
    return Outcome(command, rows, fields={"deleted_id": f"{prefix}_{key.lower()}"})


async def remove_tool(context: Context, input: RemoveToolInput) -> Outcome:
    """Deletes a tool, or switches it off."""
    return _remove(context, "tool", "tool", input.id, "tool")


async def remove_hairstyle(context: Context, input: RemoveHairstyleInput) -> Outcome:
    """Takes a hairstyle out of the list."""
    return _remove(context, "hairstyle", "hairstyle", input.id, "hairstyle")


async def remove_hair_color(context: Context, input: RemoveHairColorInput) -> Outcome:
    """Deletes a colour for hair."""
    return _remove(context, "hair_color", "hairColor", input.id)


async def remove_skin_color(context: Context, input: RemoveSkinColorInput) -> Outcome:
    """Deletes a skin tone."""
    return _remove(context, "skin_color", "skinColor", input.id)


async def remove_plan(context: Context, input: RemovePlanInput) -> Outcome:
    """Deletes a plan that is not in use."""
    return _remove(context, "plan", "plan", input.id)


def _saves(operation: Any, input_type: type, what: str) -> Any:
    return mutation(
        operation,
        input_type,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_admins=True,
        description=f"Add {what} or change it; what an admin has set, loading the seed again "
        f"leaves. {_FOR_ADMINS}",
    )


def _removes(operation: Any, input_type: type, *errors: ErrorCode, description: str) -> Any:
    return mutation(
        operation,
        input_type,
        errors=errors,
        for_admins=True,
        description=f"{description} What is not there is no error. {_FOR_ADMINS}",
    )


@strawberry.type
class CatalogEditingMutation:
    """Mutations of admins on the catalog."""

    save_tool: SaveToolPayload | None = _saves(save_tool, SaveToolInput, "a tool")
    save_hairstyle: SaveHairstylePayload | None = _saves(
        save_hairstyle, SaveHairstyleInput, "a hairstyle"
    )
    save_hair_color: SaveHairColorPayload | None = _saves(
        save_hair_color, SaveHairColorInput, "a colour offered for hair"
    )
    save_skin_color: SaveSkinColorPayload | None = _saves(
        save_skin_color, SaveSkinColorInput, "a skin tone"
    )
    save_plan: SavePlanPayload | None = _saves(save_plan, SavePlanInput, "a plan")
    remove_tool: RemoveToolPayload | None = _removes(
        remove_tool,
        RemoveToolInput,
        description="Delete a tool, or switch it off when generations used it.",
    )
    remove_hairstyle: RemoveHairstylePayload | None = _removes(
        remove_hairstyle,
        RemoveHairstyleInput,
        description="Take a hairstyle out of the list; what was made with it stays as it is.",
    )
    remove_hair_color: RemovedFromCatalogPayload | None = _removes(
        remove_hair_color, RemoveHairColorInput, description="Delete a colour offered for hair."
    )
    remove_skin_color: RemovedFromCatalogPayload | None = _removes(
        remove_skin_color, RemoveSkinColorInput, description="Delete a skin tone."
    )
    remove_plan: RemovedFromCatalogPayload | None = _removes(
        remove_plan,
        RemovePlanInput,
        ErrorCode.INVALID_STATE,
        description="Delete a plan; INVALID_STATE while it is in use.",
    )
