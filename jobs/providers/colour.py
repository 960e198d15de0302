"""Colour arithmetic: sRGB, OKLab and CIELAB, and the shades of one colour from black to white."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_D65_WHITE = np.array([0.95047, 1.0, 1.08883])
_SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
_SRGB_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_LMS_TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def parse_hex(text: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`; ValueError for anything else."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"not a colour: {text!r}")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def to_hex(rgb: Floats) -> str:
    """A colour with channels 0-255 as `#rrggbb`."""
    red, green, blue = (round(float(channel)) for channel in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def to_linear(srgb: Floats) -> Floats:
    """Light from sRGB channels 0-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def from_linear(light: Floats) -> Floats:
    """sRGB channels 0-1 from light, cut off at both ends."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def to_xyz(rgb: Floats) -> Floats:
    """CIE XYZ of colours with channels 0-255."""
    xyz: Floats = to_linear(np.asarray(rgb, np.float64) / 255) @ _SRGB_TO_XYZ.T
    return xyz


def to_lab(rgb: Floats) -> Floats:
    """CIELAB (D65) of colours with channels 0-255."""
    ratio = to_xyz(rgb) / _D65_WHITE
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (ratio * 24389 / 27 + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_oklab(rgb: Floats) -> Floats:
    """OKLab of colours with channels 0-255."""
    light = to_linear(np.asarray(rgb, np.float64) / 255)
    oklab: Floats = np.cbrt(light @ _SRGB_TO_LMS.T) @ _LMS_TO_OKLAB.T
    return oklab


def _light_of_oklab(oklab: Floats) -> Floats:
    light: Floats = (oklab @ np.linalg.inv(_LMS_TO_OKLAB).T) ** 3 @ np.linalg.inv(_SRGB_TO_LMS).T
    return light


def shades(rgb: tuple[int, int, int], levels: int = 256) -> Floats:
    """The colour at every lightness: row i has the luma of grey i, the colour's hue in OKLab.

    Chroma is the colour's own at its own lightness, falls toward black and white, and is cut
    back where the screen cannot show it.
    """
    own = to_oklab(np.array(rgb))
    greys = np.linspace(0, 255, levels)
    lightness = to_oklab(np.repeat(greys[:, None], 3, axis=1))[:, 0]
    toward_black = np.minimum(1, lightness / max(float(own[0]), 1e-3))
    toward_white = np.minimum(1, (1 - lightness) / max(1 - float(own[0]), 1e-3)) ** 0.5
    wanted = np.minimum(toward_black, toward_white)
    low, high = np.zeros(levels), wanted
    for _ in range(12):  # halves the interval in which the largest visible chroma lies
        middle = (low + high) / 2
        light = _light_of_oklab(_at_chroma(own, lightness, middle))
        fits = ((light > -1e-4) & (light < 1 + 1e-4)).all(axis=1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return from_linear(_light_of_oklab(_at_chroma(own, lightness, low))) * 255


def _at_chroma(own: Floats, lightness: Floats, share: Floats) -> Floats:
    return np.stack([lightness, own[1] * share, own[2] * share], axis=-1)
