"""What the PyTorch container does where a model's code says nothing: TorchScript; JSON, CSV and NPY in and out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stream_infer.errors import PredictorUnavailable, RefusedOutput, UndecodableItem

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
_MODEL_FILE = "model.pt"
_ENDINGS = (".pt", ".pth")


def default_function(name: str) -> Callable[..., Any]:
    """The one that stands in for a missing function of that name."""
    return _DEFAULTS[name]


def load_torchscript(model_dir: str) -> Any:
    """model.pt, or else the only file there that ends in .pt or .pth, on the GPU where there is one."""
    path = Path(model_dir, _MODEL_FILE)
    if not path.is_file():
        found = sorted(file for file in Path(model_dir).iterdir() if file.suffix in _ENDINGS and file.is_file())
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise PredictorUnavailable(
                f"there is no model_fn in code/inference.py of {model_dir}, and the default one needs exactly one .pt "
                f"or .pth file beside code/; found: {names}"
            )
        path = found[0]
    try:
        return torch.jit.load(path, map_location=_device())  # type: ignore[no-untyped-call] # published so
    except RuntimeError as error:
        raise PredictorUnavailable(
            f"{path} is not TorchScript, which the default model_fn loads: write model_fn(model_dir), "
            "or save the model by torch.jit.script(model).save(path)"
        ) from error


def read_input(body: Any, content_type: str) -> torch.Tensor:
    """A tensor on the device: of floats from JSON and CSV, of its own type from NPY."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        match kind:
            case "application/json":
                array = np.array(json.loads(body))
            case "text/csv":
                array = np.loadtxt(io.StringIO(body), np.float32, delimiter=",", converters=_number)
            case "application/x-npy":
                # The container unpickles here: what an item says would run as code.
                return torch.from_numpy(np.load(io.BytesIO(body), allow_pickle=False)).to(_device())
            case _:
                raise UndecodableItem(
                    f"the default input_fn reads {JSON}, {CSV} and {NPY}, not {content_type!r}: write input_fn"
                )
        return torch.as_tensor(array.astype(np.float32), device=_device())
    except (ValueError, TypeError, EOFError) as error:
        raise UndecodableItem(f"the default input_fn cannot make a tensor of this {content_type}: {error}") from error


def predict(data: torch.Tensor, model: Any) -> Any:
    with torch.no_grad():
        model = model.to(_device())
        model.eval()
        return model(data.to(_device()))


def write_output(prediction: Any, accept: str) -> bytes | str:
    """In the first of the accepted types that it can write."""
    if isinstance(prediction, torch.Tensor):
        prediction = prediction.detach().cpu().numpy().tolist()
    for wanted in accept.split(","):
        match wanted.partition(";")[0].strip().lower():
            case "application/json":
                return json.dumps(prediction, default=_plain)
            case "text/csv":
                lines = io.StringIO()
                np.savetxt(lines, prediction, delimiter=",", fmt="%s")
                return lines.getvalue()
            case "application/x-npy":
                data = io.BytesIO()
                np.save(data, prediction)
                return data.getvalue()
    raise RefusedOutput(f"the default output_fn writes {JSON}, {CSV} and {NPY}, not {accept!r}: write output_fn")


def _number(cell: str) -> float:
    return float(cell or "nan")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


_DEFAULTS: dict[str, Callable[..., Any]] = {
    "model_fn": load_torchscript,
    "input_fn": read_input,
    "predict_fn": predict,
    "output_fn": write_output,
}
