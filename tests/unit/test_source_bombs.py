"""Files of a few kilobytes that unpack to hundreds of megabytes: a job's source fails, and little of it is held."""

import gzip
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.policy import FetchPolicy
from connectors.sources import CsvSource, JsonlSource, ManifestListing, ObjectsSource, UnpackedItems, file_at
from stream_infer.errors import SourceError
from stream_infer.ports import Source

MIB = 1024 * 1024
UNPACKED = 200 * MIB


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """One line that has no end."""
    data = gzip.compress(b'"' + b"x" * UNPACKED, 6)
    assert len(data) < MIB
    return data


@contextmanager
def held_at_most(size: int):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("x.jsonl.gz", lambda uri, policy: JsonlSource(file_at(uri, policy), max_line_bytes=MIB)),
        ("x.csv.gz", lambda uri, policy: CsvSource(file_at(uri, policy), max_row_bytes=MIB)),
    ],
)
def test_a_line_that_unpacks_to_more_than_one_may_have_fails_the_source(
    tmp_path: Path, bomb: bytes, name: str, make: Callable[[str, FetchPolicy], Source]
) -> None:
    (tmp_path / name).write_bytes(bomb)
    source = make((tmp_path / name).as_uri(), FetchPolicy(allowed_directories=(tmp_path,)))
    with held_at_most(16 * MIB), pytest.raises(SourceError, match=r"longer than|larger than|more than"):
        list(source.read(None))


def test_an_object_that_unpacks_to_more_than_an_item_may_have_fails_alone(tmp_path: Path, bomb: bytes) -> None:
    (tmp_path / "x.gz").write_bytes(bomb)
    (tmp_path / "manifest.json").write_text(f'["{(tmp_path / "x.gz").as_uri()}"]')
    policy = FetchPolicy(allowed_directories=(tmp_path,))
    manifest = ManifestListing((tmp_path / "manifest.json").as_uri())
    with held_at_most(16 * MIB):
        [item] = ObjectsSource(manifest, UnpackedItems("text/plain", MIB), policy).read(None)
    assert item.payload.data == b""
    assert "bytes unpacked: raise fetch.max_bytes" in (item.refused or "")
