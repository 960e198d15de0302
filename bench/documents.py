"""The operations under measurement, in our words and in PostGraphile's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

# What differs between the schemas is marked in a document; everything else is word for word.
OURS = {
    "<id>": "id",
    "<newest>": "",
    "<succeeded>": "where: {status: {eq: SUCCEEDED}}",
    "<oldest>": "orderBy: {field: CREATED_AT, direction: ASC}",
    "<errors>": "errors { code }",
    "<updateProfile>": "updateProfile",
    "<UpdateProfileInput>": "UpdateProfileInput",
}
POSTGRAPHILE = {
    "<id>": "id: rowId",
    "<newest>": ", orderBy: [CREATED_AT_DESC, ROW_ID_DESC]",
    "<succeeded>": 'condition: {status: "SUCCEEDED"}',
    "<oldest>": "orderBy: [CREATED_AT_ASC, ROW_ID_ASC]",
    "<errors>": "",
    "<updateProfile>": "updateProfile: updateProfileByRowId",
    "<UpdateProfileInput>": "UpdateProfileByRowIdInput",
}
NESTED_READ = """query Home {
  viewer {
    <id>
    profiles(first: 20<newest>) { nodes { <id> name createdAt } }
    generations(first: 20<newest>) {
      nodes { <id> status creditsCharged createdAt tool { <id> nameKey } }
    }
  }
}"""
POINT_READ = "query Balance { viewer { <id> credits { balance } } }"
PAGE = """query Gallery {
  viewer {
    <id>
    generations(first: 20, <succeeded>, <oldest>) {
      nodes { <id> status createdAt tool { <id> nameKey type } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
SPEND = """mutation Spend($input: SpendCreditsInput!) {
  spendCredits(input: $input) {
    transaction { <id> amount balanceAfter type }
    credits { balance }
    <errors>
  }
}"""
SPEND_WITH_DETAILS = """mutation Spend($input: SpendCreditsInput!) {
  spendCredits(input: $input) {
    transaction {
      <id> amount heldChange balanceAfter type reason referenceId createdAt
    }
    <errors>
  }
}"""
UPDATE_PROFILE = """mutation Rename($input: <UpdateProfileInput>!) {
  <updateProfile>(input: $input) {
    profile { <id> localId name analysis chatHistory createdAt updatedAt syncedAt }
    <errors>
  }
}"""
SIGN_IN = """mutation SignIn($input: SignInInput!) {
  signIn(input: $input) {
    session { accessToken refreshToken expiresAt user { id email } }
    errors { code }
  }
}"""
CREATE_UPLOAD = """mutation Upload($input: CreateUploadInput!) {
  createUpload(input: $input) { upload { id url } errors { code } }
}"""
CREATE_GENERATION = """mutation Generate($input: CreateGenerationInput!) {
  createGeneration(input: $input) { generation { id status } errors { code } }
}"""
GENERATION = "query Result($id: ID!) { node(id: $id) { id ... on Generation { status imageUrl } } }"
PROFILE_FIELDS = ("localId", "name", "analysis", "createdAt", "updatedAt", "syncedAt")
GENERATION_FIELDS = ("status", "creditsCharged", "fromCache", "madeOffline", "createdAt")
TOOL_FIELDS = ("nameKey", "type", "iconName", "isActive", "sortOrder")


def worded(document: str, words: dict[str, str]) -> str:
    """A document in the words of one schema."""
    for mark, word in words.items():
        document = document.replace(mark, word)
    return document


def _choices(fields: tuple[str, ...]) -> list[str]:
    """Every choice of at least one of the fields."""
    sizes = range(1, len(fields) + 1)
    return [" ".join(chosen) for size in sizes for chosen in combinations(fields, size)]


def different_documents() -> Iterator[str]:
    """Nested reads that each select other fields, thousands of them and always in one order."""
    profiles, generations, tools = map(_choices, (PROFILE_FIELDS, GENERATION_FIELDS, TOOL_FIELDS))
    for tool, generation, profile in product(tools, generations, profiles):
        yield (
            "query Home { viewer { <id> "
            f"profiles(first: 20<newest>) {{ nodes {{ <id> {profile} }} }} "
            f"generations(first: 20<newest>) {{ nodes {{ <id> {generation} "
            f"tool {{ <id> {tool} }} }} }} }} }}"
        )


def never_seen_documents() -> Iterator[str]:
    """The nested read under an alias that no document before had."""
    number = 0
    while True:
        number += 1
        yield NESTED_READ.replace("viewer", f"viewer{number}: viewer")
