"""Only sound photos pass, upright and without metadata; bombs cost little time and memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image, ImageCms

from db.core.errors import DomainError, ErrorCode
from db.core.fair_queue import Asker
from db.files.decoding import inspect_image
from db.files.images import ImageWorker, InspectedImage
from tests import pictures

LIMIT_PIXELS = 40_000_000


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return pictures.portrait(300, 400).picture


def opened(image: InspectedImage) -> Image.Image:
    return Image.open(io.BytesIO(image.data))


def refusal_of(data: bytes, limit_pixels: int = LIMIT_PIXELS) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        inspect_image(data, limit_pixels)
    return refusal.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_kinds_come_out_as_jpeg_and_look_the_same(photo: Image.Image, kind: str) -> None:
    data = pictures.encoded(photo, kind)
    image = inspect_image(data, LIMIT_PIXELS)
    assert (image.width_pixels, image.height_pixels) == photo.size == opened(image).size
    assert image.content_type == "image/jpeg"
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    away = np.asarray(opened(image)).astype(float) - np.asarray(photo)
    assert np.abs(away).mean() < 4


def test_exif_comment_and_place_are_gone(photo: Image.Image) -> None:
    data = pictures.jpeg_with_exif(photo)
    assert b"Canary" in data
    image = inspect_image(data, LIMIT_PIXELS)
    assert b"anary" not in image.data
    assert not opened(image).getexif()
    assert set(opened(image).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photo_stands_upright(orientation: int) -> None:
    upright = Image.new("RGB", (64, 32), "blue")
    upright.paste("red", (0, 0, 16, 16))  # the upper left corner
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    image = inspect_image(pictures.jpeg_with_exif(stored, orientation), LIMIT_PIXELS)
    assert (image.width_pixels, image.height_pixels) == (64, 32)
    pixels = np.asarray(opened(image)).astype(int)
    assert pixels[5, 5, 0] > 200
    assert pixels[5, 58, 2] > 200
    assert pixels[26, 5, 2] > 200


def test_what_shows_through_stays_so(photo: Image.Image) -> None:
    see_through = photo.convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(photo.size))
    image = inspect_image(pictures.encoded(see_through, "PNG", pnginfo=None), LIMIT_PIXELS)
    assert image.content_type == "image/png"
    assert opened(image).mode == "RGBA"
    assert np.array_equal(np.asarray(opened(image)), np.asarray(see_through))


def test_a_full_alpha_channel_is_none(photo: Image.Image) -> None:
    data = pictures.encoded(photo.convert("RGBA"), "PNG")
    assert inspect_image(data, LIMIT_PIXELS).content_type == "image/jpeg"


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "I;16", "CMYK"])
def test_every_usual_pixel_format_is_read(mode: str) -> None:
    grey = Image.new("L", (40, 30), 128)
    picture = (
        Image.fromarray(np.full((30, 40), 128 * 257, np.uint16))
        if mode == "I;16"
        else grey.convert("RGB").convert(mode)
        if mode in {"P", "CMYK"}
        else grey.convert(mode)
    )
    data = pictures.encoded(picture, "JPEG" if mode == "CMYK" else "PNG")
    image = inspect_image(data, LIMIT_PIXELS)
    assert opened(image).mode == "RGB"
    if mode != "1":
        assert abs(float(np.asarray(opened(image)).mean()) - 128) < 4


def test_colours_of_a_profile_are_kept_when_the_profile_goes() -> None:
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A profile whose red and green are exchanged: dropped unread, the picture would turn green.
    red, green = swapped.find(b"rXYZ"), swapped.find(b"gXYZ")
    swapped = swapped[:red] + b"gXYZ" + swapped[red + 4 : green] + b"rXYZ" + swapped[green + 4 :]
    data = pictures.encoded(Image.new("RGB", (32, 32), (0, 200, 0)), "PNG", icc_profile=swapped)
    image = inspect_image(data, LIMIT_PIXELS)
    pixel = np.asarray(opened(image))[16, 16]
    assert pixel[0] > 150 > 60 > pixel[1]
    assert "icc_profile" not in opened(image).info


def test_an_empty_file_is_named_so() -> None:
    assert refusal_of(b"").code == ErrorCode.EMPTY_FILE


def hostile(name: str) -> bytes:
    photo = pictures.portrait(120, 160).picture
    jpeg, png = pictures.as_jpeg(photo), pictures.encoded(photo, "PNG")
    return {
        "text": pictures.text_as_jpeg(),
        "svg": pictures.svg(),
        "gif": pictures.encoded(photo, "GIF"),
        "bmp": pictures.encoded(photo, "BMP"),
        "tiff": pictures.encoded(photo, "TIFF"),
        "truncated jpeg": jpeg[: len(jpeg) // 2],
        "truncated png": png[: len(png) // 2],
        "truncated webp": pictures.encoded(photo, "WEBP")[:600],
        "webp header alone": b"RIFF\x10\0\0\0WEBPVP8 ",
        "jpeg header alone": jpeg[:3],
        "damaged png": png[:60] + bytes(200) + png[260:],
        "pdf before a photo": b"%PDF-1.7\n" + jpeg,
        "random after a magic number": b"\x89PNG\r\n\x1a\n" + hashlib.sha512(b"x").digest() * 99,
    }[name]


HOSTILE = [
    "text", "svg", "gif", "bmp", "tiff", "truncated jpeg", "truncated png", "truncated webp",
    "webp header alone", "jpeg header alone", "damaged png", "pdf before a photo", "random after a magic number",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_sound_photo_is_refused(name: str) -> None:
    refusal = refusal_of(hostile(name))
    assert refusal.code == ErrorCode.INVALID_IMAGE
    assert "JPEG, PNG or WebP" in refusal.message


def test_a_bomb_is_refused_by_its_header_with_its_size() -> None:
    data = pictures.bomb_png()
    assert len(data) < 200_000
    started = time.perf_counter()
    refusal = refusal_of(data)
    assert time.perf_counter() - started < 1
    assert refusal.code == ErrorCode.INVALID_IMAGE
    assert "13304 × 13304" in refusal.message
    assert "at most 40 megapixels" in refusal.message


def test_a_webp_bomb_is_refused_before_its_canvas_is_made() -> None:
    before = psutil.Process().memory_info().vms
    assert "16384 × 16384" in refusal_of(pictures.bomb_webp_header()).message
    assert psutil.Process().memory_info().vms - before < 100_000_000


def test_a_webp_says_its_size_in_each_of_its_forms(photo: Image.Image) -> None:
    forms = [
        pictures.encoded(photo, "WEBP"),
        pictures.encoded(photo, "WEBP", lossless=True),
        pictures.encoded(photo, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    ]
    assert {form[12:16] for form in forms} == {b"VP8 ", b"VP8L", b"VP8X"}
    for form in forms:
        assert "300 × 400" in refusal_of(form, limit_pixels=300 * 400 - 1).message
        assert inspect_image(form, limit_pixels=300 * 400).width_pixels == 300


def test_a_side_that_jpeg_cannot_hold_is_refused() -> None:
    data = pictures.encoded(Image.new("L", (70_000, 2)), "PNG")
    assert "65500" in refusal_of(data).message


async def test_the_worker_answers_as_the_inspection_does(photo: Image.Image) -> None:
    data = pictures.jpeg_with_exif(photo, orientation=6)
    worker = ImageWorker(LIMIT_PIXELS)
    assert await worker.inspect(data) == inspect_image(data, LIMIT_PIXELS)
    with pytest.raises(DomainError) as refusal:
        await worker.inspect(pictures.text_as_jpeg())
    assert refusal.value.code == ErrorCode.INVALID_IMAGE
    with pytest.raises(DomainError) as refusal:
        await worker.inspect(b"")
    assert refusal.value.code == ErrorCode.EMPTY_FILE


async def test_a_bomb_costs_the_server_no_memory_and_little_time() -> None:
    data, worker = pictures.bomb_png(), ImageWorker(LIMIT_PIXELS)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    with pytest.raises(DomainError, match="13304"):
        await worker.inspect(data)
    assert time.perf_counter() - started < 3
    assert psutil.Process().memory_info().rss - before < 20_000_000


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ErrorCode.INVALID_IMAGE),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ErrorCode.SERVICE_UNAVAILABLE),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", ErrorCode.INVALID_IMAGE),
        ("raise SystemExit(3)", ErrorCode.SERVICE_UNAVAILABLE),
        ("pass", ErrorCode.SERVICE_UNAVAILABLE),
        ("import time; time.sleep(60)", ErrorCode.INVALID_IMAGE),
    ],
    ids=["crash", "killed", "too much work", "failed", "silent", "too slow"],
)
async def test_a_lost_child_is_a_clear_answer_and_the_next_photo_is_read(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch, program: str, code: ErrorCode
) -> None:
    worker = ImageWorker(LIMIT_PIXELS, children=1, timeout_seconds=1 if "sleep" in program else 20)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "command", lambda *_: [sys.executable, "-c", program])
        with pytest.raises(DomainError) as refusal:
            await worker.inspect(pictures.as_jpeg(photo))
    assert refusal.value.code == code
    assert (await ImageWorker(LIMIT_PIXELS).inspect(pictures.as_jpeg(photo))).width_pixels == 300
    assert worker._slots.free == 1
    assert not [child for child in psutil.Process().children() if "sleep" in str(child.cmdline())]


async def test_a_flood_of_photos_lets_others_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, done = ImageWorker(LIMIT_PIXELS, children=2), list[str]()
    program = "import sys; sys.stdin.read(); print('{}')"
    monkeypatch.setattr(worker, "command", lambda *_: [sys.executable, "-Ic", program])

    async def send(network: str, user: str) -> None:
        await worker.resize(b"photo", 100, Asker(network, user))
        done.append(user)

    flood = [send("flood", "eve") for _ in range(10)] + [send("flood", "mallory")]
    await asyncio.gather(*flood, send("elsewhere", "ada"))
    # Two had begun, and one of the flood's may come before her.
    assert done.index("ada") <= 4
    assert done.index("mallory") <= 6


async def test_no_secret_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNED_URL_KEY", "canary-secret")
    worker = ImageWorker(LIMIT_PIXELS)
    program = (
        "import json, os, sys; sys.stdin.read(); "
        "print(json.dumps({'code': 'INTERNAL', 'message': ' '.join(os.environ.values())}))"
    )
    monkeypatch.setattr(worker, "command", lambda *_: [sys.executable, "-c", program])
    with pytest.raises(DomainError) as answer:
        await worker.inspect(b"x")
    assert "canary" not in answer.value.message


def test_the_server_loads_no_decoder() -> None:
    program = (
        "import sys, db.files.images, db.files.storage, server.files, jobs.providers; "
        "print([name for name in ('PIL', 'numpy') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert output.stdout.strip() == b"[]"
