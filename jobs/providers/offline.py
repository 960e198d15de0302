"""The provider that needs no key: honest image work on this machine, and it says so."""

from __future__ import annotations

import asyncio
import io
import time
from typing import TYPE_CHECKING, Any

from jobs.providers.base import (
    GenerationOutcome,
    GenerationRequest,
    ProviderFailed,
    ProviderLimits,
    ProviderRefused,
)

if TYPE_CHECKING:
    from PIL.Image import Image

JPEG_QUALITY = 92
_BOTH_KINDS = ("JPEG", "PNG")


class OfflineProvider:
    """Recolours hair, grades for Halloween and measures photos with Pillow and NumPy."""

    name = "offline"
    # Each run holds a whole decoded photo and keeps a core busy.
    limits = ProviderLimits(timeout_seconds=60, concurrent_calls=2)

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        """Make the generation off the event loop."""
        return await asyncio.to_thread(_generate, request)


def _generate(request: GenerationRequest) -> GenerationOutcome:
    started = time.perf_counter()
    make = {"hair-color": _hair_color, "halloween": _halloween, "analysis": _analysis}.get(
        request.tool_id
    )
    if make is None:
        raise ProviderRefused(
            f"The tool “{request.tool_id}” needs an AI provider; "
            "the offline provider cannot do it. No credit was spent."
        )
    picture = _decode(request.image)
    pixels = picture.width * picture.height
    image, findings = make(picture, request.parameters)
    return GenerationOutcome(
        image=image,
        content_type="image/jpeg" if image else None,
        analysis={"provider": "offline", **findings},
        made_offline=True,
        usage={
            "provider": "offline",
            "inputPixels": pixels,
            "milliseconds": round((time.perf_counter() - started) * 1000),
        },
    )


# The modules with the arithmetic are imported where they are used: a server that makes no
# generation never loads NumPy and Pillow.


def _hair_color(picture: Image, parameters: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    from jobs.providers.colour import parse_hex
    from jobs.providers.offline_hair import recolour_hair

    try:
        color = parse_hex(parameters["color"])
    except (KeyError, TypeError, ValueError):
        raise ProviderRefused('hair-color needs a color like "#8b3a62".') from None
    region = recolour_hair(picture, color)
    findings = {
        "noteKey": "generation.offline.hairColor",
        "color": parameters["color"].lower(),
        "hairShare": round(region.share, 4),
        "regionFoundBy": region.found_by,
    }
    return _encode(picture), findings


def _halloween(picture: Image, _parameters: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    from jobs.providers.offline_filters import halloween

    halloween(picture)
    return _encode(picture), {"noteKey": "generation.offline.halloween"}


def _analysis(picture: Image, _parameters: dict[str, Any]) -> tuple[None, dict[str, Any]]:
    from jobs.providers.offline_analysis import measure

    return None, {"noteKey": "generation.offline.analysis", **measure(picture)}


def _decode(data: bytes) -> Image:
    """The photo as RGB; what shows through stands on white."""
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=_BOTH_KINDS)
        if picture.mode != "RGBA":
            return picture.convert("RGB")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
    except Exception as error:  # damaged bytes raise nearly everything
        raise ProviderFailed("The stored photo could not be read. Upload it again.") from error
    return white


def _encode(picture: Image) -> bytes:
    # Full colour resolution: halved, new colours would bleed past the borders of a region.
    picture.info.clear()
    output = io.BytesIO()
    picture.save(output, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return output.getvalue()
