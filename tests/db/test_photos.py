"""Every kind of photo that people send comes out as the table in docs/photos.md says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.core.errors import DomainError, ErrorCode
from db.files.decoding import inspect_image
from db.files.images import ImageWorker
from settings import Settings
from tests import photos, pictures
from tests.photos import SENT, Sent

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "photos.md"
LIMIT_PIXELS = 40_000_000
METADATA = (b"<html", b"<?php", b"ICC_PROFILE", b"Exif", b"iCCP", b"xmpmeta", b"PK\x03\x04")


@pytest.mark.parametrize("sent", SENT, ids=[sent.name for sent in SENT])
async def test_what_is_sent_becomes_what_the_table_says(sent: Sent) -> None:
    worker = ImageWorker(LIMIT_PIXELS, memory_bytes=Settings().picture_memory_bytes)
    for number, data in enumerate(sent.make()):
        if not sent.outcome.startswith("READY"):
            with pytest.raises(DomainError) as refusal:
                inspect_image(data, LIMIT_PIXELS, sent.announced)
            assert refusal.value.code == ErrorCode.INVALID_IMAGE
            assert sent.outcome in refusal.value.message, number
            continue
        if sent.size == photos.SIZE:
            image = inspect_image(data, LIMIT_PIXELS, sent.announced)
        else:  # the largest must fit into the memory of the process, too
            image = await worker.inspect(data, sent.announced)
        assert f"READY as {image.content_type.removeprefix('image/').upper()}" == sent.outcome
        assert (image.width_pixels, image.height_pixels) == sent.size, number
        assert not any(mark in image.data for mark in METADATA), number
        made = photos.reopened(image.data)
        assert made.mode == ("RGBA" if sent.outcome == photos.PNG else "RGB")
        assert made.size == sent.size
        if sent.alike:
            assert _away(made, photos.photo()) < 8, number


def _away(one: Image.Image, other: Image.Image) -> float:
    """The mean difference in light, at a size at which dithering is grey."""
    light = [
        np.asarray(picture.convert("L").resize((12, 16), Image.Resampling.BOX)).astype(float)
        for picture in (one, other)
    ]
    return float(np.abs(light[0] - light[1]).mean())


def test_a_profile_that_can_be_read_gives_the_colours() -> None:
    red, green, blue = np.asarray(photos.photo()).astype(float).mean(axis=(0, 1))
    for data in photos.profiled():  # their profile exchanges red and green
        made = photos.reopened(inspect_image(data, LIMIT_PIXELS).data)
        means = np.asarray(made).astype(float).mean(axis=(0, 1))
        assert means == pytest.approx((green, red, blue), abs=4)


def test_the_document_has_the_same_table() -> None:
    rows = [f"| {sent.name} | {sent.note} | {_words(sent)} |" for sent in SENT]
    table = "\n".join(["| What is sent | | What becomes of it |", "|---|---|---|", *rows])
    assert table in DOCUMENT.read_text()


def _words(sent: Sent) -> str:
    if sent.outcome.startswith("READY"):
        return f"`READY`{sent.outcome.removeprefix('READY')}"
    return f"`INVALID_IMAGE`: “{sent.outcome}”"


async def test_too_much_memory_is_a_clear_refusal_and_the_next_photo_is_read() -> None:
    # The pixel limit lets the header through; decoding then needs more than is there.
    worker = ImageWorker(400_000_000, children=1, memory_bytes=300_000_000)
    refused, made = await asyncio.gather(
        worker.inspect(pictures.bomb_png()),
        worker.inspect(pictures.as_jpeg(photos.photo())),
        return_exceptions=True,
    )
    assert isinstance(refused, DomainError)
    assert refused.code == ErrorCode.INVALID_IMAGE
    assert refused.message == (
        "The photo takes more than 300 MB of memory to read. Send a smaller one."
    )
    assert not isinstance(made, BaseException)
    assert (made.width_pixels, made.height_pixels) == photos.SIZE


def test_too_much_work_is_told_apart_from_a_process_that_was_killed() -> None:
    program = "from db.files.decoding import limit_this_process as limit; limit(1 << 30, 1)\nwhile 1: pass"
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -24  # SIGXCPU


def test_what_grows_too_large_without_loss_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.files.decoding.WRITTEN_LIMIT_BYTES", 2_000)
    with pytest.raises(DomainError, match="written without loss, as alpha needs"):
        inspect_image(photos.png(photos.see_through()), LIMIT_PIXELS)
