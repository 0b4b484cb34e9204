"""What NVIDIA's library says, by a library of the test's own."""

from types import SimpleNamespace

import pytest
import structlog

from stream_infer.telemetry import gpu
from stream_infer.telemetry.catalogue import model
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.gpu import Gpus
from tests.support.metrics import names, shown_by, value


class NVMLError(Exception):
    pass


def nvml_of(*, knows_power=True):
    """Two GPUs; the second one runs the process 7."""

    def power(handle):
        if not knows_power:
            raise NVMLError("not supported")
        return 250_000

    def processes(handle):
        return [SimpleNamespace(pid=7, usedGpuMemory=300), SimpleNamespace(pid=8, usedGpuMemory=None)] * handle

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda at: at,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=80 * handle),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=1000, total=8000),
        nvmlDeviceGetTemperature=lambda handle, kind: 60,
        nvmlDeviceGetPowerUsage=power,
        nvmlDeviceGetComputeRunningProcesses=processes,
    )


def shown(monkeypatch, nvml, pid=7):
    monkeypatch.setattr(gpu, "_open", lambda: nvml)
    exposure = Exposure()
    exposure.show(Gpus(lambda: pid).readings)
    return shown_by(exposure)


def test_each_gpu_is_shown_in_base_units(monkeypatch):
    samples = shown(monkeypatch, nvml_of())

    assert value(samples, model.GPU_USED_RATIO, gpu="0") == 0
    assert value(samples, model.GPU_USED_RATIO, gpu="1") == 0.8
    assert value(samples, model.GPU_MEMORY_USED, gpu="1") == 1000
    assert value(samples, model.GPU_MEMORY, gpu="1") == 8000
    assert value(samples, model.GPU_CELSIUS, gpu="1") == 60
    assert value(samples, model.GPU_WATTS, gpu="1") == 250.0


@pytest.mark.parametrize(("pid", "own"), [(7, 300), (8, 0)])
def test_what_the_predictors_process_uses_is_shown_where_it_is_found(monkeypatch, pid, own):
    samples = shown(monkeypatch, nvml_of(), pid)

    assert value(samples, model.GPU_MEMORY_OWN, gpu="1") == own
    assert (model.GPU_MEMORY_OWN.name, frozenset({("gpu", "0")})) not in samples


def test_a_number_that_a_gpu_does_not_tell_is_left_out(monkeypatch):
    samples = shown(monkeypatch, nvml_of(knows_power=False), pid=None)

    assert model.GPU_WATTS.name not in names(samples)
    assert model.GPU_MEMORY_OWN.name not in names(samples)
    assert model.GPU_MEMORY.name in names(samples)


def test_a_gpu_that_is_lost_costs_no_other_ones_numbers(monkeypatch):
    def handle(at):
        if at == 0:
            raise NVMLError("GPU is lost")
        return at

    nvml = nvml_of()
    nvml.nvmlDeviceGetHandleByIndex = handle
    samples = shown(monkeypatch, nvml)

    assert value(samples, model.GPU_MEMORY, gpu="1") == 8000
    assert (model.GPU_MEMORY.name, frozenset({("gpu", "0")})) not in samples


def test_a_driver_that_has_gone_is_no_fault_of_the_workers(monkeypatch):
    def count():
        raise NVMLError("driver not loaded")

    nvml = nvml_of()
    nvml.nvmlDeviceGetCount = count
    with structlog.testing.capture_logs() as said:
        samples = shown(monkeypatch, nvml)

    assert not any(name.startswith("stream_infer") for name in names(samples))
    assert said == []


def test_where_there_is_nobody_to_ask_nothing_is_shown(monkeypatch):
    assert not any(name.startswith("stream_infer") for name in names(shown(monkeypatch, None)))
