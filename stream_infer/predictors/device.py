"""From pictures' bytes to a batch of squares on the model's device.

    read       in threads, an item each                  a JPEG for the device stays as it is; Pillow decodes the rest
    collate    beside the model, a micro-batch at once   decode, resize, crop, bring there

With CUDA both work on a stream of their own, nvJPEG decodes through torchvision, resize and crop run on the device, and
what Pillow decoded travels from pinned memory. No figure of that is known: it was written on a machine without a GPU,
where tests run the same code with the CPU as device and a decoder of the CPU in the place of nvJPEG.

torchvision's decoders are deprecated since 0.29. Where they are gone, Pillow decodes everything.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from stream_infer.errors import UndecodableItem
from stream_infer.predictors import pictures

log = logging.getLogger(__name__)

INTERPOLATIONS = ("bilinear", "bicubic")

# JPEGs as uint8 of shape (bytes,) to RGB pictures as uint8 of shape (3, height, width) on the device.
Decoder: TypeAlias = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Frame:
    """The shorter side is resized to `resize` pixels, then the centre of `crop` x `crop` is taken.

    `mean` and `std` normalise values in 0..1 afterwards. `interpolation`: one of INTERPOLATIONS.
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JPEG that the device is to decode, as uint8 of shape (bytes,)."""

    data: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """`pixels` are uint8 of shape (rows, 3, crop, crop). `items` says which item of the micro-batch each row is of,
    `faults` what went wrong with those that have none."""

    pixels: Tensor
    items: Sequence[int]
    faults: Mapping[int, UndecodableItem]


class Collator:
    """Reads pictures and makes batches of them. Without a `decoder` all JPEGs are decoded by Pillow, in `read`."""

    def __init__(self, frame: Frame, device: torch.device, decoder: Decoder | None) -> None:
        self._frame = frame
        self._device = device
        self._decoder = decoder
        # Published without types.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def read(self, item: Any) -> Encoded | Tensor:
        """May be called from many threads. A tensor is uint8 of shape (crop, crop, 3). Raises UndecodableItem."""
        if self._decoder is not None and pictures.is_plain_jpeg(item):
            return Encoded(torch.frombuffer(bytearray(item), dtype=torch.uint8))
        return self._read_here(item)

    def collate(self, items: Sequence[Encoded | Tensor]) -> Batch:
        """What `read` made of the items, on the device: any stream may use it. Not to be called twice at once."""
        with torch.inference_mode(), self._beside_the_model():
            return self._collate(items)

    def _read_here(self, data: Any) -> Tensor:
        picture = torch.from_numpy(pictures.decode(data, self._frame.resize)).permute(2, 0, 1)
        square = fit(picture, self._frame).permute(1, 2, 0)
        # A copy: a view would keep the whole picture. By numpy: torch would wake its threads in each of ours.
        return torch.from_numpy(np.ascontiguousarray(square.numpy()))

    @contextlib.contextmanager
    def _beside_the_model(self) -> Iterator[None]:
        """Waits for the stream at its end. Memory that is free again would be written to by nvJPEG at once: it has a
        stream of its own, which waits for nothing on this one."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            try:
                yield
            finally:
                self._stream.synchronize()

    def _collate(self, items: Sequence[Encoded | Tensor]) -> Batch:
        here: dict[int, Tensor] = {}
        there: dict[int, Tensor] = {}
        faults: dict[int, UndecodableItem] = {}
        encoded = {index: item.data for index, item in enumerate(items) if isinstance(item, Encoded)}
        for (index, data), picture in zip(encoded.items(), self._decode(list(encoded.values())), strict=True):
            if picture is not None:
                there[index] = fit(picture, self._frame)
                continue
            try:
                here[index] = self._read_here(data.numpy().tobytes())
            except UndecodableItem as error:
                faults[index] = error
        here |= {index: item for index, item in enumerate(items) if not isinstance(item, Encoded)}
        return Batch(self._join(list(here.values()), list(there.values())), [*here, *there], faults)

    def _decode(self, encoded: list[Tensor]) -> list[Tensor | None]:
        """One by one where not all can be: None for those that cannot, and the others as if these were not there."""
        if self._decoder is None or not encoded:
            return []
        try:
            return list(self._decoder(encoded))
        except RuntimeError as error:
            if "out of memory" in str(error):  # torchvision makes a plain RuntimeError of torch's own
                raise
            return [None] if len(encoded) == 1 else [one for data in encoded for one in self._decode([data])]

    def _join(self, here: list[Tensor], there: list[Tensor]) -> Tensor:
        if not there and here:
            return self._bring(here)
        empty = torch.empty((0, 3, self._frame.crop, self._frame.crop), dtype=torch.uint8, device=self._device)
        return torch.cat([self._bring(here) if here else empty, torch.stack(there) if there else empty])

    def _bring(self, squares: list[Tensor]) -> Tensor:
        """Bytes travel, not floats; (n, h, w, 3) seen as (n, 3, h, w) is channels_last already."""
        shape = (len(squares), self._frame.crop, self._frame.crop, 3)
        staged = torch.empty(shape, dtype=torch.uint8, pin_memory=self._stream is not None)
        np.stack([square.numpy() for square in squares], out=staged.numpy())
        return staged.to(self._device, non_blocking=True).permute(0, 3, 1, 2)


def fit(picture: Tensor, frame: Frame) -> Tensor:
    """The frame's square of a picture, both uint8 of shape (3, height, width), as torchvision's own presets cut it.

    Measured on one core, JPEGs of 440 to 640 pixels decoded by Pillow: 1.3 ms, and 2.9 ms with Pillow's resize.
    """
    interpolation = InterpolationMode(frame.interpolation)
    resized = functional.resize(picture, [frame.resize], interpolation=interpolation, antialias=True)
    return cast("Tensor", functional.center_crop(resized, [frame.crop]))


def find_decoder(device: torch.device) -> Decoder | None:
    """nvJPEG for a CUDA device, if torchvision brings one that works there."""
    if device.type != "cuda":
        return None
    try:
        from torchvision.io import ImageReadMode, decode_jpeg

        def decode(encoded: list[Tensor]) -> list[Tensor]:
            return cast("list[Tensor]", decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device))

        decode([torch.frombuffer(bytearray(pictures.example()), dtype=torch.uint8)])
    except (ImportError, RuntimeError) as error:
        log.warning("JPEGs are decoded by Pillow, not on %s: %s", device, error)
        return None
    return decode
