"""What is wrong with a manifest or a table is said with its place; and how much of one is held."""

import datetime as dt
import decimal
import io
import itertools
import math
import tarfile
import time
import tracemalloc

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from connectors.policy import FetchPolicy
from connectors.sources import (
    AddressItems,
    CsvSource,
    LineItems,
    ManifestListing,
    ObjectsSource,
    ParquetSource,
    ReferenceItems,
    TarSource,
    file_at,
)
from connectors.sources.globs import select_objects
from stream_infer.errors import SourceError


@pytest.fixture
def put(tmp_path):
    def write(name, data):
        (tmp_path / name).write_bytes(data)
        return (tmp_path / name).as_uri()

    return write


@pytest.fixture
def policy(tmp_path):
    return FetchPolicy(allowed_directories=(tmp_path,))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"is no manifest: \[ is missing, at byte 0"),
        ("{}", r"\[ is missing"),
        ("[]", "names no object"),
        ('[{"prefix": "HERE"}]', "names no object"),
        ("[1]", "no JSON array of texts, at byte 1"),
        ('[{"prefix": 1}, "a"]', "its first entry is an object"),
        ('[{"prefx": "HERE"}, "a"]', "its first entry is an object"),
        ('[{"prefix": "HERE"}, "a" "b"]', ", is missing"),
        ('[{"prefix": "HERE"}, "a", ]', "entry 2 is no text"),
        ('[{"prefix": "HERE"}, "a", {"prefix": "HERE"}]', "entry 2 is no text"),
        ('[{"prefix": "HERE"}, "a"', ", is missing"),
        ('[{"prefix": "HERE"}, "a"] 1', "no JSON array of texts"),
        ('[{"prefix": "HERE"}, "a"] "b"', "something comes behind"),
        ('[{"prefix": "HERE"}, "\\x"]', "entry 1 is not JSON"),
        ('[{"prefix": "HERE"}, "a?b"]', r"entry 1 \('a\?b'\): .* write \? as %3F"),
        ('["relative"]', r"entry 1 \('relative'\): relative is neither s3://"),
        ('["s3://bucket/key"]', r"entry 1 .* fetch\.allowed_s3_prefixes"),
        ('["file:///etc/passwd"]', r"entry 1 .* fetch\.allowed_directories"),
        ('[{"prefix": "HERE"}, "' + "a" * 20_000, "no JSON array of texts"),
    ],
)
def test_a_manifest_that_is_none_is_a_source_error_that_says_where(put, policy, tmp_path, text, reason):
    uri = put("manifest", text.replace("HERE", f"{tmp_path.as_uri()}/").encode())

    with pytest.raises(SourceError, match=reason):
        list(ObjectsSource(ManifestListing(uri), ReferenceItems(), policy).read(None))


@pytest.mark.parametrize("cursor", ["x", "", "1:2", "5-9", "5-9:1:v|x"])
def test_a_cursor_that_is_no_manifests_is_a_source_error(put, policy, tmp_path, cursor):
    uri = put("manifest", orjson.dumps([f"{tmp_path.as_uri()}/a"]))

    with pytest.raises(SourceError):
        list(ObjectsSource(ManifestListing(uri), LineItems(), policy).read(cursor))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "needs a header and one row an item"),
        (b"a,b\n", "needs a header and one row an item"),
        (b"a,a\n1,2\n", "line 1: the header has a name twice or none: a, a"),
        (b"a,\n1,2\n", "line 1: the header has a name twice or none"),
        (b"a,b\n1,2\n\n3\n", "line 4 has 1 cells, and the first row 2"),
        (b"a,b\n1,2,3\n", "line 2 has 3 cells"),
        (b'a,b\n1,2\n"x,y\n', "line 3 is not CSV"),
        (b'a,b\n1,"x"y\n', "line 2 is not CSV"),
        (b"a,b\n1,\xff\n", "line 2 is not UTF-8"),
        (b'a\n"' + b"x\n" * 600, "a row of more than 1000 bytes"),
    ],
)
def test_a_table_of_text_that_is_none_is_a_source_error_with_its_line(put, policy, content, reason):
    file = file_at(put("table.csv", content), policy)

    with pytest.raises(SourceError, match=rf"table\.csv .*{reason}"):
        list(CsvSource(file, max_row_bytes=1000).read(None))


def rows(source):
    return [orjson.loads(item.payload.data) for item in source.read(None)]


def test_the_cells_of_a_column_of_numbers_are_numbers_or_nothing_and_a_stranger_among_them_stays_text(put, policy):
    head = b"n,f,zip,text,none\n1,1.5,01,x,\n-2,,2,3,\n,1e3,3,,\n"
    file = file_at(put("t.csv", head + b"7,0.5,4,y,\n" * 1000 + b"oops,1e999,5,z,9\n"), policy)

    found = rows(CsvSource(file))

    assert found[0] == {"n": 1, "f": 1.5, "zip": "01", "text": "x", "none": ""}
    assert found[1:3] == [
        {"n": -2, "f": None, "zip": "2", "text": "3", "none": ""},
        {"n": None, "f": 1000.0, "zip": "3", "text": "", "none": ""},
    ]
    assert found[-1] == {"n": "oops", "f": "1e999", "zip": "5", "text": "z", "none": "9"}
    assert rows(CsvSource(file, numbers=False))[1] == {"n": "-2", "f": "", "zip": "2", "text": "3", "none": ""}


def test_a_table_without_a_header_gives_lists_and_tabs_are_known_by_the_name(put, policy):
    assert rows(CsvSource(file_at(put("t.tsv", b"1\ta,b\n2\tc\n"), policy), header=False)) == [[1, "a,b"], [2, "c"]]
    assert rows(CsvSource(file_at(put("t.csv", b"a;b\n1;2\n"), policy), delimiter=";")) == [{"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "no Parquet file"), (b"PAR1", "no Parquet file"), (b"PAR1" * 9, "no Parquet file")]
)
def test_what_is_no_parquet_is_a_source_error(put, policy, content, reason):
    with pytest.raises(SourceError, match=reason):
        list(ParquetSource(file_at(put("t.parquet", content), policy)).read(None))


def written(put, policy, table, **options):
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, **options)
    return file_at(put("t.parquet", sink.getvalue().to_pybytes()), policy)


def test_a_damaged_page_of_a_parquet_file_fails_the_source(put, policy, tmp_path):
    file = written(put, policy, pa.table({"text": [f"row {n}" for n in range(1000)]}))
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[40:400] = b"\xff" * 360
    (tmp_path / "t.parquet").write_bytes(data)

    with pytest.raises(SourceError, match=r"t\.parquet (is no Parquet file|cannot be read on)"):
        list(ParquetSource(file).read(None))


def test_a_parquet_file_without_rows_is_a_source_error(put, policy):
    with pytest.raises(SourceError, match="is empty"):
        list(ParquetSource(written(put, policy, pa.table({"a": pa.array([], pa.int64())}))).read(None))


def test_a_row_beyond_the_limit_fails_alone(put, policy):
    table = pa.table({"a": ["x", "x" * 1000, "y"]})
    items = list(ParquetSource(written(put, policy, table), max_row_bytes=1000).read(None))

    assert [item.payload.data for item in items] == [b'{"a":"x"}', b"", b'{"a":"y"}']
    assert [item.refused for item in items] == [
        None,
        f"{items[1].source.replace('#row=2', ' row 2')} has more than 1000 bytes as JSON",
        None,
    ]


def test_what_json_has_no_word_for_becomes_text_or_nothing(put, policy):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    table = pa.table(
        {
            "time": [moment],
            "date": [moment.date()],
            "decimal": [decimal.Decimal("1.10")],
            "nan": [math.nan],
            "took": [dt.timedelta(seconds=90)],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    assert rows(ParquetSource(written(put, policy, table))) == [
        {
            "time": "2026-01-02T03:04:05.000006+00:00",
            "date": "2026-01-02",
            "decimal": "1.10",
            "nan": None,
            "took": 90.0,
            "map": [["k", 1]],
        }
    ]


@pytest.mark.parametrize(
    ("pattern", "key", "meant"),
    [
        ("*.jpg", "a/.b.jpg", True),
        ("**.jpg", "a/b/c.jpg", True),
        ("cats/*", "animals/cats/1.jpg", True),
        ("cats/*", "animals/cats/old/1.jpg", False),
        ("**/cats/**", "animals/cats/old/1.jpg", True),
        ("s3://bucket/animals/*", "animals/1.jpg", True),
        ("s3://bucket/*", "animals/1.jpg", False),
        ("s3://other/**", "animals/1.jpg", False),
        ("*.{jpg,png}", "a.png", True),
        ("[!0-9]*.png", "a/1.png", False),
    ],
)
def test_a_glob_is_about_the_end_of_an_address_or_the_whole_of_it(pattern, key, meant):
    assert select_objects([pattern]).selects(["s3:", "bucket", *key.split("/")]) is meant
    assert select_objects([], [pattern]).selects(["s3:", "bucket", *key.split("/")]) is not meant


def test_of_a_long_manifest_and_a_long_table_little_is_held(put, policy, tmp_path):
    """Of 20 MB each some hundred kilobytes: the chunk, the sample of a table's rows, an item."""
    manifest = b'[{"prefix": "%s/"}' % tmp_path.as_uri().encode() + b',"0123456789012345678901"' * 800_000 + b"]"
    sources = [
        ObjectsSource(ManifestListing(put("manifest", manifest)), AddressItems(), policy),
        CsvSource(file_at(put("t.csv", b"a,b\n" + b"1,0123456789\n" * 1_500_000), policy)),
    ]
    for source in sources:
        reading = source.read(None)
        for _ in itertools.islice(reading, 2000):
            pass
        tracemalloc.start()
        for _ in itertools.islice(reading, 10_000):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        reading.close()
        assert peak < 8_000_000  # 0.2 MB; what other tests left running may take some at the same time


def archive(*members, format=tarfile.PAX_FORMAT):  # noqa: A002 - as tarfile calls it
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as written:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            written.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def extended(records):
    """An archive whose first file is described by `records` as they are."""
    header = tarfile.TarInfo("PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % tarfile.BLOCKSIZE)
    return header.tobuf(tarfile.USTAR_FORMAT) + records + padding + archive(("a", b"1"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "breaks off"),
        (b"x" * 2000, "is no tar archive, or broken at byte 0"),
        (archive(), "has no file that is meant"),
        (archive((".hidden", b"1")), "has no file that is meant"),
        (archive(("a", b"1"))[:600], "breaks off"),
        (archive(("a", b"1"))[:1024], "breaks off"),
        (archive(("a", b"1"))[:1024] + b"x" * 512, "broken at byte 1024"),
        (archive(("n" * 2_000_000, b"1"), format=tarfile.GNU_FORMAT), "a header at byte 0 has 2000001 bytes"),
        (extended(b"x path=a\n"), "broken: invalid literal"),
        (extended(b"-9 path=a\n"), "longer than its header"),
        (extended(b"99 path=a\n"), "longer than its header"),
        (extended(b"9" * 400), "does not say how long it is"),
    ],
)
def test_what_is_wrong_with_an_archive_fails_the_source(put, policy, data, reason):
    with pytest.raises(SourceError, match=reason):
        list(TarSource(file_at(put("x.tar", data), policy), max_member_bytes=1000).read(None))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (("big.jpg", b"1" * 1001), "big.jpg has 1001 bytes: raise fetch.max_bytes"),
        (("n" * 5000, b"1"), "has 5000 bytes"),
    ],
)
def test_a_file_of_an_archive_that_is_too_large_fails_alone(put, policy, odd, reason):
    data = archive(("a", b"1"), odd, ("b", b"2"))
    items = list(TarSource(file_at(put("x.tar", data), policy), max_member_bytes=1000).read(None))

    assert [item.payload.data for item in items] == [b"1", b"", b"2"]
    assert [item.refused is not None for item in items] == [False, True, False]
    assert reason in items[1].refused
    assert len(items[1].key) <= 4096


def test_a_header_full_of_tiny_records_takes_no_time(put, policy):
    """Each was once cut off the rest of a header of 1 MiB: 100 GB were copied, for a kilobyte of a packed archive."""
    source = TarSource(file_at(put("x.tar", extended(b"5 a=\n" * 200_000)), policy))
    began = time.thread_time()

    assert [item.key for item in source.read(None)] == [b"a"]
    assert time.thread_time() - began < 3  # 0.2 s; it took 8


def test_includes_and_excludes_choose_among_the_files_of_an_archive(put, policy):
    data = archive(("./a/1.jpg", b"1"), ("a/2.png", b"2"), ("b/3.jpg", b"3"), ("../../etc/4.jpg", b"4"))
    source = TarSource(file_at(put("x.tar", data), policy), includes=["*.jpg"], excludes=["b/"])

    assert [item.key for item in source.read(None)] == [b"./a/1.jpg"]
