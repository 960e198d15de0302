"""The child process for one photo: decodes it, encodes it anew, and writes it to its output."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from db.core.errors import DomainError, ErrorCode
from db.files.images import (
    DAMAGED,
    SMALL_LIMIT_PIXELS,
    InspectedImage,
    invalid_image,
    packed_pictures,
    too_costly,
)
from db.files.picture_files import with_ends, without_metadata

# Longer sides cannot be written as JPEG.
LONGEST_SIDE_PIXELS = 65_500
JPEG_QUALITY = 92
# What a picture carries that was made on a plan which adds a watermark (from Sparky).
WATERMARK = Path(__file__).with_name("watermark.png")
WATERMARK_SHARE, WATERMARK_PIXELS = 0.18, 150
WATERMARK_PADDING, WATERMARK_OPACITY = 0.04, 0.75
MARKED_QUALITY = 75
# A lossy photo with alpha grows tenfold as a PNG; the server holds what is written in memory.
WRITTEN_LIMIT_BYTES = 40_000_000

_STRIP_PIXELS = 64
_NOT_A_PHOTO = "This is not a photo we can read. Send a JPEG, PNG or WebP photo."
_ORIENTATION_TAG = 0x0112
_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The decoder decides what a file is: a JPEG that carries more pictures is a JPEG, its first counts.
_DECODERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
}


def inspect_image(
    data: bytes, limit_pixels: int, announced_type: str | None = None
) -> InspectedImage:
    """Decode and re-encode one photo. Runs for up to seconds and takes much memory.

    Nothing but the pixels decides: profile, EXIF, comments and what follows the picture are used
    where they can be read, and are gone from the result.
    """
    if not data:
        raise DomainError(ErrorCode.EMPTY_FILE, "The file is empty. Send the photo's bytes.")
    media_type = _media_type(data)
    if media_type is None:
        raise invalid_image(_NOT_A_PHOTO)
    try:
        plain = _decoded(data, media_type, limit_pixels, announced_type)
        content_type, encoded = _encode(plain)
    except (DomainError, MemoryError):
        raise
    except Exception as error:  # hostile bytes raise nearly everything
        raise invalid_image(DAMAGED) from error
    return InspectedImage(
        width_pixels=plain.width,
        height_pixels=plain.height,
        content_type=content_type,
        data=encoded,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def resized_image(data: bytes, width_pixels: int) -> bytes:
    """A stored picture at most so wide, in its own format; the same bytes if it is no wider."""
    stored = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])
    kind = stored.format
    if stored.width <= width_pixels:
        return data
    height_pixels = max(1, round(stored.height * width_pixels / stored.width))
    stored.draft("RGB", (width_pixels * 2, height_pixels * 2))
    picture: Image.Image = stored
    if picture.mode not in {"RGB", "RGBA", "L"}:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    smaller = picture.resize((width_pixels, height_pixels), Image.Resampling.LANCZOS)
    smaller.info.clear()
    output = io.BytesIO()
    smaller.save(output, kind, **({"quality": JPEG_QUALITY} if kind != "PNG" else {}))
    return output.getvalue()


def marked_image(data: bytes) -> bytes:
    """A stored picture with the watermark in its lower right corner, in its own format.

    Its width is a share of the picture's and has a bound; so has its distance from the edges.
    """
    stored = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])
    kind = stored.format
    picture = stored.convert("RGBA" if stored.has_transparency_data else "RGB")
    picture.info.clear()
    mark = Image.open(WATERMARK).convert("RGBA")
    width = max(1, min(WATERMARK_PIXELS, round(picture.width * WATERMARK_SHARE)))
    height = max(1, round(mark.height * width / mark.width))
    mark = mark.resize((width, height), Image.Resampling.LANCZOS)
    mark.putalpha(mark.getchannel("A").point(lambda alpha: round(alpha * WATERMARK_OPACITY)))
    padding = round(picture.width * WATERMARK_PADDING)
    place = (picture.width - padding - width, picture.height - padding - height)
    picture.paste(mark, (max(0, place[0]), max(0, place[1])), mark)
    output = io.BytesIO()
    picture.save(output, kind, **({"quality": MARKED_QUALITY} if kind != "PNG" else {}))
    return output.getvalue()


def shrunk_image(data: bytes, longest_pixels: int, limit_pixels: int) -> bytes:
    """A stored picture as a JPEG whose sides are no longer; what is see-through is white."""
    sound = inspect_image(data, limit_pixels)
    picture: Image.Image = Image.open(io.BytesIO(sound.data), formats=["JPEG", "PNG"])
    picture.draft("RGB", (longest_pixels * 2, longest_pixels * 2))
    if picture.mode == "RGBA":
        opaque = Image.new("RGB", picture.size, "white")
        opaque.paste(picture, mask=picture.getchannel("A"))
        picture = opaque
    picture.thumbnail((longest_pixels, longest_pixels), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    picture.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()


def small_pictures(data: bytes, longest_pixels: int, limit_pixels: int) -> tuple[bytes, bytes]:
    """Many pictures as JPEGs whose sides are no longer: what became of each, and the new bytes.

    Before each stands its length. What became of it is its new size, or why it is refused.
    """
    outcomes: list[Any] = []
    made: list[bytes] = []
    for picture in packed_pictures(data):
        try:
            small = shrunk_image(picture, longest_pixels, limit_pixels)
        except DomainError as refusal:
            outcomes.append({"code": refusal.code, "message": refusal.message})
        else:
            outcomes.append(len(small))
            made.append(small)
    return json.dumps({"pictures": outcomes}).encode() + b"\n", b"".join(made)


def _media_type(data: bytes) -> str | None:
    """Which decoder is to try, by the signature that its format begins with."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _decoded(
    data: bytes, media_type: str, limit_pixels: int, announced_type: str | None
) -> Image.Image:
    """The photo as 8-bit RGB or RGBA in sRGB, upright; without metadata that stops its decoder."""
    try:
        return _whole(data, media_type, limit_pixels, announced_type)
    except (DomainError, MemoryError):
        raise
    except Exception:  # broken metadata raises as much as broken pixels do
        return _whole(without_metadata(data), media_type, limit_pixels, announced_type)


def _whole(
    data: bytes, media_type: str, limit_pixels: int, announced_type: str | None
) -> Image.Image:
    """The photo's pixels, also those of a JPEG that lacks nothing but its end."""
    try:
        return _pixels(data, media_type, limit_pixels, announced_type)
    except OSError:
        if (ended := with_ends(data)) is None:
            raise
    first, second = ended
    expected = _digest(_pixels(second, media_type, limit_pixels, announced_type))
    picture = _pixels(first, media_type, limit_pixels, announced_type)
    if _digest(picture) != expected:
        raise invalid_image(DAMAGED)
    return picture


def _digest(picture: Image.Image) -> bytes:
    """What two pictures of the same pixels have in common, in little memory."""
    digest = hashlib.sha256()
    for top in range(0, picture.height, _STRIP_PIXELS):
        strip = picture.crop((0, top, picture.width, min(top + _STRIP_PIXELS, picture.height)))
        digest.update(strip.tobytes())
    return digest.digest()


def _pixels(
    data: bytes, media_type: str, limit_pixels: int, announced_type: str | None
) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # our own limit refuses instead of warning
    if media_type == "image/webp":  # its decoder allocates the whole canvas when it is opened
        _check_size(*_webp_size(data), limit_pixels)
    picture: Image.Image = _DECODERS[media_type](io.BytesIO(data))
    _check_size(*picture.size, limit_pixels)
    _check_type(media_type, announced_type)
    picture.load()
    # One name for all steps: each frees what the one before it made.
    orientation, profile = _orientation(picture), picture.info.get("icc_profile")
    picture = _in_eight_bits(picture)
    if profile:
        picture = _in_srgb(picture, profile)
    picture = picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")
    return picture.transpose(_UPRIGHT_BY[orientation]) if orientation in _UPRIGHT_BY else picture


def _check_type(found: str, announced_type: str | None) -> None:
    if announced_type not in {None, found}:
        raise invalid_image(
            f"This is {found}, but {announced_type} was announced. "
            f"Call createUpload again with contentType {found}."
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as the first chunk of a WebP file says."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10 or chunk not in {b"VP8 ", b"VP8L", b"VP8X"}:
        raise invalid_image(DAMAGED)
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(
        body[8:10], "little"
    ) & 0x3FFF


def _check_size(width: int, height: int, limit_pixels: int) -> None:
    if width * height > limit_pixels:
        raise invalid_image(
            f"The photo is {width} × {height} pixels ({width * height / 1e6:.1f} megapixels); "
            f"at most {limit_pixels / 1e6:g} megapixels are accepted. Send a smaller one."
        )
    if max(width, height) > LONGEST_SIDE_PIXELS:
        raise invalid_image(
            f"The photo is {width} × {height} pixels; "
            f"a side may have at most {LONGEST_SIDE_PIXELS}. Send a smaller one."
        )


def _orientation(picture: Image.Image) -> int | None:
    """How the photo is turned, as its EXIF or XMP says."""
    try:
        return int(picture.getexif()[_ORIENTATION_TAG])
    except Exception:  # none, or none that can be read: as it lies
        return None


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """The picture as L, RGB or CMYK, or as RGBA where something shows through."""
    if picture.mode.startswith("I"):
        picture = _of_sixteen_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert({"1": "L", "P": "RGB"}.get(picture.mode, picture.mode))
    with_alpha = picture.convert("RGBA")
    opaque = with_alpha.getchannel("A").getextrema()[0] == 255
    return with_alpha.convert("RGB") if opaque else with_alpha


def _of_sixteen_bits(picture: Image.Image) -> Image.Image:
    """16 bits of grey in 8, with the grey that is see-through as alpha."""
    hidden = picture.info.pop("transparency", None)
    grey = picture.point(lambda value: value / 256).convert("L")
    if hidden is None:
        return grey
    alpha = picture.convert("I").point([0 if n == hidden else 255 for n in range(1 << 16)], "L")
    return Image.merge("LA", (grey, alpha))


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB; as it is when its profile cannot be read or is for other pictures.

    Without this, dropping the profile would change the colours of most phone photos.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, source, target, outputMode=mode) or picture
    except MemoryError:
        raise
    except Exception:
        return picture


def _encode(picture: Image.Image) -> tuple[str, bytes]:
    picture.info.clear()
    output = _BoundedOutput()
    if picture.mode == "RGBA":
        picture.save(output, "PNG", compress_level=4)
        return "image/png", output.getvalue()
    picture.save(output, "JPEG", quality=JPEG_QUALITY)
    return "image/jpeg", output.getvalue()


class _BoundedOutput(io.BytesIO):
    """What is written, until it is too much to keep."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > WRITTEN_LIMIT_BYTES:
            raise invalid_image(
                f"The photo takes more than {WRITTEN_LIMIT_BYTES / 1e6:.0f} MB once it is written "
                "without loss, as alpha needs. Send a smaller one, or one that is not see-through."
            )
        return super().write(data)


def answer(data: bytes, limit_pixels: int, task: str, argument: str) -> tuple[bytes, bytes]:
    """One line of JSON, and the new bytes."""
    if task == "resize":
        return b"{}\n", resized_image(data, int(argument))
    if task == "mark":
        return b"{}\n", marked_image(data)
    if task == "small":
        return small_pictures(data, int(argument), min(limit_pixels, SMALL_LIMIT_PIXELS))
    try:
        if task == "shrink":
            return b"{}\n", shrunk_image(data, int(argument), limit_pixels)
        image = inspect_image(data, limit_pixels, argument or None)
    except DomainError as refusal:
        return json.dumps({"code": refusal.code, "message": refusal.message}).encode() + b"\n", b""
    head = asdict(image)
    body: bytes = head.pop("data")
    return json.dumps(head).encode() + b"\n", body


def limit_this_process(memory_bytes: int, cpu_seconds: int) -> None:
    """What the operating system holds this process to."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        # At the first bound the process is told why it ends, at the second it is killed.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Read a photo from the input, and answer."""
    limit_pixels, memory_bytes, cpu_seconds = map(int, sys.argv[1:4])
    limit_this_process(memory_bytes, cpu_seconds)
    try:
        head, body = answer(sys.stdin.buffer.read(), limit_pixels, sys.argv[4], sys.argv[5])
    except MemoryError:
        refusal = too_costly(f"{memory_bytes / 1e6:.0f} MB of memory")
        head, body = json.dumps({"code": refusal.code, "message": refusal.message}).encode(), b""
    sys.stdout.buffer.write(head)
    sys.stdout.buffer.write(body)


if __name__ == "__main__":
    main()
