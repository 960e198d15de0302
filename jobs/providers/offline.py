"""The provider that needs no key: honest image work on this machine, and it says so."""

from __future__ import annotations

import asyncio
import io
import math
import time
from collections.abc import Callable
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
_NO_HAIR_AND_NO_SKIN = (0, 255, 0)
# How far the proportions of a mask may be off: small masks are rounded to whole pixels.
_MASK_STRETCH = 0.05
_Findings = dict[str, Any]
_MADE = frozenset({"hair-color", "skin-color", "eye-color", "beard", "halloween", "analysis"})
_DRAWN_BEARDS = ("Stubble", "Goatee")
_NO_FACE = (
    "No {what} was found in this photo. Choose one in colour, of a face seen from the front with "
    "open eyes{instead}. No credit was spent."
)


class OfflineProvider:
    """Recolours hair, skin and eyes, draws beards, grades for Halloween, measures; labels the rest.

    Taking a beard away is the rest, too.
    """

    name = "offline"
    # Each run holds a whole decoded photo and keeps a core busy.
    limits = ProviderLimits(timeout_seconds=60, concurrent_calls=2)
    makes: frozenset[str] | None = _MADE

    async def generate(self, request: GenerationRequest) -> GenerationOutcome:
        """Make the generation off the event loop."""
        return await asyncio.to_thread(_generate, request)


def _generate(request: GenerationRequest) -> GenerationOutcome:
    started = time.perf_counter()
    picture, alpha = _decode(request.image)
    pixels = picture.width * picture.height
    made, findings = _make(request, picture, alpha)
    content_type, image = _encode(picture, alpha) if made else (None, None)
    return GenerationOutcome(
        image=image,
        content_type=content_type,
        analysis={"provider": "offline", **findings},
        made_offline=True,
        is_preview="isPreview" in findings,
        usage={
            "provider": "offline",
            "inputPixels": pixels,
            "milliseconds": round((time.perf_counter() - started) * 1000),
        },
    )


# The modules with the arithmetic are imported where they are used: a server that makes no
# generation never loads NumPy and Pillow.


def _make(
    request: GenerationRequest, picture: Image, alpha: Image | None
) -> tuple[bool, _Findings]:
    """Work on the picture in place; whether there is one to show, and what is said of it."""
    if request.tool_id in _RECOLOURS:
        return True, _recolour(request, picture)
    style = request.parameters.get("beardStyle", "Stubble")
    if request.tool_id == "beard" and style in _DRAWN_BEARDS:
        return True, _beard(picture, style)
    if request.tool_id == "halloween":
        from jobs.providers.offline_filters import halloween

        halloween(picture)
        return True, {"noteKey": "generation.offline.halloween"}
    if request.tool_id == "analysis":
        from jobs.providers.offline_analysis import measure

        return False, {
            "noteKey": "generation.offline.analysis",
            **measure(_on_white(picture, alpha)),
        }
    from jobs.providers.offline_preview import label_preview

    label = label_preview(picture, request.tool_id)
    if alpha is not None:
        alpha.paste(255, label)
    return True, {"noteKey": "generation.offline.preview", "isPreview": True}


def _beard(picture: Image, style: str) -> _Findings:
    from jobs.providers.offline_beard import draw_beard
    from jobs.providers.offline_regions import NotFound

    try:
        drawn = draw_beard(picture, style)
    except NotFound as missing:
        raise ProviderRefused(_NO_FACE.format(what=missing.what, instead="")) from None
    return {
        "noteKey": "generation.offline.beard",
        "beardStyle": style,
        "beardShare": round(drawn.share, 4),
        "regionFoundBy": drawn.found_by,
    }


def _recolour(request: GenerationRequest, picture: Image) -> _Findings:
    from jobs.providers.colour import parse_hex
    from jobs.providers.offline_regions import NotFound

    note, share_name, module = _RECOLOURS[request.tool_id]
    # A skin tone was kept as a color before.
    given = request.parameters.get("skinTone", request.parameters.get("color"))
    try:
        color = parse_hex(str(given))
    except ValueError:
        raise ProviderRefused(f'{request.tool_id} needs a color like "#8b3a62".') from None
    try:
        painted = module(picture, color, request.mask)
    except NotFound as missing:
        said = _NO_FACE.format(what=missing.what, instead=", or send a mask")
        raise ProviderRefused(said) from None
    return {
        "noteKey": f"generation.offline.{note}",
        "color": str(given).lower(),
        share_name: round(painted.share, 4),
        "regionFoundBy": painted.found_by,
    }


def _hair(picture: Image, color: tuple[int, int, int], mask: bytes | None) -> Any:
    from jobs.providers.offline_hair import HAIR_REACH, recolour_hair

    return _masked(picture, color, mask, HAIR_REACH) if mask else recolour_hair(picture, color)


def _skin(picture: Image, color: tuple[int, int, int], mask: bytes | None) -> Any:
    from jobs.providers.offline_skin import SKIN_REACH, recolour_skin

    return _masked(picture, color, mask, SKIN_REACH) if mask else recolour_skin(picture, color)


def _eyes(picture: Image, color: tuple[int, int, int], mask: bytes | None) -> Any:
    from jobs.providers.offline_eyes import EYES_REACH, recolour_eyes

    return _masked(picture, color, mask, EYES_REACH) if mask else recolour_eyes(picture, color)


# Each recolour: its note, the name of its region's share, and who does it.
_RECOLOURS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "hair-color": ("hairColor", "hairShare", _hair),
    "skin-color": ("skinColor", "skinShare", _skin),
    "eye-color": ("eyeColor", "eyesShare", _eyes),
}


def _masked(picture: Image, color: tuple[int, int, int], mask: bytes, reach: Any) -> Any:
    """The region that a client marked, recoloured."""
    from jobs.providers.offline_paint import Painted, luma_under, paint_mask, region_tones

    marked = _mask(mask)
    if max(marked.histogram()[128:]) == 0:
        raise ProviderRefused("The mask marks nothing. Paint white where the colour goes.")
    stretched = (marked.width * picture.height) / (marked.height * picture.width)
    if abs(math.log(stretched)) > _MASK_STRETCH:
        raise ProviderRefused(
            "The mask has another shape than the photo. Send one with the photo's proportions."
        )
    marked = marked.resize(picture.size)
    painted = paint_mask(picture, marked, region_tones(color, luma_under(picture, marked), reach))
    return Painted(painted / (picture.width * picture.height), "mask")


def _opened(data: bytes) -> Image:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=_BOTH_KINDS)
        return picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")
    except Exception as error:  # damaged bytes raise nearly everything
        raise ProviderFailed("The stored photo could not be read. Upload it again.") from error


def _decode(data: bytes) -> tuple[Image, Image | None]:
    """The photo as RGB, and its alpha if something shows through.

    What cannot be seen gets a colour that neither hair nor skin has, so that it is never taken for
    either; what is half seen keeps its own.
    """
    picture = _opened(data)
    if picture.mode == "RGB":
        return picture, None
    alpha = picture.getchannel("A")
    whole = picture.convert("RGB")
    whole.paste(_NO_HAIR_AND_NO_SKIN, mask=alpha.point(lambda value: 255 if value < 8 else 0))
    return whole, alpha


def _on_white(picture: Image, alpha: Image | None) -> Image:
    from PIL import Image

    if alpha is None:
        return picture
    whole = Image.new("RGB", picture.size, "white")
    whole.paste(picture, mask=alpha)
    return whole


def _mask(data: bytes) -> Image:
    """How much is marked at each place: white, and not see-through."""
    from PIL import ImageChops

    marked = _opened(data)
    if marked.mode == "RGB":
        return marked.convert("L")
    return ImageChops.multiply(marked.convert("RGB").convert("L"), marked.getchannel("A"))


def _encode(picture: Image, alpha: Image | None) -> tuple[str, bytes]:
    picture.info.clear()
    output = io.BytesIO()
    if alpha is not None:
        picture.putalpha(alpha)
        picture.save(output, "PNG", compress_level=4)
        return "image/png", output.getvalue()
    # Full colour resolution: halved, new colours would bleed past the borders of a region.
    picture.save(output, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "image/jpeg", output.getvalue()
