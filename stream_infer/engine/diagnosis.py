"""What an exception says about the process it was raised in. Runs in the child, and imports no model framework.

Told by class names and messages, which are those of PyTorch, NumPy, CuPy, ONNX Runtime, TensorFlow and JAX.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import re
import sys
import traceback
from collections.abc import Iterator
from enum import Enum, auto

from stream_infer.heap import give_back_now

_MEMORY = re.compile(
    r"(CUDA|HIP|XPU|MPS backend) out of memory"
    r"|(CUDA|HIP) error: out of memory|cudaErrorMemoryAllocation"
    r"|CU(BLAS|DNN|SOLVER|FFT)_STATUS_ALLOC_FAILED"
    r"|can't allocate memory|Cannot allocate memory|Failed to allocate memory|bad_alloc"
    r"|RESOURCE_EXHAUSTED: Out of memory|OOM when allocating"
)
# CUDA's errors after which every further call in the process fails, in the driver's own words and those of its
# libraries; and any other "CUDA error" but those that leave the context as it was.
_POISON = re.compile(
    r"device-side assert triggered|illegal memory access was encountered|unspecified launch failure"
    r"|misaligned address|illegal instruction was encountered|hardware stack error"
    r"|uncorrectable (ECC|NVLink) error|launch timed out and was terminated"
    r"|cudaErrorIllegalAddress|cudaErrorLaunchFailure|cudaErrorAssert"
    r"|CU(BLAS|DNN|SOLVER|FFT)_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR|NOT_INITIALIZED)"
    r"|(CUDA|HIP) error: (?!invalid (argument|configuration argument|device ordinal|device function)"
    r"|no kernel image|operation not supported|too many resources"
    r"|CU[A-Z]+_STATUS_(INVALID_VALUE|NOT_SUPPORTED|BAD_PARAM))"
)


class Ailment(Enum):
    """OUT_OF_MEMORY: less at a time may fit. POISONED: nothing more will come out of this process."""

    OUT_OF_MEMORY = auto()
    POISONED = auto()


def diagnose(error: BaseException) -> Ailment | None:
    """What is wrong with the process, or None: the error is about what it was given.

    Of what it was raised from or beside, a poisoned context counts too: it stays poisoned whoever caught the error.
    """
    for each in _chain(error, beside=False):
        if _is_memory(each):
            return Ailment.OUT_OF_MEMORY
    for each in _chain(error, beside=True):
        if not _is_memory(each) and _POISON.search(_text(each)):
            return Ailment.POISONED
    return None


def relieve(error: BaseException) -> None:
    """Gives back what only the frames hold that raised the error: it keeps its traceback, they lose their locals."""
    for each in _chain(error, beside=True):
        traceback.clear_frames(each.__traceback__)
    gc.collect()
    give_back_now()
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None:
        with contextlib.suppress(Exception):  # a device may be in any state by now; the next call will tell
            cuda.empty_cache()  # does nothing where CUDA was not initialised


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "ResourceExhaustedError"):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _MEMORY.search(_text(error)) is not None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the predictor's own class
        return ""


def _chain(error: BaseException, *, beside: bool) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (each.__context__ if beside else None)
