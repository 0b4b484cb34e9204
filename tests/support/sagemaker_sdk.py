"""SageMaker's Python SDK, in an environment of its own. `make sagemaker-sdk` runs this file."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.kafka_jars import default_cache_dir
from tests.support.services import missing

LOCK = Path(__file__).parents[1] / "sagemaker_sdk" / "requirements.txt"


def python() -> str:
    """The interpreter that has it; skips the test where there is none, and fails it in CI."""
    if not _is_there():
        missing(f"SageMaker's SDK is not in {_home()} as {LOCK.name} pins it: `make sagemaker-sdk` brings it")
    return str(_home() / "bin" / "python")


def provide(announce: Callable[[str], None]) -> None:
    """Once for the same lock and the same Python. Raises ServiceUnavailable where it cannot be had."""
    home = _home()
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_there():
            return
        announce(f"installing SageMaker's SDK into {home} (once, up to a minute)")
        shutil.rmtree(home, ignore_errors=True)
        _uv("venv", "--python", sys.executable, str(home))
        python = str(home / "bin" / "python")
        _uv("pip", "install", "--compile-bytecode", "--python", python, "--require-hashes", "-r", str(LOCK))
        _stamp().write_text(_wanted())


def _is_there() -> bool:
    return _stamp().exists() and _stamp().read_text() == _wanted()


def _home() -> Path:
    return default_cache_dir() / "sagemaker-sdk"


def _stamp() -> Path:
    """Written last."""
    return _home() / "made-of"


def _wanted() -> str:
    return f"{sys.base_prefix}, {sys.version}\n{LOCK.read_text()}"


def _uv(*arguments: str) -> None:
    """That of our own environment comes first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=path)
    if uv is None:
        raise ServiceUnavailable("SageMaker's SDK is installed by uv, which is not here: make setup")
    done = subprocess.run([uv, "--quiet", *arguments], check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ServiceUnavailable(f"SageMaker's SDK cannot be installed: {done.stderr.strip()}")


if __name__ == "__main__":
    try:
        provide(print)
    except ServiceUnavailable as error:
        sys.exit(str(error))
