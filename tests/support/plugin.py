"""The package of examples/plugin as `pip install` leaves it: its modules, and metadata with its entry points."""

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"


def install(folder: Path) -> Path:
    """Into `folder`, which is to be on the path of who is to find it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "stream_infer_shelf", folder / "stream_infer_shelf")
    return add(folder, project["name"], project["version"], project["entry-points"])


def add(folder: Path, package: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> Path:
    """The metadata of `package`, whose modules are elsewhere."""
    metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder
