"""Measures a photo: light, contrast, sharpness, colours, skin; every figure is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.providers.colour import to_hex, to_lab, to_xyz

_BAND_ROWS = 256
_SAMPLES = 250_000
_COLORS = 6
_SAME_COLOR_DELTA_E = 14.0
_CLIPPED_SHARE = 0.05
_BLURRED_BELOW = 60.0


def measure(picture: Image.Image) -> dict[str, Any]:
    """The figures of an RGB picture, as JSON.

    Brightness and contrast are the mean and the standard deviation of luma, 0-1; sharpness is
    the variance of the Laplacian of luma, 0-255.
    """
    grey = picture.convert("L")
    counts = np.array(grey.histogram(), np.float64)
    shares = counts / counts.sum()
    levels = np.arange(256) / 255
    brightness = float(shares @ levels)
    contrast = float(np.sqrt(shares @ (levels - brightness) ** 2))
    sharpness = _laplacian_variance(grey)
    shadows, highlights = float(shares[:6].sum()), float(shares[250:].sum())
    pixels = _sampled(picture)
    return {
        "dimensions": _dimensions(picture),
        "brightness": round(brightness, 4),
        "contrast": round(contrast, 4),
        "sharpness": round(sharpness, 2),
        "sharpnessKey": f"analysis.sharpness.{'soft' if sharpness < _BLURRED_BELOW else 'sharp'}",
        "dominantColors": _dominant_colors(pixels),
        "colorTemperature": _color_temperature(pixels),
        "exposure": {
            "clippedShadowsShare": round(shadows, 4),
            "clippedHighlightsShare": round(highlights, 4),
            "adviceKey": f"analysis.exposure.{_advice(brightness, contrast, shadows, highlights)}",
        },
        "skinShare": round(_skin_share(picture), 4),
    }


def _dimensions(picture: Image.Image) -> dict[str, Any]:
    return {
        "widthPixels": picture.width,
        "heightPixels": picture.height,
        "megapixels": round(picture.width * picture.height / 1e6, 3),
        "aspectRatio": round(picture.width / picture.height, 4),
    }


def _laplacian_variance(grey: Image.Image) -> float:
    """Over all pixels that have four neighbours; 0 where there are none."""
    count, total, total_squared = 0, 0.0, 0.0
    for top in range(1, grey.height - 1, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, grey.height - 1)
        luma = np.asarray(grey.crop((0, top - 1, grey.width, bottom + 1))).astype(np.int16)
        laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
        laplacian -= 4 * luma[1:-1, 1:-1]
        count += laplacian.size
        total += float(laplacian.sum(dtype=np.int64))
        total_squared += float(np.square(laplacian, dtype=np.int32).sum(dtype=np.int64))
    return total_squared / count - (total / count) ** 2 if count else 0.0


def _sampled(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Pixels spread evenly over the picture, at most about a quarter of a million."""
    step = max(1, int(np.ceil(np.sqrt(picture.width * picture.height / _SAMPLES))))
    size = (-(-picture.width // step), -(-picture.height // step))
    small = picture.resize(size, Image.Resampling.NEAREST) if step > 1 else picture
    return np.asarray(small).reshape(-1, 3)


def _dominant_colors(pixels: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
    """The commonest colours with their shares; colours that look alike are counted as one."""
    bins = pixels.astype(np.uint32) >> 3
    index = bins[:, 0] << 10 | bins[:, 1] << 5 | bins[:, 2]
    counts = np.bincount(index, minlength=1 << 15).astype(np.float64)
    sums = [np.bincount(index, pixels[:, channel], 1 << 15) for channel in range(3)]
    used = counts.nonzero()[0]
    counts, means = counts[used], np.stack([total[used] for total in sums], axis=1)
    means /= counts[:, None]
    lab = to_lab(means)
    found: list[tuple[float, str]] = []
    while len(found) < _COLORS and counts.any():
        commonest = int(counts.argmax())
        alike = np.linalg.norm(lab - lab[commonest], axis=1) < _SAME_COLOR_DELTA_E
        weights = counts * alike
        color = weights @ means / weights.sum()
        found.append((float(weights.sum()) / len(pixels), to_hex(color)))
        counts = counts * ~alike
    found.sort(reverse=True)
    return [{"hex": color, "share": round(share, 4)} for share, color in found if share >= 0.01]


def _color_temperature(pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The correlated temperature of the mean light (McCamy), as if the scene were grey overall."""
    x, y, z = to_xyz(pixels.astype(np.float64)).mean(axis=0)
    total = x + y + z
    if total < 1e-4:
        return {"kelvin": None, "key": "analysis.temperature.unknown"}
    n = (x / total - 0.3320) / (y / total - 0.1858)
    kelvin = float(-449 * n**3 + 3525 * n**2 - 6823.3 * n + 5520.33)
    kelvin = min(max(kelvin, 1000.0), 25_000.0)
    name = "warm" if kelvin < 5000 else "cool" if kelvin > 7500 else "neutral"
    return {"kelvin": round(kelvin), "key": f"analysis.temperature.{name}"}


def _advice(brightness: float, contrast: float, shadows: float, highlights: float) -> str:
    if highlights > _CLIPPED_SHARE and highlights > shadows:
        return "reduceExposure"
    if shadows > _CLIPPED_SHARE and brightness < 0.4:
        return "addLight"
    if brightness < 0.25:
        return "addLight"
    if brightness > 0.8:
        return "reduceExposure"
    return "addContrast" if contrast < 0.08 else "good"


def _skin_share(picture: Image.Image) -> float:
    """The share of pixels whose chroma is that of human skin and that are not near black."""
    found = 0
    for top in range(0, picture.height, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, picture.height)
        luma, blue, red = (
            np.asarray(channel)
            for channel in picture.crop((0, top, picture.width, bottom)).convert("YCbCr").split()
        )
        skin = (blue >= 77) & (blue <= 127) & (red >= 136) & (red <= 173) & (luma >= 80)
        found += int(np.count_nonzero(skin))
    return found / (picture.width * picture.height)
