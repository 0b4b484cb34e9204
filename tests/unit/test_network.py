"""Precision, and the sizes that a model is compiled for."""

import functools
import threading

import pytest

torch = pytest.importorskip("torch")

from stream_infer.predictors.device import Frame  # noqa: E402
from stream_infer.predictors.network import (  # noqa: E402
    MOST_SIZES,
    Execution,
    Network,
    choose_device,
    choose_precision,
    choose_streams,
)

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
FRAME = Frame(8, 8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bilinear")


class Model(torch.nn.Module):
    """Remembers what it was called with."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.convolution = torch.nn.Conv2d(3, 5, 8)
        self.seen = []

    def forward(self, values):
        self.seen.append(values)
        return self.convolution(values).flatten(1)


@pytest.fixture
def compiled(monkeypatch):
    """Sizes that torch compiled for: its own way there, without a compiler at the end."""
    sizes = []

    def backend(graph, inputs):
        sizes.extend(len(each) for each in inputs if each.dim() == 4)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    yield sizes
    torch._dynamo.reset()


def pixels(count):
    return torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def outputs(count, precision=torch.float32, compiled_for=()):
    return Network(Model(), FRAME, Execution(CPU, precision, compiled_for))(pixels(count))


def test_values_are_normalised_and_laid_out_channel_by_channel():
    model = Model()

    Network(model, FRAME, Execution(CPU, torch.float32))(pixels(4))

    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (FRAME.mean, FRAME.std))
    torch.testing.assert_close(model.seen[0], (pixels(4) / 255 - mean) / std)
    assert model.seen[0].is_contiguous(memory_format=torch.channels_last)


def test_outputs_are_float32_in_every_precision():
    exact, rough = outputs(3), outputs(3, torch.bfloat16)

    assert (exact.dtype, rough.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)
    assert not torch.equal(rough, exact)


@pytest.mark.parametrize(
    ("count", "called_with"), [(1, [1]), (2, [4]), (4, [4]), (5, [8]), (8, [8]), (9, [8, 1]), (20, [8, 8, 4])]
)
def test_a_micro_batch_is_filled_up_to_a_size_compiled_for_and_a_larger_one_comes_in_parts(
    monkeypatch, count, called_with
):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    model = Model()

    found = Network(model, FRAME, Execution(CPU, torch.float32, (1, 4, 8)))(pixels(count))

    assert [len(values) for values in model.seen] == called_with
    torch.testing.assert_close(found, outputs(count))


def test_torch_compiles_once_for_each_size(compiled):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    network = Network(model, FRAME, Execution(CPU, torch.float32, (1, 4, 8)))

    for size in (1, 4, 8, 2, 3, 5, 8, 1, 19):
        assert network(pixels(size)).shape == (size, 5)

    assert compiled == [1, 4, 8]


def test_torch_compiles_for_as_many_sizes_as_may_be_asked_for(compiled):
    sizes = tuple(range(1, MOST_SIZES + 1))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    network = Network(model, FRAME, Execution(CPU, torch.float32, sizes))

    for size in (*sizes, *sizes):
        network(pixels(size))

    assert compiled == list(sizes)


@pytest.mark.parametrize(
    ("wish", "device", "capability", "precision"),
    [
        ("auto", CPU, None, torch.float32),
        ("auto", CUDA, (7, 5), torch.float16),
        ("auto", CUDA, (8, 0), torch.bfloat16),
        ("auto", CUDA, (9, 0), torch.bfloat16),
        ("float32", CUDA, (9, 0), torch.float32),
        ("bfloat16", CPU, None, torch.bfloat16),
    ],
)
def test_the_precision_is_what_the_device_is_good_at(monkeypatch, wish, device, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    assert choose_precision(wish, device) is precision


@pytest.mark.parametrize(("is_there", "device"), [(False, "cpu"), (True, "cuda")])
def test_the_device_is_cuda_where_there_is_one(monkeypatch, is_there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)

    assert choose_device("auto") == torch.device(device)
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("count", "called_with"),
    [(1, [1]), (4, [4]), (5, [2, 3]), (8, [4, 4]), (12, [3] * 4), (17, [4, 4, 4, 5]), (32, [4] * 8)],
)
def test_slices_of_a_large_micro_batch_are_computed_beside_each_other_each_on_one_core(count, called_with):
    whole = torch.get_num_threads()
    threads = []

    class Counting(Model):
        def forward(self, values):
            threads.append(torch.get_num_threads())
            return super().forward(values)

    model = Counting()
    found = Network(model, FRAME, Execution(CPU, torch.float32, streams=2))(pixels(count))

    assert sorted(len(values) for values in model.seen) == called_with
    assert set(threads) == {whole if len(called_with) == 1 else 1}
    assert torch.get_num_threads() == whole
    torch.testing.assert_close(found, outputs(count))


def test_what_a_slice_raises_is_raised_once_no_other_is_computed_any_more():
    began, ended = threading.Barrier(2), []

    class Failing(torch.nn.Module):
        def forward(self, values):
            if torch.equal(values, slices[0]):
                began.wait(10)
                raise MemoryError("of the first slice")
            began.wait(10)
            ended.append(len(values))
            return values.flatten(1)

    frame = Frame(8, 8, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "bilinear")
    network = Network(Failing(), frame, Execution(CPU, torch.float32, streams=2))
    slices = [piece.to(torch.float32) for piece in pixels(8).tensor_split(2)]

    with pytest.raises(MemoryError, match="of the first slice"):
        network(pixels(8))

    assert ended == [4]


@pytest.mark.parametrize(
    ("wish", "device", "compiled_for", "streams"),
    [("auto", CUDA, (), 1), ("auto", CPU, (8,), 1), (1, CPU, (8,), 1), (1, CUDA, (), 1), (3, CPU, (), 3)],
)
def test_streams_are_for_a_cpu_and_a_model_that_is_not_compiled(wish, device, compiled_for, streams):
    assert choose_streams(wish, device, compiled_for) == streams


def test_as_many_streams_as_torch_has_threads():
    assert choose_streams("auto", CPU, ()) == torch.get_num_threads()


@pytest.mark.parametrize(("wish", "device"), [(2, CUDA), (0, CPU), (True, CPU), ("two", CPU)])
def test_streams_that_cannot_be_are_refused(wish, device):
    with pytest.raises(ValueError, match="auto"):
        choose_streams(wish, device, ())
