"""Texts in the schema: everybody reads them, admins change them."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from sqlalchemy import Text

from db.core.errors import ErrorCode
from db.translations import operations, tables
from graph.engine.declare import backed_by, column, mutation, report
from graph.engine.execution.outcomes import RESULT, Outcome
from graph.engine.specs import Report
from graph.shared.context import Context
from graph.shared.mutations import MutationPayload

_LISTED = ", ".join(tables.LOCALES)


@backed_by(tables.Translation)
class Translation:
    """A text that clients show for a key, such as `Tool.nameKey`."""

    locale: str = column(description="Its language: `en` where the one asked for has no text.")
    key: str = column(description="The key.")
    text: str = column(description="The text.")


def translations_arguments(
    self: Any,  # noqa: ARG001
    locale: Annotated[  # noqa: ARG001
        str,
        strawberry.argument(
            description=f"The language, as a tag of RFC 5646 such as `pt-BR`: one of {_LISTED}."
        ),
    ],
) -> Any:
    """The arguments of `translations`."""
    raise AssertionError("the engine answers reports")  # pragma: no cover


TRANSLATIONS = Report(
    operations.TRANSLATIONS,
    ((Text(), lambda arguments: operations.language_of(arguments["locale"])),),
    (("id", Text()), ("locale", Text()), ("key", Text()), ("text", Text())),
    is_public=True,
)


@strawberry.type
class TranslationsQuery:
    """Queries on texts."""

    translations: list[Translation] = report(
        TRANSLATIONS,
        translations_arguments,
        description="All texts for readers of a language, in the order of their keys; in English "
        "where that language has none. Everybody may read them. BAD_USER_INPUT for a language that "
        "the product does not have.",
    )


@strawberry.input(description="A text in one language.")
class SetTranslationInput:
    locale: str = strawberry.field(description=f"Its language: one of {_LISTED}.")
    key: str = strawberry.field(
        description="Its key, at most 200 characters; one that there is not yet is added."
    )
    text: str | None = strawberry.field(
        default=None,
        description="The text, 1 to 2,000 characters. Left out, it is removed, so that the English "
        "one is shown. Null is as good as leaving it out.",
    )


@strawberry.type(description="Result of `setTranslation`.")
class SetTranslationPayload(MutationPayload):
    translation: Translation | None = strawberry.field(
        description="The text as it is now; null when it was removed."
    )


async def set_translation(context: Context, input: SetTranslationInput) -> Outcome:
    """Sets or removes a text."""
    context.signed_in()
    command = operations.set_translation(input.locale, input.key, input.text)
    return Outcome(command, {"translation": RESULT})


@strawberry.type
class TranslationsMutation:
    """Mutations on texts."""

    set_translation: SetTranslationPayload | None = mutation(
        set_translation,
        SetTranslationInput,
        errors=(ErrorCode.BAD_USER_INPUT,),
        for_admins=True,
        description="Set the text of a key in one language, or remove it. What an admin has set, "
        "loading the seed again leaves. For admins; FORBIDDEN for others.",
    )
