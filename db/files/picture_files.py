"""Strips metadata from image files whose metadata is broken, by their container format alone."""

from __future__ import annotations

import struct

JPEG_START, JPEG_END, PNG_START = b"\xff\xd8", b"\xff\xd9", b"\x89PNG\r\n\x1a\n"
# Bits that continue a JPEG's picture otherwise than its decoder does by itself.
_JPEG_FILLER = b"\xaa" * 1024

_START_OF_SCAN = 0xDA
# Application segments and comments, but for those of JFIF and Adobe, which say what colours mean;
# they do when they have at least these bytes, their length included.
_JPEG_METADATA = {0xFE, *range(0xE0, 0xF0)}
_JPEG_COLOURS = {0xE0: 16, 0xEE: 14}
_PNG_ESSENTIALS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# Where the header says how colours are kept, and how long the see-through colour then must be.
_PNG_COLOURS_AT = 25
_TRANSPARENCY_BYTES = {0: 2, 2: 6}
_WEBP_ESSENTIALS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04


def without_metadata(data: bytes) -> bytes:
    """The file with its picture alone, as far as its structure can be followed."""
    if data.startswith(JPEG_START):
        return _bare_jpeg(data)
    if data.startswith(PNG_START):
        return _bare_png(data)
    return _bare_webp(data)


def with_ends(data: bytes) -> tuple[bytes, bytes] | None:
    """A JPEG that does not say where it ends, ended in two ways: after it, and after other bits.

    Cameras and transfers lose the marker. Where no bit of the picture is lost with it, both ways
    give the same pixels; what misses there is shown by their difference.
    """
    if not data.startswith(JPEG_START):
        return None
    cut = data.rstrip(b"\xff")
    return cut + JPEG_END, cut + _JPEG_FILLER + JPEG_END


def _bare_jpeg(data: bytes) -> bytes:
    kept, position = [JPEG_START], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _START_OF_SCAN:
            break
        length = int.from_bytes(data[position + 2 : position + 4])
        end = position + 2 + length
        if marker not in _JPEG_METADATA or length >= _JPEG_COLOURS.get(marker, 1 << 16):
            kept.append(data[position:end])
        position = end
    return b"".join([*kept, data[position:]])


def _bare_png(data: bytes) -> bytes:
    kept, position = [PNG_START], len(PNG_START)
    needed = _TRANSPARENCY_BYTES.get(int.from_bytes(data[_PNG_COLOURS_AT : _PNG_COLOURS_AT + 1]), 0)
    while position + 8 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        is_short = kind == b"tRNS" and end - position - 12 < needed
        if kind in _PNG_ESSENTIALS and not is_short:
            kept.append(data[position:end])
        position = end
    return b"".join(kept)


def _bare_webp(data: bytes) -> bytes:
    kept, position = [b"WEBP"], 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + size + size % 2
        kind, body = data[position : position + 4], data[position + 8 : end]
        if size % 2 and len(body) == size:  # the last chunk, without the byte that makes it even
            body += b"\0"
        if kind == b"VP8X" and body:
            body = bytes((body[0] & ~_WEBP_METADATA_FLAGS,)) + body[1:]
        if kind in _WEBP_ESSENTIALS:
            kept.append(data[position : position + 8] + body)
        position = end
    joined = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined
