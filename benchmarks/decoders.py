"""From a JPEG's bytes to the square that a model sees, on one core: each decoder with the same resize and crop.

How far a square is from the reference, Pillow's full decode with torchvision's preset on it, is the mean difference of
a byte, of the picture that differs most.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from benchmarks import pictures
from benchmarks.bench import Bench
from benchmarks.contest import Announce
from benchmarks.report import median_and_spread, table
from stream_infer.predictors import pictures as pillow
from stream_infer.predictors.device import Frame, fit

PICTURES = 60
_LARGE = (2400, 1600)
_LARGE_ONES = 6
_FRAME = Frame(256, 224, (0.5,) * 3, (0.5,) * 3, "bicubic")
_OURS = "ours: simplejpeg at a half, quarter or eighth"
_REFERENCE = "Pillow, its own resize"

Reader: TypeAlias = Callable[[bytes], Tensor]
"""Bytes of a JPEG to uint8 of shape (3, crop, crop)."""


@dataclass(frozen=True, slots=True)
class DecodersResult:
    """By the kind of picture and by reader: milliseconds of one, a figure a round; and how far it is off, of 255."""

    milliseconds: dict[str, dict[str, list[float]]]
    off: dict[str, dict[str, float]]

    def text(self) -> str:
        rows = []
        for name in _READERS:
            cells = [name]
            for kind in self.milliseconds:
                cells += [median_and_spread(self.milliseconds[kind][name], 2), f"{self.off[kind][name]:.3f}"]
            rows.append(cells)
        heads = ["decode, resize, crop"]
        for kind in self.milliseconds:
            heads += [f"{kind}: ms", "off by, of 255"]
        return table(heads, rows)


def measure(_bench: Bench, count: int, rounds: int, announce: Announce) -> DecodersResult:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torchvision's decoders
            return _measure(count, rounds, announce)
    finally:
        torch.set_num_threads(threads)


def _measure(count: int, rounds: int, announce: Announce) -> DecodersResult:
    rolls = list(pictures.jpegs(count))
    sets = {"440 to 640 wide": rolls, "2400 x 1600": [_enlarged(jpeg) for jpeg in rolls[:_LARGE_ONES]]}
    milliseconds: dict[str, dict[str, list[float]]] = {}
    off: dict[str, dict[str, float]] = {}
    for kind, jpegs in sets.items():
        announce(f"decoders, {len(jpegs)} JPEGs {kind}")
        expected = [_by_pillow(jpeg) for jpeg in jpegs]
        off[kind] = {name: _distance(read, jpegs, expected) for name, read in _READERS.items()}
        milliseconds[kind] = {name: [] for name in _READERS}
        for number in range(rounds):
            for name in list(_READERS) if number % 2 == 0 else reversed(_READERS):
                started = time.perf_counter()
                for jpeg in jpegs:
                    _READERS[name](jpeg)
                milliseconds[kind][name].append((time.perf_counter() - started) / len(jpegs) * 1000)
    return DecodersResult(milliseconds, off)


def _distance(read: Reader, jpegs: Sequence[bytes], expected: Sequence[Tensor]) -> float:
    squares = map(read, jpegs)
    return max(
        (square.float() - other.float()).abs().mean().item() for square, other in zip(squares, expected, strict=True)
    )


def _enlarged(jpeg: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).resize(_LARGE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _by_pillow(jpeg: bytes) -> Tensor:
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    resized = functional.resize(picture, [_FRAME.resize], InterpolationMode(_FRAME.interpolation), antialias=True)
    return cast("Tensor", functional.pil_to_tensor(functional.center_crop(resized, [_FRAME.crop])))


def _whole(jpeg: bytes) -> Tensor:
    return _cut(np.array(Image.open(io.BytesIO(jpeg)).convert("RGB")))


def _ours(jpeg: bytes) -> Tensor:
    return _cut(pillow.decode(jpeg, _FRAME.resize))


def _by_torchvision(jpeg: bytes) -> Tensor:
    return fit(decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), mode=ImageReadMode.RGB), _FRAME)


def _by_simplejpeg(jpeg: bytes) -> Tensor:
    return _cut(simplejpeg.decode_jpeg(jpeg))


def _by_simplejpeg_at_a_fraction(jpeg: bytes) -> Tensor:
    least = 2 * _FRAME.resize
    return _cut(simplejpeg.decode_jpeg(jpeg, min_height=least, min_width=least))


def _cut(pixels: pillow.Pixels) -> Tensor:
    return fit(torch.from_numpy(pixels).permute(2, 0, 1), _FRAME)


_READERS: dict[str, Reader] = {
    _OURS: _ours,
    _REFERENCE: _by_pillow,
    "Pillow, resized as a tensor": _whole,
    "torchvision": _by_torchvision,
    "simplejpeg": _by_simplejpeg,
    "simplejpeg at a fraction": _by_simplejpeg_at_a_fraction,
}
