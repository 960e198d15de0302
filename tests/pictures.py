"""Draws the pictures that tests send: a portrait whose regions are known, and hostile files."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Mask = npt.NDArray[np.bool_]

HAIR = (92, 58, 38)
SKIN = (224, 172, 140)
BACKGROUND = (150, 178, 190)
SHIRT = (52, 74, 120)
GPS_TAG, ORIENTATION_TAG, MAKE_TAG = 0x8825, 0x0112, 0x010F


@dataclass(frozen=True)
class Portrait:
    """A drawn head and shoulders. The masks leave out the blurred borders between regions.

    Beside the skin are the eyes, the brows and the lips as well; beside the irises is all else.
    """

    picture: Image.Image
    hair: Mask
    rest: Mask
    skin: Mask
    beside_skin: Mask
    irises: Mask
    beside_irises: Mask


def portrait(
    width: int = 600,
    height: int = 800,
    hair: tuple[int, int, int] = HAIR,
    skin: tuple[int, int, int] = SKIN,
    background: tuple[int, int, int] = BACKGROUND,
) -> Portrait:
    """A head with shaded, streaky hair, lit skin, eyes, brows, lips and a shirt."""
    across, down = width / 600, height / 800

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return left * across, top * down, right * across, bottom * down

    hair_map = Image.new("L", (width, height))
    pen = ImageDraw.Draw(hair_map)
    pen.ellipse(box(150, 110, 450, 470), fill=255)
    pen.rectangle(box(150, 290, 205, 520), fill=255)
    pen.rectangle(box(395, 290, 450, 520), fill=255)
    face_map = Image.new("L", (width, height))
    ImageDraw.Draw(face_map).ellipse(box(190, 200, 410, 520), fill=255)
    body_map = Image.new("L", (width, height))
    ImageDraw.Draw(body_map).ellipse(box(80, 600, 520, 1000), fill=255)
    neck_map = Image.new("L", (width, height))
    ImageDraw.Draw(neck_map).rectangle(box(250, 480, 350, 640), fill=255)

    canvas = Image.fromarray(_shaded(background, width, height, 10))
    canvas.paste(Image.fromarray(_shaded(SHIRT, width, height, 12)), mask=body_map)
    canvas.paste(Image.fromarray(_shaded(skin, width, height, 16)), mask=neck_map)
    canvas.paste(Image.fromarray(_streaked(hair, width, height)), mask=hair_map)
    canvas.paste(Image.fromarray(_shaded(skin, width, height, 16)), mask=face_map)
    shapes = _features((width, height), box)
    for name, color in FEATURE_COLORS.items():
        canvas.paste(color, mask=shapes[name])
    softened = canvas.filter(ImageFilter.GaussianBlur(width / 600))

    features = {name: np.asarray(shape) > 0 for name, shape in shapes.items()}
    in_face, on_neck = np.asarray(face_map) > 0, np.asarray(neck_map) > 0
    is_hair = (np.asarray(hair_map) > 0) & ~in_face
    is_skin = (in_face | on_neck) & ~is_hair
    for name in ("eyes", "brows", "lips"):
        is_skin &= ~features[name]
    border, fine = max(6, round(10 * across)), max(1, round(2 * across))
    return Portrait(
        picture=softened,
        hair=_shrunk(is_hair, border),
        rest=_shrunk(~is_hair, border),
        skin=_shrunk(is_skin & ~features["nose"], border),
        beside_skin=_shrunk(~is_skin, 3 * fine),
        irises=_shrunk(features["irises"] & ~features["pupils"], fine),
        beside_irises=_shrunk(~features["irises"], 3 * fine),
    )


FEATURE_COLORS = {
    "eyes": (240, 238, 232),
    "irises": (70, 100, 60),
    "pupils": (20, 16, 14),
    "brows": (84, 54, 38),
    "lips": (176, 84, 84),
    "nose": (208, 152, 122),
}


def _features(
    size: tuple[int, int], box: Callable[[float, float, float, float], tuple[float, ...]]
) -> dict[str, Image.Image]:
    """The shapes within a face, in the order in which they lie on one another."""
    shapes = {name: Image.new("L", size) for name in FEATURE_COLORS}
    pens = {name: ImageDraw.Draw(shape) for name, shape in shapes.items()}
    for left in (235, 325):
        pens["eyes"].ellipse(box(left, 330, left + 40, 352), fill=255)
        pens["irises"].ellipse(box(left + 10, 331, left + 30, 351), fill=255)
        pens["pupils"].ellipse(box(left + 16, 337, left + 24, 345), fill=255)
        pens["brows"].rectangle(box(left - 4, 308, left + 44, 316), fill=255)
    pens["lips"].ellipse(box(262, 440, 338, 466), fill=255)
    pens["nose"].ellipse(box(288, 380, 312, 412), fill=255)
    return shapes


def _shaded(
    color: tuple[int, int, int], width: int, height: int, depth: float
) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(7)
    light = np.linspace(depth, -depth, height)[:, None] + random.normal(0, 2, (height, width))
    return np.clip(np.array(color) + light[..., None], 0, 255).astype(np.uint8)


def _streaked(color: tuple[int, int, int], width: int, height: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(11)
    strands = random.normal(1.0, 0.16, width)[None, :]
    shine = 1 + 0.35 * np.exp(-(((np.arange(height) / height - 0.2) / 0.05) ** 2))[:, None]
    return np.clip(np.array(color) * (strands * shine)[..., None], 0, 255).astype(np.uint8)


def _shrunk(mask: Mask, by_pixels: int) -> Mask:
    picture = Image.fromarray((mask * 255).astype(np.uint8))
    size = 2 * by_pixels + 1
    summed = picture.filter(ImageFilter.BoxBlur(by_pixels)) if size > 1 else picture
    shrunk: Mask = np.asarray(summed) >= 255
    return shrunk


def as_jpeg(picture: Image.Image, quality: int = 92, **options: object) -> bytes:
    """The picture as a JPEG file."""
    output = io.BytesIO()
    picture.convert("RGB").save(output, "JPEG", quality=quality, **options)
    return output.getvalue()


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of another kind."""
    output = io.BytesIO()
    picture.save(output, kind, **options)
    return output.getvalue()


def jpeg_with_exif(picture: Image.Image, orientation: int = 1) -> bytes:
    """A JPEG that says who made it, where, and which way is up."""
    exif = Image.Exif()
    exif[MAKE_TAG] = "Canary Camera"
    exif[ORIENTATION_TAG] = orientation
    exif.get_ifd(GPS_TAG)[1] = "N"
    exif.get_ifd(GPS_TAG)[2] = (52.0, 31.0, 12.0)
    return as_jpeg(picture, exif=exif, comment=b"canary comment")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(pixels: npt.NDArray[np.uint16]) -> bytes:
    """A PNG in colour with 16 bits a channel, with alpha when there is a fourth one."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    kind = 6 if channels == 4 else 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bomb_png(width: int = 13_304, height: int = 13_304) -> bytes:
    """177 megapixels of black in about as many kilobytes."""
    deflate = zlib.compressobj(9)
    row = b"\0" * (1 + width)
    body = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def bomb_webp_header(side: int = 16_384) -> bytes:
    """The beginning of a WebP file that announces a canvas of 268 megapixels."""
    canvas = b"\0\0\0\0" + (side - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + b"VP8X" + struct.pack("<I", len(canvas)) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def text_as_jpeg() -> bytes:
    """What somebody gets who renames a text file."""
    return b"Dear diary, this is not a photo.\n"


def svg() -> bytes:
    """A drawing that could carry a script."""
    return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'


def zip_polyglot(picture: Image.Image) -> bytes:
    """A sound JPEG that is also a sound archive."""
    archive = io.BytesIO(as_jpeg(picture))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("evil.class", b"\xca\xfe\xba\xbe")
    return archive.getvalue()
