"""The Halloween filter: green shadows, pumpkin highlights, hard contrast, dark corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.floating[Any]]

_BAND_ROWS = 128
_SHADOW_TINT = np.array([-14.0, 12.0, -6.0], np.float32)
_HIGHLIGHT_TINT = np.array([34.0, 2.0, -52.0], np.float32)
_KEPT_SATURATION = np.float32(0.62)
_CORNER_DARKNESS = np.float32(0.72)


def halloween(picture: Image.Image) -> None:
    """Grade an RGB picture in place, a band of rows at a time so that memory stays small."""
    tones = _tones()
    across = np.linspace(-1, 1, picture.width, dtype=np.float32) ** 2
    down = np.linspace(-1, 1, picture.height, dtype=np.float32) ** 2
    for top in range(0, picture.height, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, picture.height)
        band = picture.crop((0, top, picture.width, bottom))
        luma = np.asarray(band.convert("L"))
        grey = luma.astype(np.float32)[..., None]
        # Colour differences stay, weakened; the luma under them takes the graded tone.
        graded = (np.asarray(band) - grey) * _KEPT_SATURATION + tones[luma]
        graded *= _light(across, down[top:bottom])[..., None]
        np.clip(graded, 0, 255, out=graded)
        picture.paste(Image.fromarray(graded.astype(np.uint8)), (0, top))


def _tones() -> Floats:
    """Row i: the colour that grey i becomes."""
    level = np.linspace(0, 1, 256, dtype=np.float32)
    contrast = level * level * (3 - 2 * level)
    curve = 255 * (0.35 * level + 0.65 * contrast)
    shadow, highlight = (1 - level)[:, None] ** 2, level[:, None]
    # Black stays black: a tint without light under it would look like fog.
    tint = shadow * _SHADOW_TINT * np.minimum(1, level * 8)[:, None] + highlight * _HIGHLIGHT_TINT
    tones: Floats = (curve[:, None] + tint).astype(np.float32)
    return tones


def _light(across_squared: Floats, down_squared: Floats) -> Floats:
    """How much light is left at each place: all in the middle, little in the corners."""
    distance_squared = (across_squared[None, :] + down_squared[:, None]) / 2
    light: Floats = 1 - _CORNER_DARKNESS * distance_squared * np.sqrt(distance_squared)
    return light
