"""Environments of Python for APIs that bring requirements: what stream-infer has, and in front of that what they ask
for. Made once for the same requirements, however many processes ask at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import venv
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from stream_infer.engine.host import environment_of_child
from stream_infer.errors import PredictorUnavailable

REQUIREMENTS: Final = "requirements.txt"
# A build that hangs ends some day, and one that is large ends before.
TIMEOUT_S: Final = 1800.0
_GRACE_S = 5.0
_LEASH = Path(__file__).with_name("leash.py")
_READY = "is-ready"
_LAST_LINES = 12
# What is not found by a name and a version alone may lie in the code, and change with it.
_LOCAL = re.compile(r"^\s*(-|\.|/|file:)|@\s*(\.|/|file:)|\.(whl|zip|tar\.gz)\b", re.MULTILINE)


def environment_for(code: Path, cache: Path, say: Callable[[str], None]) -> str | None:
    """The interpreter for the code in the folder `code`; None: our own, since it asks for nothing. `say` is told each
    line of the installer's.

    Blocks for as long as that takes, or another process that makes the same. Raises PredictorUnavailable.
    """
    requirements = _read(code / REQUIREMENTS)
    if not requirements.strip():
        return None
    home = cache / _digest(requirements, code)
    python = home / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{home.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / _READY).exists():
            shutil.rmtree(home, ignore_errors=True)  # of one that was killed while it made it
            _make(home, python, code, say, lock.fileno())
            (home / _READY).touch()
    return str(python)


def _read(requirements: Path) -> str:
    """Without comments and blank lines."""
    try:
        text = requirements.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorUnavailable(f"{REQUIREMENTS} cannot be read: {error}") from error
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _digest(requirements: str, code: Path) -> str:
    """Of all that the environment depends on: another stream-infer beside it is another one."""
    parts = [requirements, sys.version, sys.prefix, *_our_path()]
    if _LOCAL.search(requirements):
        parts.append(str(code))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _our_path() -> list[str]:
    """Where we find what we import, without what the interpreter has anyway."""
    own = {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        f"{sysconfig.get_path('platstdlib')}/lib-dynload",
    }
    return [entry for entry in sys.path if entry and entry not in own and Path(entry).is_dir()]


def _make(home: Path, python: Path, code: Path, say: Callable[[str], None], lock: int) -> None:
    try:
        venv.EnvBuilder(symlinks=True).create(home)
        packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
        # Behind its own packages ours: found by whoever imports, and by pip, which installs none of them again.
        (packages / "stream-infer-beside.pth").write_text("\n".join([*_our_path(), ""]))
    except OSError as error:
        raise PredictorUnavailable(f"no environment can be made at {home}: {error.strerror or error}") from error
    environ = {**environment_of_child(), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environ.pop(name, None)
    for command in _commands(str(python)):
        run_installer(command, code, environ, say, lock)


def _commands(python: str) -> list[list[str]]:
    """pip knows what lies beside the environment; uv, which does not, installs all of it anew."""
    install = ["install", "-r", REQUIREMENTS]
    if importlib.util.find_spec("pip") is not None:
        return [[python, "-m", "pip", *install]]
    if importlib.util.find_spec("ensurepip") is not None:
        return [[python, "-m", "ensurepip"], [python, "-m", "pip", *install]]
    if (uv := shutil.which("uv")) is not None:
        return [[uv, "pip", "install", "--python", python, "-r", REQUIREMENTS]]
    raise PredictorUnavailable(f"there is neither pip nor uv to install {REQUIREMENTS} with: install pip here")


def run_installer(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], say: Callable[[str], None], lock: int
) -> None:
    """On a leash: it ends with this process, however that ends, and holds the descriptor `lock` until it has, so that
    nobody makes anew what it still writes to. Raises PredictorUnavailable."""
    leashed = [sys.executable, "-I", str(_LEASH), str(_GRACE_S), str(lock), *command]
    last: deque[str] = deque(maxlen=_LAST_LINES)
    late = threading.Event()
    with subprocess.Popen(
        leashed, cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", pass_fds=(lock,), start_new_session=True,
    ) as installer:  # fmt: skip
        assert installer.stderr is not None  # all that it says; the leash's own output is a pid
        timer = threading.Timer(TIMEOUT_S, _end, (installer, late))
        timer.start()
        try:
            for line in installer.stderr:
                if line.strip():
                    last.append(line.rstrip())
                    say(line.rstrip())
        finally:
            timer.cancel()
    if late.is_set():
        raise PredictorUnavailable(
            f"{REQUIREMENTS} was not installed within {TIMEOUT_S:.0f} s; it said last: {''.join([*last][-1:])}"
        )
    if installer.returncode:
        faults = [line for line in last if "error" in line.lower()] or list(last)
        said = " ".join(faults).replace("ERROR: ", "")
        raise PredictorUnavailable(f"{REQUIREMENTS} cannot be installed: {said[:1000]}")


def _end(installer: subprocess.Popen[str], late: threading.Event) -> None:
    """With what it builds with: all of them are in a session of their own."""
    late.set()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(installer.pid, signal.SIGKILL)
