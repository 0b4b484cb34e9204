"""One suite over every kind of store; each S3 server is a real one."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest
import urllib3

from connectors.s3 import S3Access
from connectors.stores import DirectoryStore, S3Store, open_store
from stream_infer.errors import ConfigError, NoLinks, ServiceUnavailable
from stream_infer.ports import StoredObject
from tests.support.memory_store import MemoryStore
from tests.support.plugin import install

MIB = 1024 * 1024
IN_ORDER = ["a-b", "a/b", "a/b-c/d", "a/b.c", "a0", "b/ü 1#%?&+.jsonl", "b/日本", "job-1/_SUCCESS"]


def listed(store, prefix=""):
    return [found.key for found in store.list(prefix)]


class StoreContract:
    """A subclass gives the fixture `store`: an empty one."""

    def test_what_was_put_is_there_to_get_and_to_list(self, store):
        store.put("job/part.jsonl", b"one\n", "application/jsonl")

        assert store.get("job/part.jsonl") == b"one\n"
        assert store.exists("job/part.jsonl")
        assert list(store.list("")) == [StoredObject("job/part.jsonl", 4)]

    def test_a_second_put_replaces_the_object_whole(self, store):
        store.put("object", b"a long first version")
        store.put("object", b"short")

        assert store.get("object") == b"short"
        assert list(store.list("")) == [StoredObject("object", 5)]

    def test_an_empty_object_is_an_object(self, store):
        store.put("job/_SUCCESS", b"")

        assert store.exists("job/_SUCCESS")
        assert store.get("job/_SUCCESS") == b""

    def test_a_large_object_arrives_whole(self, store):
        data = os.urandom(6 * 1024 * 1024)
        store.put("large", data)

        assert store.get("large") == data

    @pytest.mark.parametrize("sizes", [[], [0], [3, 0, 4], [3 * MIB] * 7, [20 * MIB, 1]])
    def test_chunks_make_one_object_whatever_their_sizes(self, store, sizes):
        chunks = [os.urandom(size) for size in sizes]

        store.put_chunks("folder/object", iter(chunks), "text/csv")

        assert store.get("folder/object") == b"".join(chunks)
        assert list(store.list("")) == [StoredObject("folder/object", sum(sizes))]

    @pytest.mark.parametrize("size", [1, 20 * MIB])
    def test_chunks_that_break_off_leave_what_was_there(self, store, size):
        def broken():
            yield os.urandom(size)
            raise ServiceUnavailable("where they come from is away")

        store.put("object", b"before")
        for key in ("object", "other"):
            with pytest.raises(ServiceUnavailable, match="where they come from"):
                store.put_chunks(key, broken())

        assert store.get("object") == b"before"
        assert listed(store) == ["object"]

    def test_a_piece_is_read_from_within_an_object(self, store):
        store.put("folder/object", bytes(range(100)))

        assert store.piece("folder/object", 0, 10) == bytes(range(10))
        assert store.piece("folder/object", 50, 10) == bytes(range(50, 60))
        assert store.piece("folder/object", 95, 10) == bytes(range(95, 100))
        with pytest.raises(KeyError):
            store.piece("folder/other", 0, 10)

    def test_a_missing_object_is_a_key_error(self, store):
        store.put("job/part", b"1")

        for key in ("job", "job/par", "job/part/more", "other"):
            assert not store.exists(key)
            with pytest.raises(KeyError):
                store.get(key)

    def test_keys_are_listed_in_the_order_of_their_bytes(self, store):
        for key in reversed(IN_ORDER):
            if key != "a/b":  # beside "a/b-c/d" it stays, beside "a/b/…" it could not
                store.put(key, b"1")

        assert listed(store) == [key for key in IN_ORDER if key != "a/b"]

    def test_a_prefix_may_end_anywhere(self, store):
        for key in ("job-1/errors/x", "job-1/part-1", "job-1/part-2", "job-10/part-1", "other"):
            store.put(key, b"1")

        assert listed(store, "job-1") == ["job-1/errors/x", "job-1/part-1", "job-1/part-2", "job-10/part-1"]
        assert listed(store, "job-1/") == ["job-1/errors/x", "job-1/part-1", "job-1/part-2"]
        assert listed(store, "job-1/part-2") == ["job-1/part-2"]
        assert listed(store, "job-1/part-2/") == []
        assert listed(store, "nothing/") == []

    def test_any_unicode_key_comes_back_as_it_was_put(self, store):
        for key in IN_ORDER:
            store.put(key, key.encode())

        assert listed(store) == IN_ORDER
        assert [store.get(key).decode() for key in IN_ORDER] == IN_ORDER

    def test_deleting_removes_and_deleting_nothing_is_no_error(self, store):
        store.put("job/a", b"1")
        store.put("job/b", b"1")

        store.delete("job/a")
        store.delete("job/a")
        store.delete("never/was/there")

        assert listed(store) == ["job/b"]

    def test_writers_of_one_key_leave_one_of_their_versions(self, store):
        versions = [bytes([number]) * 100_000 for number in range(8)]
        writers = [threading.Thread(target=store.put, args=("contended", data)) for data in versions]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert store.get("contended") in versions
        assert listed(store) == ["contended"]


class RealStoreContract(StoreContract):
    """What keeps one kind of store exchangeable for the other."""

    def test_a_key_that_escapes_or_fits_not_every_store_is_refused(self, store):
        outside = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", ".uncommitted/x"]
        unwritable = ["a\0b", "a\nb", "\udcff", "x" * 241, "y/" * 600 + "y"]
        for key in outside + unwritable:
            for use in (store.get, store.exists, store.delete, store.uri, lambda key: store.put(key, b"1")):
                with pytest.raises(ValueError, match="no key of a store"):
                    use(key)

    def test_a_prefix_that_escapes_is_refused(self, store):
        with pytest.raises(ValueError, match="no key of a store"):
            list(store.list("../"))


class TestMemoryStore(StoreContract):
    """The fake that other tests use in place of a store."""

    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestPluginStore(StoreContract):
    """One of another package, which builds on ours: as docs/plugins.md shows."""

    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(install(tmp_path / "packages")))
        monkeypatch.setenv("SHELVES", str(tmp_path / "shelves"))
        return open_store("shelf://big/models")

    def test_its_addresses_are_its_own(self, store):
        assert store.uri("a/b") == "shelf://big/models/a/b"


class TestDirectoryStore(RealStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return open_store((tmp_path / "made by the first put" / "store").as_uri())

    def test_the_uri_is_that_of_the_file(self, store):
        store.put("a b/c", b"1")

        assert store.uri("a b/c").endswith("/store/a%20b/c")
        assert list(store.list("a b/")) == [StoredObject("a b/c", 1)]

    def test_it_has_no_links_and_says_what_there_is_instead(self, store):
        with pytest.raises(NoLinks, match="read the files there"):
            store.link("a/b", 60)

    def test_an_object_below_an_object_is_refused(self, store):
        store.put("a", b"1")
        store.put("d/e", b"1")

        for key in ("a/b", "a/b/c", "d"):
            with pytest.raises(ValueError, match="cannot be an object"):
                store.put(key, b"1")
        assert listed(store) == ["a", "d/e"]

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_keeps_the_old_object_and_says_where(self, store, tmp_path, monkeypatch, number):
        store.put("job/part", b"old")

        def full(_descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("connectors.stores.directory.os.fsync", full)
        with pytest.raises(ServiceUnavailable, match=r"store/job/part: .*; free some space there"):
            store.put("job/part", b"new")

        assert store.get("job/part") == b"old"
        assert listed(store) == ["job/part"]
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["part"]

    def test_what_a_killed_writer_left_is_never_listed_and_removed_by_the_next(self, store, tmp_path):
        store.put("a", b"1")
        [drafts] = tmp_path.rglob(".uncommitted")
        (drafts / "killed").write_bytes(b"half")
        with (drafts / "at-work").open("wb") as draft:
            fcntl.flock(draft, fcntl.LOCK_EX)

            assert listed(store) == ["a"]
            DirectoryStore(drafts.parent).put("b", b"1")
            assert [path.name for path in drafts.iterdir()] == ["at-work"]

    def test_a_root_that_is_no_directory_is_unavailable(self, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(ServiceUnavailable, match="set `store` to another place"):
            DirectoryStore(tmp_path / "file").put("a", b"1")

    def test_a_foreign_file_whose_name_is_not_text_is_not_listed(self, store, tmp_path):
        store.put("a", b"1")
        Path(os.fsdecode(os.fsencode(tmp_path / "made by the first put" / "store") + b"/\xff")).touch()

        assert listed(store) == ["a"]


class TestS3Store(RealStoreContract):
    @pytest.fixture
    def environment(self, s3, monkeypatch):
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        return monkeypatch

    @pytest.fixture
    def store(self, s3, environment):
        store = open_store(f"s3://{s3.bucket}/some/prefix/")
        yield store
        store.close()

    @pytest.fixture
    def make_store(self, environment):
        made = []

        def make(bucket, **access):
            made.append(S3Store(bucket, access=S3Access(attempts=1, **access)))
            return made[-1]

        yield make
        for store in made:
            store.close()

    def test_the_uri_is_that_of_the_object_below_the_prefix(self, s3, store):
        assert store.uri("a b/c") == f"s3://{s3.bucket}/some/prefix/a b/c"

    def test_anybody_can_read_an_object_by_its_link_and_no_other(self, store):
        store.put("job/a b+ü.jsonl", b"one\n")
        store.put("job/other", b"two\n")
        link = store.link("job/a b+ü.jsonl", 60)

        assert "X-Amz-Signature" in link and "X-Amz-Expires=60" in link
        assert urllib3.request("GET", link).data == b"one\n"
        if "moto" not in os.environ.get("PYTEST_CURRENT_TEST", ""):  # which believes any signature
            assert urllib3.request("GET", link.replace("a%20b%2B%C3%BC.jsonl", "other")).status == 403

    def test_objects_beside_the_prefix_are_not_seen(self, s3, store, make_store):
        make_store(s3.bucket).put("some/prefixed", b"1")
        make_store(s3.bucket).put("some/prefix/inside", b"1")

        assert listed(store) == ["inside"]

    def test_a_listing_of_several_pages_is_whole(self, store, monkeypatch):
        for number in range(7):
            store.put(f"part-{number}", b"1")
        paginator = store._client.get_paginator("list_objects_v2")
        paged = paginator.paginate
        monkeypatch.setattr(paginator, "paginate", lambda **request: paged(**request, PaginationConfig={"PageSize": 3}))
        monkeypatch.setattr(store._client, "get_paginator", lambda _name: paginator)

        assert listed(store) == [f"part-{number}" for number in range(7)]

    @pytest.mark.parametrize("call", ["get", "exists", "put", "delete", "list"])
    def test_a_bucket_that_is_gone_is_unavailable(self, make_store, call):
        store = make_store("no-such-bucket-here")
        use = {"put": lambda key: store.put(key, b"1"), "list": lambda key: list(store.list(key))}

        with pytest.raises(ServiceUnavailable, match=r"no-such-bucket-here.*create the bucket"):
            use.get(call, getattr(store, call))("key")

    @pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)  # moto accepts every secret
    def test_wrong_credentials_are_unavailable_and_say_what_to_look_at(self, s3, environment, make_store):
        environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        store = make_store(s3.bucket)

        with pytest.raises(ServiceUnavailable, match=r"does not accept the credentials.*AWS_SECRET_ACCESS_KEY"):
            store.put("key", b"1")

    def test_a_server_that_is_not_there_is_unavailable(self, s3, make_store):
        store = make_store(s3.bucket, endpoint_url="http://127.0.0.1:9", connect_timeout_s=1)

        with pytest.raises(ServiceUnavailable, match=r"S3 cannot be reached.*AWS_ENDPOINT_URL"):
            store.get("key")


@pytest.mark.parametrize("uri", ["", "results", "gs://bucket", "file://host/x", "file:x", "s3://", "s3://b/../c"])
def test_a_store_that_is_neither_directory_nor_s3_is_a_config_error(uri):
    with pytest.raises(ConfigError, match="store: "):
        open_store(uri)


def test_an_endpoint_that_is_no_url_is_a_config_error():
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL"):
        open_store("s3://bucket", S3Access(endpoint_url="not a url"))
