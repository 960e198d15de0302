"""How well partners fit, in the schema: a score, what it is made of, what they have in common."""

from __future__ import annotations

from enum import Enum

import strawberry

from db.partners import tables
from graph.engine.declare import backed_by, column, global_id, related_row, related_rows
from graph.engine.extending import extend
from graph.partners import Partner
from graph.shared.relay import Node
from graph.surveys import MOST_ITEMS, SurveyDomain

PARTS, MOST_COMPARED, MOST_CONFLICTS = 18, 2 * MOST_ITEMS, 20


@strawberry.enum(description="The word for a score of compatibility.")
class CompatibilityWord(Enum):
    """Words (from Attuned) from 85, 70, 55, 40 and 0 per cent."""

    EXCEPTIONAL = "EXCEPTIONAL"
    HIGH = "HIGH"
    MODERATE = "MODERATE"
    LOWER = "LOWER"
    CHALLENGING = "CHALLENGING"


@strawberry.enum(description="What a part of a compatibility is.")
class CompatibilityPartKind(Enum):
    """Kinds of parts."""

    TOTAL = strawberry.enum_value(
        "TOTAL", description="One of the `points` that make the score together."
    )
    DOMAIN = strawberry.enum_value("DOMAIN", description="A domain; they make `DOMAINS`.")
    SECTION = strawberry.enum_value(
        "SECTION", description="A section of the survey; they make `ACTIVITIES`."
    )


@strawberry.enum(description="What the answers to an item say of the two.")
class CompatibilityItemKind(Enum):
    """Kinds of items; the first three are what overlaps."""

    MUTUAL = strawberry.enum_value("MUTUAL", description="Both want it.")
    GROWTH = strawberry.enum_value("GROWTH", description="One wants it, the other perhaps.")
    TOPIC = strawberry.enum_value("TOPIC", description="Both would talk about it.")
    COMPATIBLE = strawberry.enum_value(
        "COMPATIBLE", description="The user wants it, and the partner its other side."
    )
    OWN_ONLY = strawberry.enum_value("OWN_ONLY", description="The user alone wants it.")
    PARTNER_ONLY = strawberry.enum_value("PARTNER_ONLY", description="The partner alone wants it.")


@backed_by(tables.CompatibilityPart)
class CompatibilityPart:
    """What a compatibility is made of."""

    kind: CompatibilityPartKind = column(description="What it is.")
    name: str = column(
        description="A total (`POWER`, `DOMAINS`, `ACTIVITIES`, `TRUTH`, `EXCITATION`, `CAUTION`, "
        "`CONFLICTS`), a domain such as `SENSATION`, or a section such as `physical_touch`."
    )
    score: float | None = column(
        description="How well the two fit in it, 0 to 100; null for what only adds points."
    )
    points: float | None = column(
        description="Of a total, how many points of the score it adds, or takes."
    )


@backed_by(tables.CompatibilityPart)
class CompatibilityDomain:
    """How well two fit in a domain."""

    domain: SurveyDomain = column("name", description="The domain.")
    score: float = column(description="0 to 100.")


@backed_by(tables.CompatibilityItem)
class CompatibilityItem:
    """What the answers to an item say of the two."""

    item_id: str = column(description="The item, such as `B3a`.")
    kind: CompatibilityItemKind = column(description="What they say.")


@backed_by(tables.CompatibilityConflict)
class CompatibilityConflict:
    """A hard limit of one under which the other is eager for something."""

    limit_key: str = column(
        description="The limit, such as `impact`; `survey.limit.<limit>` is its i18n key."
    )
    is_own: bool = column(description="Whether it is the user's limit, not the partner's.")
    item_ids: list[str] = column(
        description="What the user is eager for under the partner's limit; empty for their own: "
        "what the partner is eager for is among `answers`, where they show them."
    )


@backed_by(tables.Compatibility, prefix="compatibility")
class Compatibility(Node):
    """How well a user and a partner fit, by the newest profiles of both."""

    id: strawberry.ID = global_id()
    score: int = column(
        description="0 to 100. When the partner shares DEMOGRAPHICS it is shown alone, and then "
        "changes at most once a day."
    )
    word: CompatibilityWord = column(description="The word for it.")
    domains: list[CompatibilityDomain] = related_rows(
        "domain_of",
        ("sort_order",),
        at_most=5,
        description="How well they fit in each domain; none when the partner shares DEMOGRAPHICS.",
    )
    breakdown: list[CompatibilityPart] = related_rows(
        "connection_id",
        ("sort_order",),
        at_most=PARTS,
        description="All that the score is made of; none when the partner shares DEMOGRAPHICS.",
    )
    overlaps: list[CompatibilityItem] = related_rows(
        "overlap_of",
        ("item_id", "kind"),
        at_most=MOST_ITEMS,
        description="What both are open to; none when the partner shares DEMOGRAPHICS.",
    )
    comparison: list[CompatibilityItem] = related_rows(
        "connection_id",
        ("item_id", "kind"),
        at_most=MOST_COMPARED,
        description="The same, and when the partner shares ALL what fits or what one alone wants.",
    )
    conflicts: list[CompatibilityConflict] = related_rows(
        "connection_id",
        ("limit_key", "is_own"),
        at_most=MOST_CONFLICTS,
        description="Hard limits of either of the two that the other's wishes meet, named when the "
        "partner shares OVERLAPPING as well; none when they share DEMOGRAPHICS.",
    )


extend(
    Partner,
    compatibility=related_row(
        "id",
        "connection_id",
        returns=Compatibility | None,
        description="How well the two fit. Null unless they are connected and have profiles of the "
        "same survey; after a new profile it is worked out within moments, which "
        "`partnersChanged` tells.",
    ),
)
