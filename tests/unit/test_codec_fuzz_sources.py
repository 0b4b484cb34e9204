"""What a job's source, a service or the predictor's process sends is read, or refused as documented."""

import gzip
import io
import pickle
import socket
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import cast

import orjson
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyarrow import parquet

from connectors.content_types import media_type
from connectors.policy import FetchPolicy
from connectors.retry_after import retry_after_s
from connectors.sources import CsvSource, JsonlSource, ManifestListing, ParquetSource, TarSource, file_at
from connectors.sources.files import OpenFile
from connectors.sources.lines import read_cursor
from connectors.sources.opening import Opener
from connectors.uris import RefusedPlace, path_of, redacted, s3_place_of
from stream_infer.engine.wire import BrokenWire, FrameReader, pack
from stream_infer.errors import SourceError
from stream_infer.headers import read_item
from stream_infer.kafka.messages import as_message
from tests.support.hostile import FRAGMENTS, FUZZ

ANYTHING = st.one_of(st.binary(max_size=200), st.sampled_from(FRAGMENTS))
CURSORS = st.one_of(
    st.none(), st.text(max_size=20), st.sampled_from(["0:0", "5:1", "9" * 18 + ":1:v", "9" * 5000 + ":1", "1:2:"])
)


class Kept:
    """A file that is there and holds `data`."""

    def __init__(self, uri: str, data: bytes) -> None:
        self.uri = uri
        self.data = data

    def open(self) -> OpenFile:
        return OpenFile(io.BytesIO(self.data), "v")


def read(uri: str, data: bytes, after: str | None) -> list[bytes]:
    return [item.payload.data for item in JsonlSource(Kept(uri, data), max_line_bytes=1000).read(after)]


@FUZZ
@given(ANYTHING, CURSORS)
def test_the_lines_of_any_file_are_items_or_its_job_fails(data: bytes, cursor: str | None) -> None:
    with suppress(SourceError):
        lines = read("file:///x.jsonl", data, cursor)
        assert all(line in data and b"\n" not in line for line in lines)


@FUZZ
@given(st.binary(max_size=50), st.integers(0, 80), st.binary(max_size=4), CURSORS)
def test_any_packed_file_is_unpacked_or_its_job_fails(data: bytes, at: int, noise: bytes, cursor: str | None) -> None:
    packed = gzip.compress(data)
    with suppress(SourceError):
        read("file:///x.jsonl.gz", packed[:at] + noise + packed[at + len(noise) :], cursor)
    with suppress(SourceError):
        read("file:///x.jsonl.gz", packed[:at], cursor)


@FUZZ
@given(ANYTHING, CURSORS, st.booleans(), st.sampled_from(",;\t\0x ü"))
def test_the_rows_of_any_file_are_items_or_its_job_fails(
    data: bytes, cursor: str | None, header: bool, delimiter: str
) -> None:
    source = CsvSource(Kept("file:///x.csv", data), header=header, delimiter=delimiter, max_row_bytes=1000)
    with suppress(SourceError):
        items = list(source.read(cursor))
        assert all(isinstance(orjson.loads(item.payload.data), dict if header else list) for item in items)
        for number, item in enumerate(items, start=1):
            assert list(source.read(item.cursor)) == items[number:]


def parquet_file() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": list(range(40)), "b": [f"x{n % 7}" for n in range(40)], "c": [[n, None] for n in range(40)]})
    parquet.write_table(table, sink, row_group_size=15)
    return bytes(sink.getvalue().to_pybytes())


PARQUET = parquet_file()


@FUZZ
@given(st.integers(0, len(PARQUET)), st.binary(max_size=6), CURSORS)
def test_a_damaged_table_is_read_or_its_job_fails(at: int, noise: bytes, cursor: str | None) -> None:
    for data in (PARQUET[:at] + noise + PARQUET[at + len(noise) :], PARQUET[:at] + noise):
        with suppress(SourceError):
            list(ParquetSource(Kept("file:///x.parquet", data)).read(cursor))


def tar_file() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a.jpg", "ü" * 90, "c/d.json"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"x" * 700))
    return sink.getvalue()


TAR = tar_file()


@FUZZ
@given(st.integers(0, len(TAR)), st.binary(max_size=40), CURSORS)
def test_a_damaged_archive_is_read_or_its_job_fails(at: int, noise: bytes, cursor: str | None) -> None:
    for data in (TAR[:at] + noise + TAR[at + len(noise) :], TAR[:at] + noise):
        with suppress(SourceError):
            items = list(TarSource(Kept("file:///x.tar", data), max_member_bytes=1000).read(cursor))
            assert all(item.source.isascii() and item.cursor.isascii() for item in items)


class KeptOpener:
    """Opens one file, whatever it is called."""

    policy = FetchPolicy(allowed_directories=(Path("/x"),), allowed_s3_prefixes=("s3://b",))

    def __init__(self, data: bytes) -> None:
        self.data = data

    def file(self, place: str) -> Kept:
        return Kept(place, self.data)


MANIFEST = b'\xef\xbb\xbf[ {"prefix": "s3://b/\\u00fc{}/"},\r\n"k \\"1\\"", "2"\n, "3"\t]\n'


@FUZZ
@given(st.integers(0, len(MANIFEST)), st.one_of(ANYTHING, st.binary(max_size=3)), st.booleans(), CURSORS)
def test_a_manifest_of_any_bytes_names_objects_or_its_job_fails(
    at: int, noise: bytes, replaces: bool, cursor: str | None
) -> None:
    data = MANIFEST[:at] + noise + MANIFEST[at + len(noise) * replaces :]
    listing, opener = ManifestListing("file:///x/manifest"), cast("Opener", KeptOpener(data))
    with suppress(SourceError):
        list(listing.behind(cursor, opener))
    with suppress(SourceError):
        named = list(listing.behind(None, opener))
        for number, placed in enumerate(named, start=1):
            assert list(listing.behind(placed.cursor, opener)) == named[number:]
            assert listing.at(placed.cursor, opener) == placed


@FUZZ
@given(CURSORS)
def test_any_cursor_is_a_place_or_refused(cursor: str | None) -> None:
    with suppress(SourceError):
        assert read_cursor(cursor).offset < 10**18


ADDRESSES = st.one_of(
    st.text(max_size=30),
    st.text(max_size=20).map("file:///{}".format),
    st.text(max_size=20).map("s3://{}".format),
    st.sampled_from(
        ["file://[::1", "file:///%00", "file:///" + "%" * 999, "s3://b/" + "../" * 99, "http://[", "://", "a" * 99_999]
    ),
)


@FUZZ
@given(ADDRESSES)
def test_any_address_leads_somewhere_or_is_refused(uri: str) -> None:
    redacted(uri).encode()
    for place in (path_of, s3_place_of):
        with suppress(RefusedPlace):
            place(uri)
    with suppress(SourceError):
        file_at(uri, FetchPolicy()).uri  # noqa: B018 - it is made when it is asked for


DATE = "Mon, 01 Jan 2024 00:00:00 {}"


@FUZZ
@given(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="0123456789 :,+-JanMoGMT", max_size=40),
        st.text(alphabet="0123456789+-", max_size=25).map(DATE.format),
        st.sampled_from(
            [DATE.format("+99999999999999"), "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", "9" * 10**5]
        ),
    )
)
def test_any_wish_of_a_service_is_seconds_or_none(header: str) -> None:
    seconds = retry_after_s(header, 1e9)
    assert seconds is None or 0 <= seconds < 1e12
    media_type(header)


FRAME = b"".join(pack((5, 1, [b"x", None], "application/json", {})))


@FUZZ
@given(st.binary(max_size=60), st.integers(0, len(FRAME)), st.sampled_from([b"", FRAME[:12]]))
def test_whatever_comes_from_the_predictors_process_is_a_message_or_a_broken_wire(
    noise: bytes, at: int, before: bytes
) -> None:
    sent = before + FRAME[:at] + noise + FRAME[at + len(noise) :]
    # Measured: pickle makes room for as many memos as such an opcode says, up to 64 GiB.
    assume(pickle.LONG_BINPUT not in sent)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        with suppress(BrokenWire):
            assert all(isinstance(message, tuple) for message in FrameReader(ours).read())


class Unreadable:
    """A record of which the binding cannot read the headers."""

    topic, key, value = (lambda _, said=said: said for said in ("t", b"k", b"{}"))
    partition, offset = (lambda _, said=said: said for said in (0, 1))

    def timestamp(self) -> tuple[int, int]:
        return (1, 5)

    def headers(self) -> None:
        raise SystemError("<method 'headers'> returned a result with an exception set")


def test_an_item_whose_headers_cannot_be_read_says_so() -> None:
    item = read_item(as_message(Unreadable()))

    assert item.fault == "the name of a header is not UTF-8, so none of its headers can be read"
    assert (item.item_id, item.payload.data) == ("t-0-1", b"{}")


@pytest.mark.parametrize("frame", [b"siw1" + b"\xff" * 8, b"siw1" + (2**33 + 1).to_bytes(8, "little"), b"\0" * 12])
def test_a_frame_of_no_size_is_a_broken_wire(frame: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame)
        with pytest.raises(BrokenWire):
            list(FrameReader(ours).read())
