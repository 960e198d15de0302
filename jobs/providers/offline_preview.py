"""The preview of a tool that needs an AI: the photo as it was, with a label that says so."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

_LINES = ("PREVIEW: the photo is unchanged", "“{tool}” needs an AI provider")


def label_preview(picture: Image.Image, tool_id: str) -> tuple[int, int, int, int]:
    """Write on an RGB picture, in place, that the tool did nothing to it; where the label is."""
    tool = "".join(letter for letter in tool_id[:40] if letter.isascii() and letter.isprintable())
    lines = [line.format(tool=tool) for line in _LINES]
    size = _fitting_size(lines, picture)
    font = ImageFont.load_default(size)
    height = min(picture.height, round(3.4 * size))
    top = picture.height - height
    picture.paste("black", (0, top, picture.width, picture.height))
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        middle = (picture.width / 2, top + height * (0.3 + 0.4 * number))
        pen.text(middle, line, font=font, fill="white", anchor="mm")
    return 0, top, picture.width, picture.height


def _fitting_size(lines: list[str], picture: Image.Image) -> float:
    """The height of letters at which the longest line takes most of the width."""
    at_hundred = max(ImageFont.load_default(100).getlength(line) for line in lines)
    return max(6.0, min(0.06 * picture.height, 100 * 0.92 * picture.width / at_hundred))
