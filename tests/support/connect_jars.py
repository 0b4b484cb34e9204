"""Kafka Connect, its connectors and Kafka's console tools: pinned jars of the tests. `make connect` runs this file."""

import sys
from collections.abc import Callable
from pathlib import Path

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.kafka_jars import default_cache_dir, provide_jars, provide_kafka_jars, read_pins

_HERE = Path(__file__).parent
CONNECT, ICEBERG = "connect-4.2.0", "iceberg-1.11.0"
_NAMES = {CONNECT: "Kafka Connect and Kafka's console tools", ICEBERG: "the Iceberg sink of Kafka Connect"}


def folder(jars: str) -> Path:
    return default_cache_dir() / jars


def pins(jars: str) -> str:
    return (_HERE / f"{jars}.jars").read_text()


def are_there(jars: str) -> bool:
    return all((folder(jars) / pin.file_name).exists() for pin in read_pins(pins(jars)))


def lay_out(jars: str, place: Path, only: str = "") -> None:
    """Links to what is pinned, where its name begins so, and to nothing else that an earlier version of the pins has
    left in the cache."""
    place.mkdir(exist_ok=True)
    for pin in read_pins(pins(jars)):
        if not pin.file_name.startswith(only):
            continue
        link = place / pin.file_name
        link.unlink(missing_ok=True)
        link.symlink_to(folder(jars) / pin.file_name)


def provide(announce: Callable[[str], None] = lambda _: None) -> None:
    """Raises ServiceUnavailable where a jar cannot be had."""
    provide_kafka_jars(default_cache_dir(), announce)
    for jars, name in _NAMES.items():
        provide_jars(name, read_pins(pins(jars)), folder(jars), announce)


if __name__ == "__main__":
    try:
        provide(print)
    except ServiceUnavailable as error:
        sys.exit(str(error))
