"""Programs that check what a cluster would be given. `make` builds them into the cache; see its targets."""

import os
import shutil
import subprocess
from pathlib import Path

from stream_infer.local.kafka_jars import default_cache_dir
from tests.support.services import missing


def tool(name: str) -> str:
    """Where the program is; skips the test where it is not, and fails it in CI."""
    built = default_cache_dir() / "bin" / name
    found = str(built) if os.access(built, os.X_OK) else shutil.which(name)
    if found is None:
        missing(f"there is no {name}: `make chart-tools` builds it where Go is installed")
    return found


def kubernetes_definitions() -> Path:
    folder = default_cache_dir() / "kubernetes"
    if not (folder / "swagger.json").is_file():
        missing("Kubernetes' own definitions are not there: `make kubernetes` fetches them where Go is installed")
    return folder


def run(*command: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What it said, both ways together, stands in `stdout`."""
    return subprocess.run(
        command, cwd=cwd, input=stdin, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
