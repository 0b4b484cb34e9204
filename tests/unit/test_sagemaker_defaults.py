"""What stands in for functions that a model's code does not have."""

import io
import json

import numpy as np
import pytest
import torch

from stream_infer.errors import PredictorUnavailable, RefusedOutput, UndecodableItem
from stream_infer.predictors.sagemaker_defaults import load_torchscript, predict, read_input, write_output

# What the container's default model_fn loads, torch calls deprecated from 2.9 on.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")


def npy(value, **options):
    data = io.BytesIO()
    np.save(data, value, **options)
    return data.getvalue()


@pytest.fixture
def scripted():
    return torch.jit.trace(torch.nn.Linear(2, 1).eval(), torch.zeros(1, 2))


@pytest.mark.parametrize("name", ["model.pt", "another.pth"])
def test_the_one_torchscript_file_is_loaded(tmp_path, name, scripted):
    scripted.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")

    model = load_torchscript(str(tmp_path))

    assert predict(torch.zeros(3, 2), model).shape == (3, 1)


def test_what_is_no_torchscript_or_not_one_file_says_so(tmp_path):
    with pytest.raises(PredictorUnavailable, match="found: none"):
        load_torchscript(str(tmp_path))
    torch.save({"weights": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(PredictorUnavailable, match="is not TorchScript"):
        load_torchscript(str(tmp_path))
    (tmp_path / "b.pth").touch()
    with pytest.raises(PredictorUnavailable, match=r"found: a\.pt, b\.pth"):
        load_torchscript(str(tmp_path))


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("[[1, 2], [3, 4]]", "application/json", [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", "text/csv; charset=utf-8", [[1, 2], [3, 4]]),
        ("1.5,2", "text/csv", [1.5, 2]),
        ("1\n2\n", "text/csv", [1, 2]),
        (npy(np.array([1, 2])), "application/x-npy", [1, 2]),
    ],
)
def test_json_csv_and_npy_become_tensors(body, kind, expected):
    tensor = read_input(body, kind)

    assert tensor.tolist() == expected
    assert tensor.dtype == (torch.int64 if "npy" in kind else torch.float32)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ('{"a": 1}', "application/json", "cannot make a tensor"),
        ("{", "application/json", "cannot make a tensor"),
        ("1,2\n3", "text/csv", "cannot make a tensor"),
        (npy(np.array([{}]), allow_pickle=True), "application/x-npy", "cannot make a tensor"),
        ("1,two", "text/csv", "cannot make a tensor"),
        (b"x", "application/x-npy", "cannot make a tensor"),
        (
            b"x",
            "application/x-image",
            "reads application/json, text/csv and application/x-npy, not 'application/x-image'",
        ),
    ],
)
def test_other_bodies_are_refused(body, kind, message):
    with pytest.raises(UndecodableItem, match=message):
        read_input(body, kind)


def test_predictions_are_written_in_the_first_type_that_is_known():
    prediction = torch.tensor([[1.5, 2.0], [3.0, 4.0]])

    assert json.loads(write_output(prediction, "application/json")) == [[1.5, 2.0], [3.0, 4.0]]
    assert write_output(prediction, "image/png, text/csv;q=1") == "1.5,2.0\n3.0,4.0\n"
    assert np.load(io.BytesIO(write_output(prediction, "application/x-npy"))).tolist() == prediction.tolist()
    assert write_output({"a": np.float32(1.5)}, "application/json") == '{"a": 1.5}'
    with pytest.raises(RefusedOutput, match="not 'image/png'"):
        write_output(prediction, "image/png")
