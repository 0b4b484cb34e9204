"""What NVIDIA's library says of the GPUs of this machine, where it is installed: the extra `gpu` (nvidia-ml-py)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import structlog

from stream_infer.telemetry.catalogue.metric import Gauge, Reading
from stream_infer.telemetry.catalogue.model import (
    GPU_CELSIUS,
    GPU_MEMORY,
    GPU_MEMORY_OWN,
    GPU_MEMORY_USED,
    GPU_USED_RATIO,
    GPU_WATTS,
    Gpu,
)

_LOG = structlog.get_logger(__name__)


class Gpus:
    """Asked on the asker's thread. `pid_of_predictor` answers None where there is no such process at the moment."""

    def __init__(self, pid_of_predictor: Callable[[], int | None]) -> None:
        self._pid = pid_of_predictor
        self._nvml: ModuleType | None = None
        self._was_opened = False

    def readings(self) -> Iterator[Reading]:
        """Nothing where there is no GPU, or nobody to ask; of one that does not tell a number, that one is left out."""
        nvml = self._opened()
        if nvml is None:
            return
        gpus = _handles(nvml)
        for metric, ask in _numbers(nvml, self._pid()).items():
            values: dict[Gpu, float] = {}
            for gpu, handle in gpus.items():
                try:
                    value = ask(handle)
                except nvml.NVMLError:  # not of this kind of GPU, or of a part of one (MIG)
                    continue
                if value is not None:
                    values[gpu] = value
            if values:
                yield metric.reading(values)

    def _opened(self) -> ModuleType | None:
        if not self._was_opened:
            self._was_opened = True
            self._nvml = _open()
        return self._nvml


def _open() -> ModuleType | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        _LOG.debug("no_gpu", reason=str(error))
        return None
    return pynvml  # type: ignore[no-any-return]


def _handles(nvml: Any) -> dict[Gpu, Any]:
    """Of a GPU that has fallen off the bus there is none; where the driver has gone there are none at all."""
    found: dict[Gpu, Any] = {}
    with contextlib.suppress(nvml.NVMLError):
        for at in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                found[Gpu(str(at))] = nvml.nvmlDeviceGetHandleByIndex(at)
    return found


def _numbers(nvml: Any, pid: int | None) -> dict[Gauge[Gpu], Callable[[Any], float | None]]:
    def own(handle: Any) -> float | None:
        used = [one.usedGpuMemory for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle) if one.pid == pid]
        return sum(size or 0 for size in used) if used else None

    return {
        GPU_USED_RATIO: lambda handle: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        GPU_MEMORY_USED: lambda handle: nvml.nvmlDeviceGetMemoryInfo(handle).used,
        GPU_MEMORY: lambda handle: nvml.nvmlDeviceGetMemoryInfo(handle).total,
        GPU_MEMORY_OWN: own,
        GPU_CELSIUS: lambda handle: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        GPU_WATTS: lambda handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    }
