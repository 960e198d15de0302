"""Draws them all: `.venv/bin/python -m script.hairstyles`."""

from __future__ import annotations

from db.core.seeding import PICTURES
from script.hairstyles import men, women

OUT = PICTURES / "hairstyles"

for styles, gender in ((women.STYLES, "FEMALE"), (men.STYLES, "MALE")):
    for name, style in styles.items():
        style.draw(gender).save(OUT / f"{name}.webp", quality=80, method=6)
