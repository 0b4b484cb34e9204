"""From a picture's bytes to the square of pixels that a classifier takes. Needs Pillow and numpy, not torch."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stream_infer.errors import UndecodableItem

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# A JPEG is decoded at a half, quarter or eighth where that leaves this many times the pixels needed: what the
# resize then averages differs from the full decode by less than its own rounding shows.
_DRAFT_MARGIN = 2
# What Pillow's decoders raise for bytes that lie about themselves.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error)


@dataclass(frozen=True, slots=True)
class Frame:
    """The shorter side is resized to `resize` pixels, then the centre of `crop` x `crop` is taken.

    `mean` and `std` normalise values in 0..1 afterwards, on the device.
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Image.Resampling


def read(data: Any, frame: Frame) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """The picture upright, in RGB, as uint8 of shape (crop, crop, 3). Raises UndecodableItem."""
    if not isinstance(data, bytes):
        raise UndecodableItem(
            f"a picture's bytes are expected, not a {type(data).__name__}: give it a content type such as image/jpeg"
        )
    try:
        with Image.open(io.BytesIO(data)) as picture:
            _draft(picture, frame.resize)
            upright = _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        begins = f"begin with {data[:12]!r}" if data else "are none"
        raise UndecodableItem(f"this is no picture that can be read: its {len(data)} bytes {begins}") from None
    except Image.DecompressionBombError as error:
        raise UndecodableItem(f"the picture is refused: {error}") from None
    except _BROKEN as error:
        raise UndecodableItem(f"the picture is broken: {error}") from error
    return np.array(_crop(_resize(upright, frame), frame.crop))


def example() -> bytes:
    """A grey JPEG of 640 x 480 pixels."""
    data = io.BytesIO()
    Image.new("RGB", (640, 480), (127, 127, 127)).save(data, "JPEG")
    return data.getvalue()


def _draft(picture: Image.Image, resize: int) -> None:
    width, height = picture.size
    scale = resize * _DRAFT_MARGIN / max(min(width, height), 1)
    if scale < 1:
        picture.draft(None, (round(width * scale), round(height * scale)))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):  # convert() would clip it at 255
        return Image.fromarray((np.array(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def _resize(picture: Image.Image, frame: Frame) -> Image.Image:
    """As torchvision's `resize` does: the longer side is rounded down."""
    width, height = picture.size
    short = min(width, height)
    size = (int(frame.resize * width / short), int(frame.resize * height / short))
    return picture.resize(size, frame.interpolation)


def _crop(picture: Image.Image, crop: int) -> Image.Image:
    """As torchvision's `center_crop` does."""
    left, top = round((picture.width - crop) / 2), round((picture.height - crop) / 2)
    return picture.crop((left, top, left + crop, top + crop))
