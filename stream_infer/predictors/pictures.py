"""From a picture's bytes to its pixels, and what the header of a JPEG says. Needs no torch.

Pillow reads whatever there is; simplejpeg takes plain JPEGs, in two thirds of the time.
"""

from __future__ import annotations

import io
import struct
from typing import Any, TypeAlias, cast

import numpy as np
import simplejpeg
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
            if _is_plain(picture, data) and (pixels := _of_plain(picture, data, shorter)) is not None:
                return pixels
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
    if not isinstance(data, bytes):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            return _is_plain(picture, data)
    except (*_BROKEN, Image.DecompressionBombError):
        return False


def example() -> bytes:
    """A grey JPEG of 640 x 480 pixels."""
    data = io.BytesIO()
    Image.new("RGB", (640, 480), (127, 127, 127)).save(data, "JPEG")
    return data.getvalue()


def _is_plain(picture: Image.Image, data: bytes) -> bool:
    return (
        picture.format == "JPEG"
        and data.endswith(_END_OF_JPEG)
        and picture.mode in ("RGB", "L")
        and not picture.info.get("progressive")
        and picture.info.get("adobe_transform", _YCC) == _YCC
        and picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
    )


def _of_plain(picture: Image.Image, data: bytes, shorter: int) -> Pixels | None:
    """None where it is not as plain as it looks: Pillow says what is wrong, if anything is."""
    part = _part(picture, shorter)
    height, width = -(-picture.height // part), -(-picture.width // part)
    try:
        return cast("Pixels", simplejpeg.decode_jpeg(data, min_height=height, min_width=width))
    except ValueError:
        return None


def _draft(picture: Image.Image, shorter: int) -> None:
    part = _part(picture, shorter)
    picture.draft(None, (picture.width // part, picture.height // part))


def _part(picture: Image.Image, shorter: int) -> int:
    """At which of its size a JPEG is decoded: 1, 2, 4 or 8 stand for the whole, a half, a quarter and an eighth."""
    spare = min(picture.size) / (shorter * _DRAFT_MARGIN)
    return next((part for part in (8, 4, 2) if spare >= part), 1)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # convert() would clip it at 255
        return Image.fromarray((np.array(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
