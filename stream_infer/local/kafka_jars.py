"""Apache Kafka's jars, and what the tests add to them: pinned by sha256, fetched once from Maven Central into the
user's cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stream_infer.errors import ServiceUnavailable

KAFKA_VERSION = "4.2.0"
_PINS = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.jars")
_PARALLEL_DOWNLOADS = 4
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One jar: its Maven coordinates and the sha256 that its bytes must have. `classifier`: which one of several."""

    group: str
    artifact: str
    version: str
    sha256: str
    classifier: str = ""

    @property
    def file_name(self) -> str:
        return f"{'-'.join(filter(None, (self.artifact, self.version, self.classifier)))}.jar"


def read_pins(text: str) -> list[PinnedJar]:
    """Parse lines of `group:artifact:version[:classifier] sha256`; `#` begins a comment line."""
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [_pinned(coordinates, sha256) for coordinates, sha256 in lines]


def _pinned(coordinates: str, sha256: str) -> PinnedJar:
    group, artifact, version, *classifier = coordinates.split(":")
    return PinnedJar(group, artifact, version, sha256, *classifier)


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/stream-infer`, or `~/.cache/stream-infer`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "stream-infer"


def provide_kafka_jars(cache_dir: Path, announce: Callable[[str], None] = lambda _: None) -> Path:
    """The folder with all of Kafka's jars, downloading those that are missing (43 MB in all). See `provide_jars`.

    Raises ServiceUnavailable when a jar cannot be had.
    """
    libs = cache_dir / f"kafka-{KAFKA_VERSION}"
    try:
        provide_jars(f"Apache Kafka {KAFKA_VERSION}", read_pins(_PINS.read_text()), libs, announce)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(f"{error} Or give kafka.bootstrap_servers of a Kafka that runs.") from error
    return libs


def provide_jars(
    name: str, pins: list[PinnedJar], libs: Path, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Downloads what `libs` lacks of `pins`; `name` is what they are together.

    Blocks while another process fills the same folder. A jar appears under its name only once its hash
    was right, so a folder that somebody left half-filled is completed. `announce` is told of a download.

    Raises ServiceUnavailable when a jar cannot be had.
    """
    if not _missing(libs, pins):
        return
    try:
        libs.mkdir(parents=True, exist_ok=True)
        with locked(libs):
            missing = _missing(libs, pins)
            if missing:
                announce(f"downloading {name} into {libs}: {len(missing)} jars, once")
                _download(missing, libs)
    except OSError as error:
        raise ServiceUnavailable(
            f"the jars of {name} cannot be kept in {libs}: {error}. Set XDG_CACHE_HOME."
        ) from error


def _missing(libs: Path, pins: list[PinnedJar]) -> list[PinnedJar]:
    return [pin for pin in pins if not (libs / pin.file_name).exists()]


@contextlib.contextmanager
def locked(libs: Path) -> Iterator[None]:
    """Be the only process that changes the folder. Blocks without a limit: the others' changes are short."""
    with (libs / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(pins: list[PinnedJar], libs: Path) -> None:
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ServiceUnavailable(
            f"jars are missing in {libs}, and the jgo package that fetches them is not installed. "
            "Run: pip install 'stream-infer[local]'"
        ) from error
    # jgo writes in place and never checks what it finds, so its repository lives only as long as one download.
    for leftover in libs.glob(".new-*/"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=libs, prefix=".new-") as repository:
        maven = MavenContext(repo_cache=Path(repository), remote_repos={"central": MAVEN_CENTRAL_URL})

        def fetch(pin: PinnedJar) -> None:
            artifact = (
                maven.project(pin.group, pin.artifact).at_version(pin.version).artifact(classifier=pin.classifier)
            )
            _fetch_verified(pin, artifact.resolve, libs)

        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            list(pool.map(fetch, pins))


def _fetch_verified(pin: PinnedJar, resolve: Callable[[], Path], libs: Path) -> None:
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            jar = resolve()
        except Exception as error:  # noqa: BLE001 - jgo lets through whatever requests raises
            problem = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).debug("fetching %s failed: %s", pin.file_name, problem)
            continue
        if hashlib.sha256(jar.read_bytes()).hexdigest() == pin.sha256:
            jar.replace(libs / pin.file_name)
            return
        jar.unlink()
        problem = "its bytes are not the pinned ones"
    raise ServiceUnavailable(
        f"{pin.file_name} cannot be had from Maven Central: {problem}. Check the network and run again, or copy the "
        f"jars into {libs}."
    )
