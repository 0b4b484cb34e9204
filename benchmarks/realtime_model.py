"""The models of the realtime benchmark, the same object for everybody, and how each serves them.

The peers' environment has no torch: it is taken from ours, so that the model is the same build.
"""

from __future__ import annotations

import os
import random
import site
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

MODELS = ("null", "torch")
# For everybody: the most items of a micro-batch.
BATCH = 32
# Of the peers, which wait whether or not the model has something to do: the least that mosec can be told.
WAIT_MS = 1
_SITE = "BENCH_SITE_PACKAGES"
_INPUTS, _HIDDEN, _LABELS = 64, 1024, 10


class Null:
    """As a native predictor, too."""

    def __init__(self, config: Mapping[str, object]) -> None:
        pass

    def predict(self, items: Sequence[Any]) -> list[Any]:
        return [{"label": "null"}] * len(items)


class Mlp:
    """Three layers of 1,024, on one thread: some 0.2 ms for one item, and 2 ms for 32."""

    def __init__(self, config: Mapping[str, object]) -> None:  # noqa: ARG002
        if _SITE in os.environ and os.environ[_SITE] not in sys.path:
            sys.path.append(os.environ[_SITE])
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(1)
        self._torch = torch
        sizes = [_INPUTS, _HIDDEN, _HIDDEN, _LABELS]
        layers = [torch.nn.Linear(size, after) for size, after in pairwise(sizes)]
        self._layers = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2]).eval()
        self.predict([{"x": [0.0] * _INPUTS}] * BATCH)

    def predict(self, items: Sequence[Any]) -> list[Any]:
        with self._torch.inference_mode():
            batch = self._torch.tensor([item["x"] for item in items])
            labels: list[int] = self._layers(batch).argmax(1).tolist()
        return [{"label": label} for label in labels]


def model_of(name: str) -> Null | Mlp:
    return Mlp({}) if name == "torch" else Null({})


def target_of(name: str) -> str:
    """As stream-infer is told it."""
    return f"benchmarks.realtime_model:{'Mlp' if name == 'torch' else 'Null'}"


def body_of(name: str) -> bytes:
    """One request's: some 100 bytes of text, or 64 numbers."""
    if name == "torch":
        chance = random.Random(1)
        return orjson.dumps({"x": [round(chance.random(), 6) for _ in range(_INPUTS)]})
    return orjson.dumps({"text": "x" * 80})


def environment() -> dict[str, str]:
    """For a peer's process."""
    return {_SITE: site.getsitepackages()[0]}
