"""One suite over every kind of source: it can be left and taken up again behind each of its items."""

import gzip
import itertools

import orjson
import pytest

from connectors import s3_reader
from connectors.policy import FetchPolicy
from connectors.s3 import S3Access
from connectors.sources import DirectorySource, InlineSource, JsonlSource, file_at
from connectors.stores import DirectoryStore
from stream_infer.errors import ServiceUnavailable, SourceError
from stream_infer.records import JSON, REFERENCE

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
        return lambda uri: JsonlSource(file_at(uri, policy, S3Access(attempts=1, connect_timeout_s=1)))

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
