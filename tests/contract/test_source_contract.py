"""One suite over every kind of source: it can be left and taken up again behind each of its items."""

import gzip
import io
import itertools
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from connectors import s3_clients, s3_reader
from connectors.policy import FetchPolicy
from connectors.s3 import S3Access
from connectors.s3_clients import S3Clients
from connectors.sources import (
    AddressItems,
    CsvSource,
    DirectorySource,
    InlineSource,
    JsonlSource,
    LineItems,
    ManifestListing,
    ObjectsSource,
    ParquetSource,
    ReferenceItems,
    RequestsSource,
    S3Listing,
    TarSource,
    UnpackedItems,
    file_at,
    manifest,
)
from connectors.sources.plugin import open_plugin
from connectors.stores import DirectoryStore, open_store
from stream_infer.errors import ServiceUnavailable, SourceError
from stream_infer.records import JSON, REFERENCE
from stream_infer.uploads import UploadNote, new_upload
from tests.support.plugin import install

LINES = [b'{"a":1}', b'"\xc3\xbc"', b"not JSON", b"[1, 2]", b"7"]
TEXT = b'\xef\xbb\xbf{"a":1}\n\n  "\xc3\xbc" \r\nnot JSON\n \t\n[1, 2]\n7'
NUMBERS = [1, 3, 4, 6, 7]


class SourceContract:
    """A subclass gives the fixtures `source` and `payloads` (what it holds, in order)."""

    def test_it_gives_its_items_in_a_stable_order(self, source, payloads):
        first, second = list(source.read(None)), list(source.read(None))

        assert [item.payload.data for item in first] == payloads
        assert first == second

    def test_from_every_cursor_it_gives_exactly_the_rest(self, source):
        items = list(source.read(None))

        for number, item in enumerate(items, start=1):
            assert list(source.read(item.cursor)) == items[number:]

    def test_cursors_and_sources_are_different_plain_text(self, source):
        items = list(source.read(None))

        assert len({item.cursor for item in items}) == len({item.source for item in items}) == len(items)
        assert all(item.cursor.isascii() and orjson.dumps(item.source) for item in items)

    def test_it_can_be_left_in_the_middle(self, source, payloads):
        reading = source.read(None)
        next(reading)
        reading.close()

        assert len(list(source.read(None))) == len(payloads)


class LinesContract(SourceContract):
    @pytest.fixture
    def payloads(self):
        return LINES

    def test_each_line_that_is_not_blank_is_a_json_item_named_after_its_number(self, source):
        items = list(source.read(None))

        assert {item.payload.content_type for item in items} == {JSON}
        assert [item.source.rpartition("#")[2] for item in items] == [f"line={number}" for number in NUMBERS]

    @pytest.mark.parametrize("cursor", ["x", "", "1", "-1:2", "1:x:3"])
    def test_a_cursor_of_another_kind_is_a_source_error(self, source, cursor):
        with pytest.raises(SourceError, match="cursor"):
            list(source.read(cursor))

    def test_a_file_that_became_shorter_is_a_source_error(self, source):
        with pytest.raises(SourceError, match="shorter"):
            list(source.read("999:9"))


class TestJsonlFile(LinesContract):
    @pytest.fixture
    def source(self, tmp_path):
        (tmp_path / "in put.jsonl").write_bytes(TEXT)
        return JsonlSource(file_at(str(tmp_path / "in put.jsonl"), FetchPolicy(allowed_directories=(tmp_path,))))

    def test_the_source_of_an_item_is_the_uri_of_its_line(self, source, tmp_path):
        assert next(source.read(None)).source == f"file://{tmp_path}/in%20put.jsonl#line=1"


class TestJsonlGzip(LinesContract):
    @pytest.fixture
    def source(self, tmp_path):
        members = gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:])
        (tmp_path / "input.jsonl.gz").write_bytes(members)
        path = (tmp_path / "input.jsonl.gz").as_uri()
        return JsonlSource(file_at(path, FetchPolicy(allowed_directories=(tmp_path,))))


class TestRequests(SourceContract):
    """The body of each line under its custom id."""

    BODIES = (b'{"model":"echo","n":[1,2.5,null]}', b"[]", b'"t\xc3\xa9xt"', b"123456789012345678901234567890", b"null")

    @pytest.fixture
    def payloads(self):
        return [*self.BODIES, b"{broken", b'{"body": 1}', b'{"custom_id": "", "body": 1}']

    @pytest.fixture
    def source(self, tmp_path, payloads):
        line = b'{"custom_id": "r-%d", "method": "POST", "url": "/v1/x", "body": %b}'
        lines = [line % pair for pair in enumerate(self.BODIES)] + [b"", *payloads[len(self.BODIES) :]]
        (tmp_path / "requests.jsonl").write_bytes(b"\n".join(lines))
        return self.at(tmp_path)

    @staticmethod
    def at(folder):
        policy = FetchPolicy(allowed_directories=(folder,))
        return RequestsSource(file_at(str(folder / "requests.jsonl"), policy), max_line_bytes=1000)

    def test_what_is_no_request_is_an_item_as_it_stands(self, source):
        items = list(source.read(None))
        assert [item.custom_id for item in items] == ["r-0", "r-1", "r-2", "r-3", "r-4", None, None, None]
        assert [item.source.rpartition("#")[2] for item in items[4:6]] == ["line=5", "line=7"]
        assert {item.payload.content_type for item in items} == {"application/json"}

    def test_an_empty_file_is_a_source_error(self, tmp_path):
        (tmp_path / "requests.jsonl").write_bytes(b"\n")
        with pytest.raises(SourceError, match=r"requests\.jsonl is empty"):
            list(self.at(tmp_path).read(None))

    def test_a_line_over_the_limit_is_an_item_that_says_so(self, tmp_path):
        (tmp_path / "requests.jsonl").write_bytes(b'{"custom_id": "a", "body": 1}\n' + b"9" * 1001)
        good, long = self.at(tmp_path).read(None)
        assert (good.refused, long.payload.data) == (None, b"")
        assert "requests.jsonl line 2 is longer than 1000 bytes" in long.refused


class TestInline(LinesContract):
    @pytest.fixture
    def source(self, tmp_path):
        store = DirectoryStore(tmp_path)
        store.put("_submissions/job-1.jsonl", TEXT)
        return InlineSource(store, "_submissions/job-1.jsonl")

    def test_a_submission_that_is_gone_is_a_source_error(self, tmp_path):
        with pytest.raises(SourceError, match=r"_submissions/job-2\.jsonl is not there"):
            list(InlineSource(DirectoryStore(tmp_path), "_submissions/job-2.jsonl").read(None))


class TestJsonlS3(LinesContract):
    @pytest.fixture
    def at(self, s3, monkeypatch):
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(s3_reader, "WINDOW_BYTES", 16)
        policy = FetchPolicy(allowed_s3_prefixes=(f"s3://{s3.bucket}/in", "s3://no-such-bucket-here"))
        return lambda uri: JsonlSource(file_at(uri, policy, S3Clients(S3Access(attempts=1, connect_timeout_s=1))))

    @pytest.fixture
    def put(self, s3):
        client = s3.client()
        yield lambda key, data: client.put_object(Bucket=s3.bucket, Key=key, Body=data)
        client.close()

    @pytest.fixture
    def source(self, s3, at, put):
        put("in/put.jsonl", TEXT)
        return at(f"s3://{s3.bucket}/in/put.jsonl")

    def test_it_reads_in_windows_and_no_further_than_asked(self, source, monkeypatch):
        ranges = []
        read = s3_reader.read_body
        monkeypatch.setattr(
            s3_reader, "read_body", lambda client, request: ranges.append(request) or read(client, request)
        )

        next(source.read(None))

        assert [request["Range"] for request in ranges] == ["bytes=0-15"]

    def test_gzip_is_unpacked_on_the_way(self, s3, at, put):
        put("in/put.jsonl.gz", gzip.compress(TEXT))
        source = at(f"s3://{s3.bucket}/in/put.jsonl.gz")
        items = list(source.read(None))

        assert [item.payload.data for item in items] == LINES
        assert list(source.read(items[2].cursor)) == items[3:]

    def test_an_object_that_is_replaced_while_being_read_is_a_source_error(self, source, put):
        reading = source.read(None)
        next(reading)
        put("in/put.jsonl", TEXT + b"\n8")

        with pytest.raises(SourceError, match="replaced while it was being read"):
            list(reading)

    def test_what_is_missing_forbidden_or_empty_is_a_source_error(self, s3, at, put):
        put("in/empty.jsonl", b"\n\n")
        for uri, reason in (
            (f"s3://{s3.bucket}/in/gone.jsonl", "no such object"),
            ("s3://no-such-bucket-here/x.jsonl", "no such"),
            (f"s3://{s3.bucket}/elsewhere.jsonl", r"fetch\.allowed_s3_prefixes"),
            (f"s3://{s3.bucket}/in/empty.jsonl", "is empty"),
        ):
            with pytest.raises(SourceError, match=reason):
                list(at(uri).read(None))

    def test_a_server_that_is_not_there_is_unavailable_and_fails_no_job(self, source, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")

        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            list(source.read(None))


class TestDirectory(SourceContract):
    NAMES = ("a-b.jpg", "a/b.jpg", "a/deep/er/c.png", "a0.jpg", "b ü#1.jpg", "c")

    @pytest.fixture
    def root(self, tmp_path):
        for name in self.NAMES:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    @pytest.fixture
    def source(self, root):
        return DirectorySource(root, FetchPolicy(allowed_directories=(root,)))

    @pytest.fixture
    def payloads(self, root):
        types = itertools.chain(["image/jpeg", "image/jpeg", "image/png", "image/jpeg", "image/jpeg"], [None])
        return [
            orjson.dumps({"uri": (root / name).as_uri(), "content_type": kind or "application/octet-stream"})
            for name, kind in zip(self.NAMES, types, strict=True)
        ]

    def test_items_are_references_keyed_by_their_path(self, source, root):
        items = list(source.read(None))

        assert {item.payload.content_type for item in items} == {REFERENCE}
        assert [item.key.decode() for item in items] == list(self.NAMES)
        assert [item.source for item in items] == [(root / name).as_uri() for name in self.NAMES]

    def test_a_directory_is_listed_only_when_its_turn_comes(self, source, root):
        reading = source.read(None)
        assert next(reading).key == b"a-b.jpg"

        (root / "a" / "new.jpg").touch()

        assert [item.key for item in reading][:3] == [b"a/b.jpg", b"a/deep/er/c.png", b"a/new.jpg"]

    def test_resuming_does_not_list_what_is_done(self, source, root):
        cursor = list(source.read(None))[2].cursor
        (root / "a").rename(root.parent / f"{root.name}-moved")

        assert [item.key.decode() for item in source.read(cursor)] == list(self.NAMES[3:])


class TestPlugin(SourceContract):
    """One of another package, behind what guards us from its faults."""

    @pytest.fixture
    def payloads(self):
        return [b'{"id": 1, "text": "good"}', b'{"id": 3, "text": null}', b'{"id": 4, "text": "\\u00fc"}']

    @pytest.fixture
    def source(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(install(tmp_path / "packages")))
        with closing(sqlite3.connect(tmp_path / "reviews.db")) as database:
            database.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT)")
            rows = [(1, "good"), (2, "gone"), (3, None), (4, "ü")]
            database.executemany("INSERT INTO reviews VALUES (?, ?)", rows)
            database.execute("DELETE FROM reviews WHERE id = 2")
            database.commit()
        return open_plugin("sqlite", {"file": str(tmp_path / "reviews.db"), "table": "reviews"})


class TarContract(SourceContract):
    NAMES = ("b.jpg", "a/deep/c.png", "a/b ü#1.txt", "a/" + "long" * 60 + ".jpg", "empty.json")
    format = tarfile.PAX_FORMAT
    ending = "tar"

    @pytest.fixture
    def payloads(self):
        return [name.encode()[:-4] * 40 if name != "empty.json" else b"" for name in self.NAMES]

    @pytest.fixture
    def source(self, tmp_path, payloads):
        path = tmp_path / f"pictures.{self.ending}"
        with tarfile.open(path, "w:gz" if self.ending == "tgz" else "w", format=self.format) as archive:
            for name, data in zip(self.NAMES, payloads, strict=True):
                folder = tarfile.TarInfo("a")
                folder.type = tarfile.DIRTYPE
                link = tarfile.TarInfo(f"link-{len(data)}")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                member = tarfile.TarInfo(name)
                member.size = len(data)
                for entry in (folder, link, member):
                    archive.addfile(entry, io.BytesIO(data))
                hidden = tarfile.TarInfo(f".hidden-{len(data)}")
                archive.addfile(hidden)
        return TarSource(file_at(path.as_uri(), FetchPolicy(allowed_directories=(tmp_path,))))

    def test_an_item_is_a_regular_file_with_its_bytes_keyed_by_its_name(self, source, tmp_path):
        items = list(source.read(None))

        assert [item.key.decode() for item in items] == list(self.NAMES)
        assert [item.payload.content_type for item in items[:2]] == ["image/jpeg", "image/png"]
        assert items[2].source == f"{tmp_path.as_uri()}/pictures.{self.ending}#path=a/b%20%C3%BC%231.txt"


class TestTar(TarContract):
    pass


class TestTarOfGnu(TarContract):
    format = tarfile.GNU_FORMAT


class TestTarGzip(TarContract):
    ending = "tgz"


@pytest.fixture
def bucket(s3, monkeypatch):
    """The bucket's address, reachable by boto3's own means."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket}"


@pytest.fixture
def put(s3):
    client = s3.client()
    yield lambda key, data=b"": client.put_object(Bucket=s3.bucket, Key=key, Body=data)
    client.close()


def s3_policy(*prefixes):
    return FetchPolicy(allowed_s3_prefixes=prefixes)


@dataclass
class Place:
    start: str
    write: Callable[[str, bytes], None]
    policy: FetchPolicy

    def file(self, name, data):
        self.write(name, data)
        return file_at(self.start + name, self.policy)


class InDirectory:
    """Files are put into a directory, and named by their address."""

    @pytest.fixture
    def place(self, tmp_path):
        def write(name, data):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)

        return Place(tmp_path.as_uri() + "/", write, FetchPolicy(allowed_directories=(tmp_path,)))

    @pytest.fixture
    def store(self, tmp_path):
        return open_store(tmp_path.as_uri())


class InS3:
    """Files are put into a bucket."""

    @pytest.fixture
    def place(self, bucket, put):
        return Place(f"{bucket}/in/", lambda name, data: put(f"in/{name}", data), s3_policy(f"{bucket}/in"))

    @pytest.fixture
    def store(self, bucket):
        store = open_store(bucket)
        yield store
        store.close()


OBJECTS = ("2024/a-b.jpg", "2024/a.jpg", "2024/a/.c.jpg", "2024/a/d.png", "2024/b \u00fc#1?.jpg", "2025/e.jpg")


class ListingContract(SourceContract):
    """Objects of S3; a subclass gives `content`, `policy` and what it makes of each object."""

    content = ReferenceItems()

    @pytest.fixture
    def policy(self, bucket):
        return s3_policy(f"{bucket}/in")

    @pytest.fixture
    def filled(self, put):
        for name in OBJECTS:
            put(f"in/{name}", self.body)
        put("in/2024/folder/")
        put("inner/not-allowed.jpg", self.body)

    body = b""

    @pytest.fixture
    def source(self, bucket, filled, policy, monkeypatch):
        return ObjectsSource(S3Listing([f"{bucket}/in/2024", f"{bucket}/in/2025/"]), self.content, policy)


class TestS3Prefix(ListingContract):
    content = ReferenceItems("image/x")

    @pytest.fixture
    def payloads(self, bucket):
        return [orjson.dumps({"uri": f"{bucket}/in/{name}", "content_type": "image/x"}) for name in OBJECTS]

    def test_an_item_is_a_reference_keyed_by_the_objects_key(self, source):
        items = list(source.read(None))

        assert {item.payload.content_type for item in items} == {REFERENCE}
        assert [item.key.decode() for item in items] == [f"in/{name}" for name in OBJECTS]

    @pytest.mark.parametrize(
        ("includes", "excludes", "meant"),
        [
            (["*.png"], [], [3]),
            (["**.png"], [], [3]),
            (["**/a/*"], [], [2, 3]),
            (["a/*"], ["*.png"], [2]),
            ([], ["**/2024/**"], [5]),
            (["s3://*/in/*/e.jpg"], [], [5]),
            (["*.{png,jpg}"], ["2024/*.jpg"], [2, 3, 5]),
        ],
    )
    def test_includes_and_excludes_choose_among_addresses(self, bucket, filled, policy, includes, excludes, meant):
        listing = S3Listing([f"{bucket}/in/"], includes=includes, excludes=excludes)
        items = list(ObjectsSource(listing, self.content, policy).read(None))

        assert [item.key.decode() for item in items] == [f"in/{OBJECTS[number]}" for number in meant]

    def test_it_lists_page_by_page_and_no_further_than_asked(self, bucket, put, policy, monkeypatch):
        asked = []
        opened = s3_clients.s3_client

        def client(access):
            made = opened(access)
            listed = made.list_objects_v2
            made.list_objects_v2 = lambda **request: asked.append(request) or listed(MaxKeys=2, **request)
            return made

        for number in range(7):
            put(f"in/{number}")
        monkeypatch.setattr(s3_clients, "s3_client", client)
        source = ObjectsSource(S3Listing([f"{bucket}/in/"]), self.content, policy)
        reading = source.read(None)
        items = [next(reading)]

        assert len(asked) == 1
        items += reading
        assert [item.key for item in items] == [f"in/{number}".encode() for number in range(7)]
        assert len(asked) == 4
        assert list(source.read(items[3].cursor)) == items[4:]
        assert asked[4]["StartAfter"] == "in/3"

    def test_a_prefix_that_is_allowed_as_a_whole_shows_nothing_that_only_begins_alike(self, bucket, filled, policy):
        items = list(ObjectsSource(S3Listing([f"{bucket}/in"]), self.content, policy).read(None))

        assert [item.key.decode() for item in items] == [f"in/{name}" for name in OBJECTS]

    def test_what_is_missing_forbidden_or_empty_is_a_source_error(self, bucket, filled, policy, monkeypatch):
        for start, reason in (
            (f"{bucket}/in/none", "no object whose address begins with .*/in/none"),
            (f"{bucket}/inner/", r"fetch\.allowed_s3_prefixes"),
            (f"{bucket}", r"fetch\.allowed_s3_prefixes"),
        ):
            with pytest.raises(SourceError, match=reason):
                list(ObjectsSource(S3Listing([start]), self.content, policy).read(None))
        nowhere = ObjectsSource(
            S3Listing(["s3://no-such-bucket-here/x"]), self.content, s3_policy("s3://no-such-bucket-here")
        )
        with pytest.raises(SourceError, match="no such bucket"):
            list(nowhere.read(None))
        with pytest.raises(SourceError, match="S3 address"):
            S3Listing(["http://x"])

    def test_a_server_that_is_not_there_is_unavailable_and_fails_no_job(self, source, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            list(
                ObjectsSource(source._places, self.content, source._policy, S3Clients(S3Access(attempts=1))).read(None)
            )

    @pytest.mark.parametrize("cursor", ["x", "", "9:a", "0:", "0", "-1:a"])
    def test_a_cursor_of_another_kind_is_a_source_error(self, source, cursor):
        with pytest.raises(SourceError, match="cursor"):
            list(source.read(cursor))


class TestFilePathLister(ListingContract):
    content = AddressItems()

    @pytest.fixture
    def payloads(self, bucket):
        return [orjson.dumps(f"{bucket}/in/{name}") for name in OBJECTS]


class TestDelimitedFiles(ListingContract):
    """Two lines an object; one of them has none, one is packed."""

    content = LineItems(JSON)

    @pytest.fixture
    def filled(self, put):
        put("in/2024/a.jsonl", b'{"a":1}\n\n2\n')
        put("in/2024/b.jsonl", b"\n")
        put("in/2024/c.jsonl.gz", gzip.compress(b"3\nnot JSON"))
        put("in/2025/d", b"4\n5\n")

    @pytest.fixture
    def payloads(self):
        return [b'{"a":1}', b"2", b"3", b"not JSON", b"4", b"5"]

    def test_an_item_is_named_after_its_object_and_line(self, source, bucket):
        items = list(source.read(None))

        assert items[1].source == f"{bucket}/in/2024/a.jsonl#line=3"
        assert items[2].source == f"{bucket}/in/2024/c.jsonl.gz#line=1"

    def test_an_object_replaced_while_it_is_read_is_a_source_error_with_its_key(self, source, put):
        first = next(source.read(None))
        put("in/2024/a.jsonl", b"9\n9\n9\n")

        with pytest.raises(SourceError, match=r"in/2024/a\.jsonl was replaced"):
            list(source.read(first.cursor))

    def test_objects_that_come_before_the_cursor_are_not_listed_again(self, source, put):
        items = list(source.read(None))
        put("in/2024/a0.jsonl", b"0\n")

        assert list(source.read(items[3].cursor)) == items[4:]

    def test_gzip_that_is_none_is_a_source_error_with_its_key(self, source, put):
        put("in/2024/c.jsonl.gz", b"plain")

        with pytest.raises(SourceError, match=r"c\.jsonl\.gz is not gzip"):
            list(source.read(None))


class ManifestContract(SourceContract):
    content = ReferenceItems()
    names = ("a.jpg", "b/c d.jpg", "a.jpg2")

    @pytest.fixture
    def source(self, place):
        for name in self.names:
            place.write(name, self.body)
        place.write("manifest.json", self.manifest(place.start))
        return ObjectsSource(ManifestListing(f"{place.start}manifest.json"), self.content, place.policy)

    body = b""

    def manifest(self, start):
        return orjson.dumps([{"prefix": start}, *map(self.key, self.names)], option=orjson.OPT_INDENT_2)

    def key(self, name):
        return name


class ManifestReferencesContract(ManifestContract):
    @pytest.fixture
    def payloads(self, place):
        return [orjson.dumps({"uri": place.start + name}) for name in self.names]

    def test_entries_that_are_not_allowed_fail_with_their_number(self, place):
        place.write("manifest.json", orjson.dumps([{"prefix": place.start}, "a", "../../outside"]))
        reading = ObjectsSource(ManifestListing(f"{place.start}manifest.json"), self.content, place.policy).read(None)

        assert next(reading).source == f"{place.start}a"
        with pytest.raises(SourceError, match=r"entry 2 \('\.\./\.\./outside'\)"):
            next(reading)

    def test_a_manifest_may_be_longer_than_what_is_held_of_it(self, place, monkeypatch):
        monkeypatch.setattr(manifest, "_CHUNK_BYTES", 7)
        keys = [f'k "{number}" \\ \u00fc' for number in range(50)]
        place.write("manifest.json", b"\xef\xbb\xbf" + orjson.dumps([{"prefix": place.start}, *keys]))
        source = ObjectsSource(ManifestListing(f"{place.start}manifest.json"), AddressItems(), place.policy)
        items = list(source.read(None))

        assert [orjson.loads(item.payload.data) for item in items] == [place.start + key for key in keys]
        assert all(list(source.read(item.cursor)) == items[number:] for number, item in enumerate(items, 1))


class ManifestByLineContract(ManifestContract):
    content = LineItems("text/csv")
    body = b"1,2\n\n3,4"

    @pytest.fixture
    def payloads(self):
        return [b"1,2", b"3,4"] * 3


class ManifestUnpackedContract(ManifestContract):
    content = UnpackedItems("image/x")
    body = gzip.compress(b"picture", mtime=0)

    @pytest.fixture
    def payloads(self):
        return [b"picture"] * 3

    def test_an_object_that_is_too_large_unpacked_is_an_item_that_says_so(self, source, place):
        small = ObjectsSource(ManifestListing(f"{place.start}manifest.json"), UnpackedItems(None, 6), place.policy)

        items = list(small.read(None))

        assert [item.payload.data for item in items] == [b""] * 3
        assert "a.jpg has more than 6 bytes unpacked" in items[0].refused


CSV = b'\xef\xbb\xbfid,text,zip\r\n1,"two\nlines, and ""more""",007\r\n\r\n-2.5,,8\n3,\xc3\xbc,9'
CSV_ROWS = [
    {"id": 1, "text": 'two\nlines, and "more"', "zip": "007"},
    {"id": -2.5, "text": "", "zip": "8"},
    {"id": 3, "text": "\u00fc", "zip": "9"},
]


class CsvContract(SourceContract):
    @pytest.fixture(params=["table.csv", "table.csv.gz"])
    def source(self, request, place):
        data = gzip.compress(CSV) if request.param.endswith(".gz") else CSV
        return CsvSource(place.file(request.param, data))

    @pytest.fixture
    def payloads(self):
        return [orjson.dumps(row) for row in CSV_ROWS]

    def test_an_item_is_named_after_the_line_that_its_row_begins_in(self, source):
        assert [item.source.rpartition("#")[2] for item in source.read(None)] == ["line=2", "line=5", "line=6"]


class ParquetContract(SourceContract):
    @pytest.fixture
    def table(self):
        return pa.table(
            {
                "id": list(range(1000)),
                "at": pa.array([1_500_000_000] * 1000, pa.timestamp("ns")),
                "bytes": [b"\x00\xff"] * 1000,
                "nested": [{"a": [1, None]}] * 1000,
            }
        )

    @pytest.fixture
    def source(self, place, table):
        data = io.BytesIO()
        parquet.write_table(table, data, row_group_size=300)
        return ParquetSource(place.file("table.parquet", data.getvalue()))

    @pytest.fixture
    def payloads(self):
        row = b'{"id":%d,"at":"1970-01-01T00:00:01.500000","bytes":"AP8=","nested":{"a":[1,null]}}'
        return [row % number for number in range(1000)]

    def test_from_every_cursor_it_gives_exactly_the_rest(self, source):
        """Of a thousand rows: at the ends of groups and batches, and beside them."""
        items = list(source.read(None))

        for number in (1, 2, 255, 256, 257, 299, 300, 301, 556, 600, 900, 999, 1000):
            assert list(source.read(items[number - 1].cursor)) == items[number:]

    def test_columns_can_be_chosen_and_one_that_is_not_there_is_a_source_error(self, place, table):
        data = io.BytesIO()
        parquet.write_table(table, data)
        file = place.file("table.parquet", data.getvalue())

        assert next(ParquetSource(file, columns=["nested", "id"]).read(None)).payload.data in (
            b'{"nested":{"a":[1,null]},"id":0}',
            b'{"id":0,"nested":{"a":[1,null]}}',
        )
        with pytest.raises(SourceError, match="has no column 'ID'; it has id, at, bytes, nested"):
            list(ParquetSource(file, columns=["id", "ID"]).read(None))


class UploadContract(LinesContract):
    """In parts that end wherever they end, in both kinds of stores."""

    @pytest.fixture
    def upload(self, store):
        upload = new_upload("my items.jsonl", "stream-infer", 1_700_000_000.5)
        for number, start in enumerate(range(0, len(TEXT), 5)):
            store.put(upload.part(number), TEXT[start : start + 5])
        note = UploadNote(name="my items.jsonl", bytes=len(TEXT), part_bytes=5, sha256="")
        store.put(upload.note, note.model_dump_json().encode())
        return upload

    @pytest.fixture
    def source(self, store, upload):
        return JsonlSource(file_at(upload.uri, FetchPolicy(), store=store))

    def test_the_source_of_an_item_is_the_uploads_uri(self, source, upload):
        assert next(source.read(None)).source == f"upload:{upload.id}/my_items.jsonl#line=1"

    def test_an_upload_that_never_ended_or_lost_a_part_is_a_source_error(self, store, upload, source):
        store.delete(upload.part(2))
        with pytest.raises(SourceError, match="not there as a whole any more"):
            list(source.read(None))
        store.delete(upload.note)
        with pytest.raises(SourceError, match="never came to its end"):
            list(source.read(None))


class TestManifestInDirectory(InDirectory, ManifestReferencesContract):
    pass


class TestManifestInS3(InS3, ManifestReferencesContract):
    pass


class TestManifestByLineInDirectory(InDirectory, ManifestByLineContract):
    pass


class TestManifestByLineInS3(InS3, ManifestByLineContract):
    pass


class TestManifestUnpackedInDirectory(InDirectory, ManifestUnpackedContract):
    pass


class TestManifestUnpackedInS3(InS3, ManifestUnpackedContract):
    pass


class TestCsvInDirectory(InDirectory, CsvContract):
    pass


class TestCsvInS3(InS3, CsvContract):
    pass


class TestParquetInDirectory(InDirectory, ParquetContract):
    pass


class TestParquetInS3(InS3, ParquetContract):
    pass


class TestUploadInDirectory(InDirectory, UploadContract):
    pass


class TestUploadInS3(InS3, UploadContract):
    pass
