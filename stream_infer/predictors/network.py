"""A torch model on its device: its layout there, the precision that it computes in, the sizes it is compiled for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from stream_infer.predictors.device import Frame
from stream_infer.predictors.streams import Streams

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_SIZES = 8
"""torch compiles one model no more often (torch._dynamo.config.recompile_limit), and then goes on uncompiled."""
# Ampere is the first generation that computes in bfloat16; torch emulates it before, slowly.
_AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class Execution:
    """`compiled_for` sizes of micro-batches, growing; none: the model runs as it is, and then a large micro-batch on
    `streams` cores beside each other (1: as a whole)."""

    device: torch.device
    precision: torch.dtype
    compiled_for: Sequence[int] = ()
    streams: int = 1


class Network:
    """Pictures in, the model's outputs for them out. The first call with each size of `compiled_for` compiles."""

    def __init__(self, model: nn.Module, frame: Frame, execution: Execution) -> None:
        self._device = device = execution.device
        self._precision = execution.precision
        self.compiled_for = execution.compiled_for
        self._streams = Streams(execution.streams) if execution.streams > 1 else None
        # Measured on 2 cores, EfficientNet-Lite0: 38 images/s channels_last, 22 without.
        laid_out: Any = model.eval().to(memory_format=torch.channels_last).to(device)
        self._model = torch.compile(laid_out, dynamic=False) if execution.compiled_for else laid_out
        self._mean = torch.tensor(frame.mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(frame.std, device=device).view(1, 3, 1, 1) * 255

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Outputs as float32 of shape (n, classes), for uint8 pixels of shape (n, 3, height, width) on the device."""
        if not self.compiled_for:
            return self._streams.run(self._forward, pixels) if self._streams else self._forward(pixels)
        most = self.compiled_for[-1]
        pieces = [pixels[start : start + most] for start in range(0, len(pixels), most)]
        return torch.cat([self._forward(self._pad(piece))[: len(piece)] for piece in pieces])

    @torch.inference_mode()  # holds for a thread, and this may be another one
    def _forward(self, pixels: Tensor) -> Tensor:
        values = pixels.to(torch.float32, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision is not torch.float32):
            return cast("Tensor", self._model((values - self._mean) / self._std)).float()

    def _pad(self, pixels: Tensor) -> Tensor:
        """Up to the next size that the model is compiled for, with black."""
        size = next(size for size in self.compiled_for if size >= len(pixels))
        if size == len(pixels):
            return pixels
        return nn.functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, size - len(pixels)))


def choose_device(wish: str) -> torch.device:
    """`auto`: CUDA where there is one. Raises RuntimeError for what is no device."""
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wish)


def choose_streams(wish: object, device: torch.device, compiled_for: Sequence[int]) -> int:
    """`auto`: as many as torch has threads, on a CPU, for a model that is not compiled; else 1. Raises ValueError."""
    if wish == "auto":
        return 1 if compiled_for or device.type != "cpu" else torch.get_num_threads()
    if type(wish) is not int or wish < 1:
        raise ValueError(f"{wish!r} is neither auto nor a number from 1 on")
    if wish > 1 and (compiled_for or device.type != "cpu"):
        raise ValueError(f"{wish} slices beside each other are for a CPU and a model not compiled: use auto or 1")
    return wish


def choose_precision(wish: str, device: torch.device) -> torch.dtype:
    """`auto`: float32 on a CPU; on CUDA bfloat16 where the device has it, else float16. Else one of PRECISIONS."""
    if wish != "auto":
        return PRECISIONS[wish]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _AMPERE else torch.float16
