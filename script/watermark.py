"""Draws the watermark: `.venv/bin/python script/watermark.py`."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

OUT = Path(__file__).resolve().parents[1] / "db" / "files" / "watermark.png"
WIDTH, HEIGHT, OVERSAMPLED = 300, 88, 4
PAPER, INK = (24, 24, 32, 190), (255, 255, 255, 255)


def spark(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """A star with four points."""
    corners = [(radius if n % 2 == 0 else radius * 0.28, math.radians(45 * n)) for n in range(8)]
    return [(x + r * math.sin(angle), y - r * math.cos(angle)) for r, angle in corners]


def main() -> None:
    """Draw it."""
    size = (WIDTH * OVERSAMPLED, HEIGHT * OVERSAMPLED)
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=size[1] / 2, fill=PAPER)
    middle = size[1] / 2
    draw.polygon(spark(middle * 1.15, middle * 1.04, middle * 0.62), fill=INK)
    draw.polygon(spark(middle * 1.75, middle * 0.56, middle * 0.24), fill=INK)
    font = ImageFont.load_default(size=50 * OVERSAMPLED)
    draw.text((middle * 2.1, middle * 0.98), "Sparky", font=font, fill=INK, anchor="lm")
    picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
