"""The photos that people send, made here, each with what becomes of it: one table for code and docs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms

from tests import pictures

NOT_A_PHOTO = "This is not a photo we can read."
DAMAGED = "The photo is damaged or incomplete."
TOO_LARGE = "Send a smaller one."
OTHER_TYPE = "Call createUpload again"
JPEG, PNG = "READY as JPEG", "READY as PNG"
SIZE = (48, 64)


@dataclass(frozen=True)
class Sent:
    """One kind of file: its row in the table, how to make some, and the type it is announced as.

    What comes out is `alike` when it looks as the portrait does.
    """

    name: str
    note: str
    outcome: str
    make: Callable[[], list[bytes]]
    announced: str | None = "image/jpeg"
    size: tuple[int, int] = SIZE
    alike: bool = True


@cache
def photo() -> Image.Image:
    """A small portrait."""
    return pictures.portrait(*SIZE).picture


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG file."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with more segments behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """A JPEG without its first segment of a kind."""
    start = jpeg.index(bytes((0xFF, marker)))
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def jpeg(**options: object) -> bytes:
    """The photo as a JPEG."""
    return pictures.as_jpeg(photo(), **options)  # type: ignore[arg-type]


def png(picture: Image.Image | None = None, **options: object) -> bytes:
    """The photo, or another picture, as a PNG."""
    return pictures.encoded(picture or photo(), "PNG", **options)


def webp(**options: object) -> bytes:
    """The photo as a WebP."""
    return pictures.encoded(photo(), "WEBP", **options)


def with_riff_chunks(data: bytes, flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP with more chunks behind its picture, in the extended form that they need."""
    canvas = bytes((flags, 0, 0, 0))
    canvas += b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas + data[12:]
    for kind, content in chunks:
        body += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def turned(orientation: int) -> bytes:
    """The photo stored turned or mirrored, and the tag that says how to stand it up."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = photo().transpose(undo[orientation]) if orientation in undo else photo()
    return pictures.jpeg_with_exif(stored, orientation)


def several_pictures() -> list[bytes]:
    """JPEG files with a second picture, one with a broken index of them, one with a bare one."""
    whole = pictures.encoded(
        photo(), "MPO", save_all=True, append_images=[photo().resize((12, 16))]
    )
    index = whole.index(b"MPF\0")
    broken = whole[: index + 8] + b"\xff" * 24 + whole[index + 32 :]
    cut = whole[: whole.rindex(b"\xff\xd8\xff") + 40]
    return [whole, broken, cut, jpeg() + jpeg()]


def profile() -> bytes:
    """The sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """A profile whose red and green are exchanged."""
    swapped = profile()
    red, green = swapped.find(b"rXYZ"), swapped.find(b"gXYZ")
    return swapped[:red] + b"gXYZ" + swapped[red + 4 : green] + b"rXYZ" + swapped[green + 4 :]


def bad_profiles() -> list[bytes]:
    """Profiles that are noise, cut off, of another colour space, or in a broken chunk."""
    noise, cut = b"\x93" * 500, profile()[:200]
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    incomplete = segment(0xE2, b"ICC_PROFILE\0\x01\x09" + profile())
    return [
        *(jpeg(icc_profile=bad) for bad in (noise, cut, other, b"x")),
        with_segments(jpeg(), incomplete),
        png(icc_profile=noise),
        png(icc_profile=other),
        with_chunks(png(), pictures.chunk(b"iCCP", b"no zlib\0\0" + noise)),
        with_chunks(png(), pictures.chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(70_000_000)))),
        webp(icc_profile=noise),
        pictures.encoded(photo().convert("CMYK"), "JPEG", icc_profile=profile()),
        png(photo().convert("L"), icc_profile=profile()),
    ]


def bad_exif() -> list[bytes]:
    """EXIF that is noise, cut off, circular, or gives an orientation that there is none of."""
    good = pictures.jpeg_with_exif(photo(), 1)
    start = good.index(b"Exif\0\0")
    circular = b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08"
    wrong = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"
    text = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04six\0\0\0\0\0"
    bodies = (b"\xff" * 300, good[start + 6 : start + 30], circular, wrong, text, b"")
    return [
        *(with_segments(jpeg(), segment(0xE1, b"Exif\0\0" + body)) for body in bodies),
        *(with_chunks(png(), pictures.chunk(b"eXIf", body)) for body in bodies),
        with_chunks(png(), pictures.chunk(b"tEXt", b"Raw profile type exif\0\nexif\nzz\nzz")),
        *(with_riff_chunks(webp(), 0x08, (b"EXIF", body)) for body in bodies if body),
    ]


def bad_xmp() -> list[bytes]:
    """XMP that is noise, no XML, or too long."""
    noise, name = b"\xff\xfe\0" * 100, b"XML:com.adobe.xmp"
    long = zlib.compress(b"<x:xmpmeta>" + bytes(2_000_000))
    return [
        with_segments(jpeg(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + noise)),
        with_segments(jpeg(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta")),
        with_chunks(png(), pictures.chunk(b"iTXt", name + b"\0\0\0\0\0" + noise)),
        with_chunks(png(), pictures.chunk(b"iTXt", name + b"\0\1\0\0\0" + long)),
        with_chunks(png(), pictures.chunk(b"iTXt", name)),
        with_riff_chunks(webp(), 0x04, (b"XMP ", noise)),
    ]


def cut_off_segments() -> list[bytes]:
    """Segments of JFIF, Adobe and others that end behind their names."""
    names = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xED: b"Photoshop 3.0\0", 0xEE: b"Adobe"}
    return [with_segments(jpeg(), segment(marker, name)) for marker, name in names.items()]


def comments() -> list[bytes]:
    """Markup, code and other formats' signs where people and programs put their notes."""
    words = (
        b"<html><script>alert(1)</script>",
        b"<?php",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\xff\0" * 9,
    )
    return [
        *(jpeg(comment=word) for word in words),
        *(with_chunks(png(), pictures.chunk(b"tEXt", b"Comment\0" + word)) for word in words),
        with_chunks(
            png(), pictures.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000)))
        ),
        with_chunks(png(), pictures.chunk(b"tEXt", b"Comment\0wrong sum")[:-4] + b"\0\0\0\0"),
        with_riff_chunks(webp(), 0x04, (b"XMP ", b"<html><script>")),
    ]


def trailing_bytes() -> list[bytes]:
    """Something behind the end of the picture: text, zeros, an archive, a video's beginning."""
    behind = (b"<html><script>", bytes(1000), b"\0\0\0\x18ftypmp42" + b"\x11" * 500)
    return [
        *(data + more for data in (jpeg(), png(), webp()) for more in behind),
        pictures.zip_polyglot(photo()),
    ]


def cmyk() -> list[bytes]:
    """Four colours for print, with and without Adobe's marker."""
    data = pictures.encoded(photo().convert("CMYK"), "JPEG")
    return [data, without_segment(data, 0xEE)]


def sixteen_bits() -> list[bytes]:
    """Grey and colour in 16 bits, grey with a see-through value that no pixel has."""
    plain = png(Image.fromarray(np.asarray(grey()).astype(np.uint16) * 257))
    return [
        plain,
        with_chunks(plain, pictures.chunk(b"tRNS", b"\0\1")),
        pictures.raw_png(np.asarray(photo()).astype(np.uint16) * 257),
    ]


def see_through() -> Image.Image:
    """The photo, fading out downward."""
    picture = photo().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(SIZE))
    return picture


def alpha() -> list[bytes]:
    """See-through in each way that there is."""
    palette = photo().convert("P")
    sixteen_bits = np.full((64, 48), 40_000, np.uint16)
    sixteen_bits[:9] = 1
    return [
        png(see_through()),
        png(see_through().convert("LA")),
        png(palette, transparency=palette.getpixel((0, 0))),
        png(photo(), transparency=photo().getpixel((0, 0))),
        with_chunks(png(Image.fromarray(sixteen_bits)), pictures.chunk(b"tRNS", b"\0\1")),
        pictures.raw_png(np.asarray(see_through()).astype(np.uint16) * 257),
    ]


def animated() -> list[bytes]:
    """Pictures that move: of each the first."""
    others = [Image.new("RGB", SIZE, color) for color in ("red", "blue")]
    moving = {"save_all": True, "append_images": others}
    return [png(**moving), png(default_image=True, **moving), webp(**moving)]


def truncated() -> list[bytes]:
    """Files that end too early, at a third and at two thirds."""
    whole = (jpeg(), jpeg(progressive=True), png(), webp(), webp(lossless=True))
    return [data[: len(data) * part // 3] for data in whole for part in (1, 2)]


def without_ends() -> list[bytes]:
    """JPEG files that lack their last marker and no pixel: baseline, progressive, of several scans."""
    whole = (jpeg(), jpeg(progressive=True), jpeg(restart_marker_rows=1))
    return [
        *(data[: -len(lost)] for data in whole for lost in (b"\xd9", b"\xff\xd9")),
        turned(6)[:-2],
        with_segments(jpeg(), segment(0xE0, b"JFIF\0"))[:-2],
    ]


def cut_within_the_last_rows() -> list[bytes]:
    """JPEG files that end a few bytes too early, with a marker behind them or none."""
    whole = (jpeg(), jpeg(progressive=True))
    return [data[:-lost] for data in whole for lost in (6, 12, 30)]


def short_transparency() -> list[bytes]:
    """PNG files whose see-through colour has too few bytes to be one."""
    return [
        with_chunks(png(picture), pictures.chunk(b"tRNS", bytes(size)))
        for picture, sizes in ((photo(), (0, 1, 5)), (grey(), (0, 1)))
        for size in sizes
    ]


def unpadded_webp() -> list[bytes]:
    """A WebP whose only chunk has an odd number of bytes, without the one that makes it even."""
    files = (webp(lossless=True, quality=quality) for quality in range(100))
    data = next(data for data in files if data[16] % 2)
    return [data[:4] + struct.pack("<I", len(data) - 9) + data[8:-1], data[:-1]]


def damaged() -> list[bytes]:
    """Files whose picture itself is broken, or missing."""
    return [
        png()[:60] + bytes(200) + png()[260:],
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
        jpeg()[:3],
        b"RIFF\x10\0\0\0WEBPVP8 ",
    ]


def other_files() -> list[bytes]:
    """What is no photo at all, or in a format that is not taken."""
    moving = {"save_all": True, "append_images": [Image.new("RGB", SIZE)]}
    return [
        pictures.text_as_jpeg(),
        pictures.svg(),
        b"%PDF-1.7 " + jpeg(),
        b"PK\x03\x04" + bytes(99),
        *(pictures.encoded(photo(), kind) for kind in ("GIF", "BMP", "TIFF")),
        pictures.encoded(photo(), "GIF", **moving),
    ]


def profiled() -> list[bytes]:
    """Files whose profile exchanges red and green."""
    palette = photo().convert("P", palette=Image.Palette.ADAPTIVE)
    return [
        jpeg(icc_profile=swapped_profile()),
        png(icc_profile=swapped_profile()),
        png(palette, icc_profile=swapped_profile()),
        webp(icc_profile=swapped_profile(), quality=95),
    ]


def large_photos() -> list[bytes]:
    """40 megapixels in forms that take much memory: turned, progressive, with a profile; animated."""
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    options = {"progressive": True, "subsampling": 0, "icc_profile": profile(), "exif": exif}
    moving = {"save_all": True, "append_images": [Image.new("RGB", (8000, 5000))], "method": 0}
    return [
        pictures.encoded(Image.new("RGB", (5000, 8000)), "JPEG", **options),
        pictures.encoded(Image.new("RGB", (8000, 5000), "red"), "WEBP", **moving),
    ]


def grey() -> Image.Image:
    """The photo in greys."""
    return photo().convert("L")


def each(*kinds: str) -> list[bytes]:
    """One red pixel in each kind of file."""
    return [pictures.encoded(Image.new("RGB", (1, 1), "red"), kind) for kind in kinds]


SENT = [
    Sent("JPEG", "baseline or progressive", JPEG, lambda: [jpeg(), jpeg(progressive=True)]),
    Sent("JPEG with EXIF orientation 1 to 8", "upright", JPEG,
         lambda: [turned(n) for n in range(1, 9)]),
    Sent("JPEG with more pictures (MPO)", "the first", JPEG, several_pictures),
    Sent("JPEG in CMYK", "with Adobe's marker or without", JPEG, cmyk),
    Sent("WebP", "lossy or lossless", JPEG, lambda: [webp(), webp(lossless=True)], "image/webp"),
    Sent("PNG in 16 bits", "grey or in colour", JPEG, sixteen_bits, "image/png"),
    Sent("PNG with a palette", "without transparency", JPEG,
         lambda: [png(photo().convert("P"))], "image/png"),
    Sent("PNG, grey or black and white", "", JPEG,
         lambda: [png(grey()), png(photo().convert("1"))], "image/png"),
    Sent("JPEG, grey", "", JPEG, lambda: [pictures.encoded(grey(), "JPEG")]),
    Sent("PNG with alpha", "in colour, grey, a palette or 16 bits", PNG, alpha, "image/png",
         alike=False),
    Sent("WebP with alpha", "", PNG, lambda: [pictures.encoded(see_through(), "WEBP")],
         "image/webp", alike=False),
    Sent("PNG with alpha that hides nothing", "", JPEG,
         lambda: [png(photo().convert("RGBA"))], "image/png"),
    Sent("Animated PNG or WebP", "the first picture", JPEG, animated, None),
    Sent("Colour profile that can be read", "in sRGB's colours", JPEG, profiled, None, alike=False),
    Sent("Colour profile that cannot be read", "taken as sRGB", JPEG, bad_profiles, None),
    Sent("Broken EXIF", "as it lies", JPEG, bad_exif, None),
    Sent("Broken XMP", "", JPEG, bad_xmp, None),
    Sent("JPEG with segments that are cut off", "", JPEG, cut_off_segments, None),
    Sent("Comments of any kind", "markup, code and broken ones too", JPEG, comments, None),
    Sent("Bytes behind the picture", "text, a video, an archive", JPEG, trailing_bytes, None),
    Sent("JPEG without its end marker", "no pixel lost", JPEG, without_ends),
    Sent("PNG with a see-through colour that is cut off", "left out", JPEG, short_transparency,
         "image/png"),
    Sent("WebP without its last byte of padding", "", JPEG, unpadded_webp, "image/webp"),
    Sent("1 × 1", "", JPEG, lambda: each("JPEG", "PNG", "WEBP"), None, size=(1, 1), alike=False),
    Sent("40 megapixels", "", JPEG, large_photos, None, size=(8000, 5000), alike=False),
    Sent("More than 40 megapixels", "refused by its header", TOO_LARGE,
         lambda: [pictures.bomb_png(), pictures.bomb_webp_header()], None),
    Sent("A side of more than 65,500 pixels", "", TOO_LARGE,
         lambda: [png(Image.new("L", (70_000, 2)))], "image/png"),
    Sent("Truncated JPEG, PNG or WebP", "", DAMAGED, truncated, None),
    Sent("JPEG that lacks the last of its pixels", "", DAMAGED, cut_within_the_last_rows),
    Sent("Damaged JPEG, PNG or WebP", "", DAMAGED, damaged, None),
    Sent("GIF, BMP, TIFF, PDF, SVG, ZIP, text", "", NOT_A_PHOTO, other_files),
    Sent("Another type than announced", "", OTHER_TYPE, lambda: [png(), webp()]),
]  # fmt: skip


def reopened(data: bytes) -> Image.Image:
    """A picture that was written."""
    return Image.open(io.BytesIO(data))
