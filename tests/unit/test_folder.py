import os
from pathlib import Path

import pytest

from connectors.folder import Choice, Folder
from stream_infer.errors import RefusedItem, SourceError


@pytest.fixture
def root(tmp_path):
    for name in ("b.txt", "a/z.jpg", "a.txt", "a/.hidden", "deep/er/x.JSON", "README"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "root"


def test_its_files_come_in_the_order_of_their_paths_bytes(root):
    keys = list(Folder(root, Choice(), max_bytes=100).keys())

    assert keys == [b"README", b"a.txt", b"a/z.jpg", b"b.txt", b"deep/er/x.JSON"]
    assert keys == sorted(keys)
    assert list(Folder(root, Choice(["*.txt", "a/*"], ["b*"]), max_bytes=100).keys()) == [b"a.txt", b"a/z.jpg"]


@pytest.mark.parametrize(
    ("key", "given", "kind"),
    [
        (b"a.txt", None, "text/plain"),
        (b"a/z.jpg", None, "image/jpeg"),
        (b"deep/er/x.JSON", None, "application/json"),
        (b"README", None, "application/octet-stream"),
        (b"README", "text/plain", "text/plain"),
    ],
)
def test_what_a_file_is_goes_by_its_name_unless_it_is_said(root, key, given, kind):
    payload = Folder(root, Choice(content_type=given), max_bytes=100).read(key)

    assert payload == (key, kind)


def test_a_file_of_any_length_comes_whole_and_one_above_the_limit_is_refused(root):
    (root / "a.txt").write_bytes(b"x" * 100)
    (root / "b.txt").write_bytes(b"")
    folder = Folder(root, Choice(), max_bytes=100)

    assert folder.read(b"a.txt").data == b"x" * 100
    assert folder.read(b"b.txt").data == b""
    (root / "a.txt").write_bytes(b"x" * 101)
    with pytest.raises(RefusedItem, match=r"a\.txt has 101 bytes, the limit is 100"):
        folder.read(b"a.txt")


def test_a_file_that_says_0_bytes_and_has_some_is_read_to_its_end():
    """As those of /proc do."""
    assert (
        b"python" in Folder(Path(os.sep), Choice(), max_bytes=10_000).read(f"proc/{os.getpid()}/cmdline".encode()).data
    )


def test_what_cannot_be_read_is_named(root):
    (root / "broken").symlink_to(root / "nowhere")
    folder = Folder(root, Choice(), max_bytes=10_000)

    assert b"broken" in list(folder.keys())
    for key in (b"broken", b"gone.txt", b"deep"):
        with pytest.raises(RefusedItem, match=f"root/{key.decode()} cannot be read"):
            folder.read(key)


def test_a_link_to_a_file_elsewhere_is_read_and_one_to_a_directory_is_not_followed(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.txt").write_text("from elsewhere")
    (root / "link.txt").symlink_to(tmp_path / "elsewhere" / "x.txt")
    (root / "links").symlink_to(tmp_path / "elsewhere")
    folder = Folder(root, Choice(["*.txt"]), max_bytes=100)

    assert folder.read(b"link.txt").data == b"from elsewhere"
    assert list(folder.keys()) == [b"a.txt", b"b.txt", b"link.txt"]


def test_no_folder_and_no_file_are_said(root):
    with pytest.raises(SourceError, match="is not a directory"):
        list(Folder(root / "a.txt", Choice(), max_bytes=100).keys())
    with pytest.raises(SourceError, match="no file below"):
        list(Folder(root, Choice(["*.png"]), max_bytes=100).keys())
