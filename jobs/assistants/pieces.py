"""Pieces of a text as they come from a model, made such that Postgres can hold each."""

from __future__ import annotations

from collections.abc import AsyncIterator

_FIRST_HALVES = ("\ud800", "\udbff")


async def storable_pieces(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """The pieces that say anything, without NUL.

    A character that was cut in two, as an emoji by a gateway that counts in UTF-16, is put together
    again; a half that stays alone becomes U+FFFD.
    """
    half = ""
    async for piece in pieces:
        text, half = half + piece.replace("\x00", ""), ""
        if text and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]:
            text, half = text[:-1], text[-1]
        if text:
            yield _whole(text)
    if half:
        yield _whole(half)


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
