"""Looks at pictures in a child process: takes sound photos only, and makes pictures smaller."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.errors import DomainError, ErrorCode

if TYPE_CHECKING:
    from PIL.Image import Image

# Longer sides cannot be written as JPEG.
LONGEST_SIDE_PIXELS = 65_500
JPEG_QUALITY = 92

CHILD_MEMORY_BYTES = 1 << 30
CHILD_CPU_SECONDS = 20
CHILD_TIMEOUT_SECONDS = 30.0
QUEUE_TIMEOUT_SECONDS = 60.0

_NOT_A_PHOTO = "This is not a photo we can read. Send a JPEG, PNG or WebP photo."
_DAMAGED = "The photo is damaged or incomplete. Send the original JPEG, PNG or WebP file."
_ACTIVE_CONTENT = (b"<script", b"<?php", b"<html")
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """A sound photo: upright, without metadata, re-encoded. `sha256` is of the original bytes."""

    width_pixels: int
    height_pixels: int
    content_type: str
    data: bytes
    sha256: str


def inspect_image(
    data: bytes, limit_pixels: int, announced_type: str | None = None
) -> InspectedImage:
    """Decode and re-encode one photo. Runs for up to seconds and takes much memory."""
    # Pillow is imported here so that a server which only hands photos on never loads it.
    from PIL import ImageOps

    picture = _open(data, limit_pixels)
    _check_type(picture.format or "", announced_type)
    try:
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        plain = _in_srgb(upright)
        content_type, encoded = _encode(plain)
    except Exception as error:  # hostile bytes raise nearly everything
        raise _invalid(_DAMAGED) from error
    return InspectedImage(
        width_pixels=plain.width,
        height_pixels=plain.height,
        content_type=content_type,
        data=encoded,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _open(data: bytes, limit_pixels: int) -> Image:
    """The picture with its header read and its size within the limit, nothing decoded yet."""
    from PIL import Image

    if not data:
        raise DomainError(ErrorCode.EMPTY_FILE, "The file is empty. Send the photo's bytes.")
    kind = _sniff(data)
    if kind is None or _is_polyglot(data):
        raise _invalid(_NOT_A_PHOTO)
    if kind == "WEBP":  # Pillow allocates the whole canvas of a WebP when it opens one
        _check_size(*_webp_size(data), limit_pixels)
    Image.MAX_IMAGE_PIXELS = None  # our own limit follows, and it refuses instead of warning
    try:
        picture = Image.open(io.BytesIO(data), formats=[kind])
    except Exception as error:
        raise _invalid(_DAMAGED) from error
    _check_size(*picture.size, limit_pixels)
    return picture


def _check_type(kind: str, announced_type: str | None) -> None:
    if announced_type not in {None, found := f"image/{kind.lower()}"}:
        raise _invalid(
            f"This is {found}, but {announced_type} was announced. "
            f"Call createUpload again with contentType {found}."
        )


def narrow_image(data: bytes, width_pixels: int) -> bytes:
    """A picture of ours at most so wide, in its own format; the same bytes if it is no wider."""
    from PIL import Image

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


def _sniff(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def _is_polyglot(data: bytes) -> bool:
    """Whether the bytes are also an archive, a document or a page that a reader would run."""
    if b"%PDF-" in data[:1024] or zipfile.is_zipfile(io.BytesIO(data)):
        return True
    lowered = data.lower()
    return any(marker in lowered for marker in _ACTIVE_CONTENT)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as the first chunk of a WebP file says."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise _invalid(_DAMAGED)
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
        raise _invalid(
            f"The photo is {width} × {height} pixels ({width * height / 1e6:.1f} megapixels); "
            f"at most {limit_pixels / 1e6:g} megapixels are accepted. Send a smaller one."
        )
    if max(width, height) > LONGEST_SIDE_PIXELS:
        raise _invalid(
            f"The photo is {width} × {height} pixels; "
            f"a side may have at most {LONGEST_SIDE_PIXELS}. Send a smaller one."
        )


def _in_srgb(picture: Image) -> Image:
    """The picture as 8-bit RGB, or RGBA where something shows through, in sRGB colours."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if profile and picture.mode in {"RGB", "RGBA", "CMYK"}:
        # Without this, dropping the profile would change the colours of most phone photos.
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        try:
            converted = ImageCms.profileToProfile(
                picture, source, ImageCms.createProfile("sRGB"), outputMode=mode
            )
            picture = converted or picture
        except ImageCms.PyCMSError:
            pass  # a profile for another kind of picture: as good as none
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda value: value / 256, "L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    with_alpha = picture.convert("RGBA")
    darkest_alpha = with_alpha.getchannel("A").getextrema()[0]
    return with_alpha.convert("RGB") if darkest_alpha == 255 else with_alpha


def _encode(picture: Image) -> tuple[str, bytes]:
    picture.info.clear()
    output = io.BytesIO()
    if picture.mode == "RGBA":
        picture.save(output, "PNG", compress_level=4)
        return "image/png", output.getvalue()
    picture.save(output, "JPEG", quality=JPEG_QUALITY)
    return "image/jpeg", output.getvalue()


def _invalid(message: str) -> DomainError:
    return DomainError(ErrorCode.INVALID_IMAGE, message)


class ImageWorker:
    """Works on photos in child processes: one each, with bounds on memory, time and number.

    A child costs about 0.1 s to start; for that the server keeps no decoder in memory, a crash
    or a bomb takes only its own child along, and no secret is in the child's environment.
    """

    def __init__(
        self,
        limit_pixels: int,
        *,
        children: int = 2,
        memory_bytes: int = CHILD_MEMORY_BYTES,
        timeout_seconds: float = CHILD_TIMEOUT_SECONDS,
    ) -> None:
        self._limit_pixels = limit_pixels
        self._memory_bytes = memory_bytes
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(children)

    async def inspect(self, data: bytes, announced_type: str | None = None) -> InspectedImage:
        """The sound photo in `data`, or a refusal that says what to do."""
        answer, body = await self._asked("inspect", announced_type or "", data)
        return InspectedImage(**answer, data=body)

    async def narrow(self, data: bytes, width_pixels: int) -> bytes:
        """A picture of ours at most so wide."""
        _, body = await self._asked("narrow", str(width_pixels), data)
        return body

    async def _asked(self, task: str, argument: str, data: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            await asyncio.wait_for(self._slots.acquire(), QUEUE_TIMEOUT_SECONDS)
        except TimeoutError:
            raise _unavailable() from None
        try:
            return await self._in_child(task, argument, data)
        finally:
            self._slots.release()

    async def _in_child(
        self, task: str, argument: str, data: bytes
    ) -> tuple[dict[str, Any], bytes]:
        try:
            child = await asyncio.create_subprocess_exec(
                *self.command(task, argument),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_child_environment(),
            )
        except OSError as error:
            raise _unavailable() from error
        try:
            async with asyncio.timeout(self._timeout_seconds):
                output, _ = await child.communicate(data)
        except TimeoutError:
            raise _invalid(_DAMAGED) from None
        finally:
            if child.returncode is None:  # too slow, or the client is gone
                child.kill()
                await child.wait()
        if child.returncode:
            raise _invalid(_DAMAGED) if -child.returncode in _CRASHES else _unavailable()
        return _read_answer(output)

    def command(self, task: str, argument: str) -> list[str]:
        """How the child is started; without the current folder on its import path."""
        limits = [str(self._limit_pixels), str(self._memory_bytes)]
        return [sys.executable, "-P", "-m", "db.images", *limits, task, argument]


def _child_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def _unavailable() -> DomainError:
    return DomainError(
        ErrorCode.SERVICE_UNAVAILABLE, "The photo could not be looked at just now; send it again."
    )


def _read_answer(output: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, body = output.partition(b"\n")
    try:
        answer: dict[str, Any] = json.loads(head)
    except ValueError:
        raise _unavailable() from None
    if "code" in answer:
        raise DomainError(ErrorCode(answer["code"]), answer["message"])
    return answer, body


def _answer(data: bytes, limit_pixels: int, task: str, argument: str) -> bytes:
    """One line of JSON, then the new bytes."""
    if task == "narrow":
        return b"{}\n" + narrow_image(data, int(argument))
    try:
        image = inspect_image(data, limit_pixels, argument or None)
    except DomainError as refusal:
        return json.dumps({"code": refusal.code, "message": refusal.message}).encode() + b"\n"
    head = asdict(image)
    body: bytes = head.pop("data")
    return json.dumps(head).encode() + b"\n" + body


def _limit_this_process(memory_bytes: int) -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (CHILD_CPU_SECONDS, CHILD_CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit_this_process(int(sys.argv[2]))
    answer = _answer(sys.stdin.buffer.read(), int(sys.argv[1]), sys.argv[3], sys.argv[4])
    sys.stdout.buffer.write(answer)
