"""From a picture's bytes to its pixels, with Pillow, and what the header of a JPEG says. Needs no torch."""

from __future__ import annotations

import io
import struct
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from stream_infer.errors import UndecodableItem

Pixels: TypeAlias = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

# A JPEG is decoded at a half, quarter or eighth where that leaves this many times the pixels needed: what the
# resize then averages differs from the full decode by less than its own rounding shows.
_DRAFT_MARGIN = 2
# What Pillow's decoders raise for bytes that lie about themselves.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error)
_END_OF_JPEG = b"\xff\xd9"
# Adobe's marker: the colours are YCbCr, as they are without it.
_YCC = 1


def decode(data: Any, shorter: int) -> Pixels:
    """The picture upright, in RGB, as uint8 of shape (height, width, 3); a large JPEG at a fraction of its size, its
    shorter side having at least twice the pixels that are needed. Raises UndecodableItem."""
    if not isinstance(data, bytes):
        raise UndecodableItem(
            f"a picture's bytes are expected, not a {type(data).__name__}: give it a content type such as image/jpeg"
        )
    try:
        with Image.open(io.BytesIO(data)) as picture:
            _draft(picture, shorter)
            ImageOps.exif_transpose(picture, in_place=True)
            return np.array(_to_rgb(picture))
    except UnidentifiedImageError:
        begins = f"begin with {data[:12]!r}" if data else "are none"
        raise UndecodableItem(f"this is no picture that can be read: its {len(data)} bytes {begins}") from None
    except Image.DecompressionBombError as error:
        raise UndecodableItem(f"the picture is refused: {error}") from None
    except _BROKEN as error:
        raise UndecodableItem(f"the picture is broken: {error}") from error


def is_plain_jpeg(data: Any) -> bool:
    """Whether any decoder of JPEGs makes the same of it as `decode`, as far as the header and the end can tell.

    It is not where Pillow says more (progressive, CMYK, colours of Adobe's own, to be turned, several pictures in one)
    or may say that something is wrong.
    """
    if not isinstance(data, bytes) or not data.endswith(_END_OF_JPEG):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            return (
                picture.format == "JPEG"
                and picture.mode in ("RGB", "L")
                and not picture.info.get("progressive")
                and picture.info.get("adobe_transform", _YCC) == _YCC
                and picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
            )
    except (*_BROKEN, Image.DecompressionBombError):
        return False


def example() -> bytes:
    """A grey JPEG of 640 x 480 pixels."""
    data = io.BytesIO()
    Image.new("RGB", (640, 480), (127, 127, 127)).save(data, "JPEG")
    return data.getvalue()


def _draft(picture: Image.Image, shorter: int) -> None:
    width, height = picture.size
    scale = shorter * _DRAFT_MARGIN / max(min(width, height), 1)
    if scale < 1:
        picture.draft(None, (round(width * scale), round(height * scale)))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # convert() would clip it at 255
        return Image.fromarray((np.array(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
