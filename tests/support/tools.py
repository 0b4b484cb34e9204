"""Programs that check what a cluster would be given. `make` puts them into the cache or into .venv; see its targets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from stream_infer.local.kafka_jars import default_cache_dir
from tests.support.services import missing


def tool(name: str) -> str:
    """Where the program is; skips the test where it is not, and fails it in CI."""
    for folder in (default_cache_dir() / "bin", Path(sys.executable).parent):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        missing(f"there is no {name}: `make setup chart-tools` brings it, where Go is installed")
    return found


def kubernetes_definitions() -> Path:
    """What `make kubernetes` has fetched; skips the test where it is not there, and fails it in CI."""
    folder = default_cache_dir() / "kubernetes"
    if not (folder / "swagger.json").is_file():
        missing("Kubernetes' own definitions are not there: `make kubernetes` fetches them where Go is installed")
    return folder


def run(*command: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What it said, both ways together, stands in `stdout`."""
    return subprocess.run(
        command, cwd=cwd, input=stdin, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
