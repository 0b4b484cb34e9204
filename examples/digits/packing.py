"""Scikit-learn's scans of digits, a network that is trained in seconds, and the model.tar.gz that SageMaker wants.

python -m examples.digits.packing FOLDER
"""

from __future__ import annotations

import csv
import json
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from examples.digits.model.code.net import Net

TESTED = 1000
_EPOCHS, _BATCH, _SEED = 30, 32, 7
_CODE = Path(__file__).parent / "model" / "code"


@dataclass(frozen=True)
class Packed:
    """`labels` by the names of the images, which the network has not seen."""

    model: Path
    images: Path
    labels: dict[str, int]


def pack(folder: Path) -> Packed:
    """Below `folder`: model.tar.gz, images/*.png, labels.csv and manifest.json. Made once."""
    packed = folder / "model.tar.gz"
    if not packed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scans, labels = shuffled()
        write_images(scans[-TESTED:], labels[-TESTED:], folder)
        train(scans[:-TESTED], labels[:-TESTED], folder / "model.pth")
        with tarfile.open(packed.with_suffix(".new"), "w:gz") as tar:
            tar.add(folder / "model.pth", "model.pth")
            for file in sorted(_CODE.glob("*.py")):
                tar.add(file, f"code/{file.name}")
        packed.with_suffix(".new").rename(packed)
    rows = csv.reader((folder / "labels.csv").read_text().splitlines())
    labels = {name: int(label) for name, label in rows}
    return Packed(packed, folder / "images", labels)


def shuffled() -> tuple[Any, Any]:
    """Scans of 8 x 8 pixels from 0 to 16, and what they show; as they come, those of one hand stand together."""
    digits = load_digits()
    order = np.random.default_rng(_SEED).permutation(len(digits.images))
    return digits.images[order], digits.target[order]


def write_images(scans: Any, labels: Any, folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        for number, (scan, label) in enumerate(zip(scans, labels, strict=True)):
            name = f"{number:04d}.png"
            Image.fromarray((scan * 255 / 16).astype("uint8")).save(folder / "images" / name)
            rows.writerow([name, int(label)])


def train(scans: Any, shown: Any, path: Path) -> None:
    torch.manual_seed(_SEED)
    pixels = torch.tensor(scans / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(shown)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(pixels))
        for start in range(0, len(pixels), _BATCH):
            batch = order[start : start + _BATCH]
            optimizer.zero_grad()
            loss: Any = torch.nn.functional.cross_entropy(net(pixels[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        slower.step()
    torch.save(net.state_dict(), path)


def manifest_of(prefix: str, names: list[str]) -> bytes:
    """`prefix` is the start of the images' addresses, its '/' included."""
    return json.dumps([{"prefix": prefix}, *names]).encode()


if __name__ == "__main__":
    made = pack(Path(sys.argv[1]))
    print(f"{made.model} and {len(made.labels)} images in {made.images}")
