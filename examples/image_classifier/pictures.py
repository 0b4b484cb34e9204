"""Real pictures that lie in packages, and two broken files, in one folder."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

# All are inside the wheels; most of scikit-image's other pictures would be downloaded.
PICTURES = {
    "astronaut.png": "skimage/data/astronaut.png",
    "camera.png": "skimage/data/camera.png",
    "cat.png": "skimage/data/chelsea.png",
    "clock.png": "skimage/data/clock_motion.png",
    "coffee.png": "skimage/data/coffee.png",
    "coins.png": "skimage/data/coins.png",
    "flower.jpg": "sklearn/datasets/images/flower.jpg",
    "gravel.png": "skimage/data/gravel.png",
    "motorcycle.png": "skimage/data/motorcycle_left.png",
    "page.png": "skimage/data/page.png",
    "palace.jpg": "sklearn/datasets/images/china.jpg",
    "rocket.jpg": "skimage/data/rocket.jpg",
}
BROKEN = ("not-a-picture.jpg", "truncated.jpg")


def collect(folder: Path) -> None:
    """Fills `folder` anew with PICTURES and BROKEN."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in PICTURES.items():
        shutil.copyfile(_inside_package(source), folder / name)
    rocket = (folder / "rocket.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(rocket[: len(rocket) // 3])
    (folder / "not-a-picture.jpg").write_text("This is a text file with a picture's name.\n")


def _inside_package(path: str) -> Path:
    """The file, without importing its package: scikit-image alone takes a second."""
    package, _, inside = path.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the pictures come with the package {package}: run `make demo`, which installs it")
    return Path(found.submodule_search_locations[0], inside)
