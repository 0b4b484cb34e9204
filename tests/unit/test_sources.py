import gzip
import io
import os
from pathlib import Path

import pytest

from connectors.policy import FetchPolicy
from connectors.sources import DirectorySource, JsonlSource, file_at
from connectors.sources.lines import LineCursor, read_lines
from stream_infer.errors import SourceError


def jsonl(path, *allowed, **limits):
    return JsonlSource(file_at(str(path), FetchPolicy(allowed_directories=allowed)), **limits)


def directory(root, includes=(), excludes=()):
    return DirectorySource(root, FetchPolicy(allowed_directories=(root,)), includes=includes, excludes=excludes)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")


def keys(source):
    return [item.key.decode() for item in source.read(None)]


@pytest.mark.parametrize("length", [11, 12, 13, 150])
def test_a_line_over_the_limit_is_an_item_that_says_so_and_those_behind_it_are_read(tmp_path, length):
    (tmp_path / "x.jsonl").write_bytes(b"1\n\n" + b"9" * 10 + b"\r\n" + b"9" * length + b"\n2\n" + b"9" * length)
    source = jsonl(tmp_path / "x.jsonl", tmp_path, max_line_bytes=10)
    items = list(source.read(None))

    assert [item.payload.data for item in items] == [b"1", b"9" * 10, b"", b"2", b""]
    assert [item.source.rpartition("#")[2] for item in items] == [f"line={n}" for n in (1, 3, 4, 5, 6)]
    assert [item.refused is not None for item in items] == [False, False, True, False, True]
    assert "x.jsonl line 4 is longer than 10 bytes" in items[2].refused
    assert list(source.read(items[2].cursor)) == items[3:]


def test_a_line_without_end_is_not_read_into_memory():
    class Endless(io.RawIOBase):
        served = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.served += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    raw = Endless()
    with pytest.raises(SourceError, match="line 1 is longer"):
        list(read_lines(io.BufferedReader(raw, 1024), "endless", LineCursor(), 10_000))
    assert raw.served < 300_000


@pytest.mark.parametrize("content", [b"", b"\n \n\t\r\n", b"\xef\xbb\xbf\n"])
def test_a_file_without_items_is_a_source_error(tmp_path, content):
    (tmp_path / "x.jsonl").write_bytes(content)

    with pytest.raises(SourceError, match="is empty"):
        list(jsonl(tmp_path / "x.jsonl", tmp_path).read(None))


def test_a_source_that_is_done_resumes_with_nothing(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"1\n\n")
    source = jsonl(tmp_path / "x.jsonl", tmp_path)

    assert list(source.read(list(source.read(None))[-1].cursor)) == []


def test_lines_added_later_are_found_when_resuming(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"1\n")
    source = jsonl(tmp_path / "x.jsonl", tmp_path)
    [first] = source.read(None)
    with (tmp_path / "x.jsonl").open("ab") as file:
        file.write(b"2\n")

    assert [item.source[-6:] for item in source.read(first.cursor)] == ["line=2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"1\n2\n", "unpacked"), (gzip.compress(b"1\n" * 999, mtime=0)[:-9], "unpacked"), (b"\x1f\x8b", "unpacked")],
)
def test_a_gzip_file_that_is_none_or_broken_off_is_a_source_error(tmp_path, content, reason):
    (tmp_path / "x.jsonl.gz").write_bytes(content)

    with pytest.raises(SourceError, match=reason):
        list(jsonl(tmp_path / "x.jsonl.gz", tmp_path).read(None))


def test_a_file_that_is_missing_outside_or_none_is_a_source_error(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("1")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "in" / "pipe")

    for path, reason in (
        ("in/gone.jsonl", "No such file"),
        ("secret", r"fetch\.allowed_directories"),
        ("in/../secret", r"fetch\.allowed_directories"),
        ("in/link", r"fetch\.allowed_directories"),
        ("in/pipe", "not a regular file"),
        ("in", "not a regular file"),
    ):
        with pytest.raises(SourceError, match=reason):
            list(jsonl(tmp_path / path, tmp_path / "in").read(None))


@pytest.mark.parametrize("place", ["x.jsonl", "", "https://host/x.jsonl", "file://host/x", "s3://", "/a\0b"])
def test_a_place_that_no_source_can_read_is_a_source_error(place):
    with pytest.raises(SourceError):
        file_at(place, FetchPolicy())


def test_hidden_files_are_left_out_unless_a_pattern_writes_their_dot(tmp_path):
    touch(tmp_path, "a", ".b", ".git/c", "d/.e/f")

    assert keys(directory(tmp_path)) == ["a"]
    assert keys(directory(tmp_path, ["**", ".b", "d/.e/*"])) == [".b", "a", "d/.e/f"]


def test_includes_and_excludes_choose_among_files_at_any_depth(tmp_path):
    touch(tmp_path, "a.jpg", "b.txt", "x/c.jpg", "x/raw/d.jpg", "y/e.png")

    assert keys(directory(tmp_path, ["*.{jpg,png}"], ["raw"])) == ["a.jpg", "x/c.jpg", "y/e.png"]


def test_a_directory_without_a_file_that_is_meant_is_a_source_error(tmp_path):
    touch(tmp_path, "a.txt")

    with pytest.raises(SourceError, match="includes and excludes"):
        list(directory(tmp_path, ["*.jpg"]).read(None))


def test_a_directory_that_is_missing_or_outside_is_a_source_error(tmp_path):
    touch(tmp_path, "in/a", "out/b")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    policy = FetchPolicy(allowed_directories=(tmp_path / "in",))

    for path, reason in (
        ("in/gone", "not a directory"),
        ("in/a", "not a directory"),
        ("out", r"fetch\.allowed_directories"),
        ("in/../out", r"fetch\.allowed_directories"),
        ("in/link", r"fetch\.allowed_directories"),
    ):
        with pytest.raises(SourceError, match=reason):
            list(DirectorySource(tmp_path / path, policy).read(None))


def test_every_link_to_a_file_is_an_item_wherever_it_leads_so_that_it_fails_alone(tmp_path):
    touch(tmp_path, "root/a", "outside")
    root = tmp_path / "root"
    (root / "b").symlink_to(root / "a")
    (root / "c").symlink_to(tmp_path / "outside")
    (root / "gone").symlink_to(root / "nowhere")

    assert keys(directory(root)) == ["a", "b", "c", "gone"]


def test_links_to_directories_pipes_and_sockets_are_not_items(tmp_path):
    touch(tmp_path, "a/b")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")

    assert keys(directory(tmp_path)) == ["a/b"]


def test_a_name_that_is_not_text_keeps_its_bytes(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    touch(tmp_path, "a")
    first, second = directory(tmp_path).read(None)

    assert (second.key, second.cursor) == (b"\xff.jpg", "%FF.jpg")
    assert list(directory(tmp_path).read(first.cursor)) == [second]


def test_a_file_removed_at_the_cursor_does_not_change_what_follows(tmp_path):
    touch(tmp_path, "a", "b/c", "d")
    cursor = list(directory(tmp_path).read(None))[1].cursor
    (tmp_path / "b" / "c").unlink()

    assert [item.key for item in directory(tmp_path).read(cursor)] == [b"d"]
