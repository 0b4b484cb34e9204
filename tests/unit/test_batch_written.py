"""Where a batch goes on, whatever an earlier one has left."""

import os
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.batch.lines import error_line, result_line
from stream_infer.batch.naming import Naming, chosen, keys_below
from stream_infer.batch.written import LinesFile, done_keys, undone
from stream_infer.errors import Stage, UsageError
from stream_infer.records import Failure, Output

KEY_OF = Naming("data").key_of


def result(name):
    return result_line(b"now", f"data/{name}", Output(b'{"label":"cat"}'))


def error(name):
    return error_line(b"now", f"data/{name}", Failure(Stage.PREDICT, "ValueError", "no"))


def opened(path):
    file = LinesFile.open(path)
    file.scan(KEY_OF)
    return file


def left(names, *files):
    return [key.decode() for key in undone((name.encode() for name in sorted(names)), done_keys(files, KEY_OF))]


def test_a_half_written_last_line_is_cut_off(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(result("a") + result("b") + result("c")[:-1])

    file = opened(path)

    assert file.count == 2
    assert left(["a", "b", "c", "d"], file) == ["c", "d"]
    file.append([result("c")])
    file.close()
    assert path.read_bytes() == result("a") + result("b") + result("c")


@pytest.mark.parametrize("kept", [0, 1, 70_000, 200_000])
def test_a_half_line_of_any_length_is_cut_off(tmp_path, kept):
    path = tmp_path / "results.jsonl"
    line = result("x" * (kept + 1))
    path.write_bytes(line + result("y" * 150_000)[:-1])

    opened(path).close()

    assert path.read_bytes() == line


def test_a_file_without_a_whole_line_is_empty_then(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"time":"2026')

    file = opened(path)

    assert (file.count, path.read_bytes()) == (0, b"")
    file.close()


def test_files_that_have_come_since_are_done_too(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"".join(map(result, ["b", "d", "f", "a", "e"])))

    file = opened(path)

    assert len(file.stretches) == 2
    assert left(["a", "b", "c", "d", "e", "f", "g"], file) == ["c", "g"]
    file.close()


def test_what_has_failed_is_done_and_what_is_gone_from_the_folder_does_not_matter(tmp_path):
    (tmp_path / "results.jsonl").write_bytes(result("a") + result("gone") + result("z"))
    (tmp_path / "errors.jsonl").write_bytes(error("b"))
    results, errors = opened(tmp_path / "results.jsonl"), opened(tmp_path / "errors.jsonl")

    assert left(["a", "b", "c", "z"], results, errors) == ["c"]
    results.close()
    errors.close()


def test_a_file_that_another_run_writes_to_is_refused(tmp_path):
    file = LinesFile.open(tmp_path / "results.jsonl")

    with pytest.raises(UsageError, match="is being written by another run"):
        LinesFile.open(tmp_path / "results.jsonl")
    file.close()
    LinesFile.open(tmp_path / "results.jsonl").close()


@pytest.mark.parametrize(
    ("line", "said"),
    [(b"precious notes\n", "is not JSON"), (b'{"filepath": "elsewhere/a"}\n', "which is not below data")],
)
def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path, line, said):
    path = tmp_path / "results.jsonl"
    path.write_bytes(result("a") + line)
    file = LinesFile.open(path)

    with pytest.raises(UsageError, match=said):
        file.scan(KEY_OF)
    file.close()
    assert path.read_bytes() == result("a") + line


@pytest.mark.parametrize("kept", ["", "a"])
@pytest.mark.parametrize("end", [b'{"precious": "settings"}', b"notes", b'{"time"}', b"\0" * 100_000])
def test_an_end_that_is_no_half_line_of_ours_is_refused_and_left_alone(tmp_path, kept, end):
    path = tmp_path / "settings.json"
    there = b"".join(result(name) for name in kept) + end
    path.write_bytes(there)
    file = LinesFile.open(path)

    with pytest.raises(UsageError, match="ends in what this batch has not written"):
        file.scan(KEY_OF)

    file.close()
    assert path.read_bytes() == there


def test_a_file_without_a_line_goes_unless_it_stays(tmp_path):
    LinesFile.open(tmp_path / "errors.jsonl").close()
    assert list(tmp_path.iterdir()) == []

    results = LinesFile.open(tmp_path / "results.jsonl")
    results.stays = True
    results.close()
    assert (tmp_path / "results.jsonl").read_bytes() == b""


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=4)


@given(
    files=st.lists(NAMES, unique=True, max_size=30),
    bad=st.sets(st.integers(0, 29)),
    runs=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40), st.integers(0, 40)), max_size=6),
)
def test_killed_anywhere_and_started_again_no_file_is_missing_and_none_there_twice(files, bad, runs, tmp_path_factory):
    """A run: the folder's first files are there by then; it writes in order, and its last bytes never get there."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / "results.jsonl", folder / "errors.jsonl"]
    rejected = {name for at, name in enumerate(files) if at in bad}
    for there, *lost in [*runs, (30, 0, 0)]:
        results, errors = map(opened, paths)
        results.stays = errors.stays = True
        before = [path.stat().st_size for path in paths]
        names = sorted(name.encode() for name in files[:there])
        for key in undone(iter(names), done_keys((results, errors), KEY_OF)):
            name = key.decode()
            (errors.append([error(name)]) if name in rejected else results.append([result(name)]))
        results.close()
        errors.close()
        for path, size, gone in zip(paths, before, lost, strict=True):
            os.truncate(path, max(size, path.stat().st_size - gone))

    results, errors = map(opened, paths)
    written = [sorted(done_keys((file,), KEY_OF)) for file in (results, errors)]
    results.close()
    errors.close()
    assert written[0] == sorted(name.encode() for name in set(files) - rejected)
    assert written[1] == sorted(name.encode() for name in rejected)


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("data", "data/a/b"),
        ("data/", "data/a/b"),
        ("./data", "data/a/b"),
        (".", "a/b"),
        ("/", "/a/b"),
        ("/x/y/", "/x/y/a/b"),
        ("../up", "../up/a/b"),
    ],
)
def test_a_path_in_a_line_opens_the_file_and_is_read_back(folder, path):
    naming = Naming(folder)

    assert naming.path_of(b"a/b") == path
    assert naming.key_of(path) == b"a/b"


def test_a_name_that_is_no_utf8_is_read_back():
    naming = Naming("data")

    assert naming.key_of(naming.path_of(b"odd\xff")) == b"odd\xff"


def test_what_the_batch_writes_itself_is_not_read(tmp_path):
    own = keys_below(
        tmp_path, [tmp_path / "out" / "results.jsonl", tmp_path / "out/results.run", tmp_path.parent / "x"]
    )
    keys = [b"a", b"out/results.jsonl", b"out/results.jsonl.txt", b"out/results.run/log.jsonl", b"z"]

    assert own == (b"out/results.jsonl", b"out/results.run")
    assert list(chosen(iter(keys), own, None)) == [b"a", b"out/results.jsonl.txt", b"z"]
    assert list(chosen(iter(keys), own, 2)) == [b"a", b"out/results.jsonl.txt"]


def test_a_million_files_are_compared_one_by_one():
    """Laziness, not a list: an endless folder beside an endless list of what is done."""

    def numbers(step):
        at = 0
        while True:
            yield b"%09d" % at
            at += step

    assert list(islice(undone(numbers(1), numbers(2)), 3)) == [b"000000001", b"000000003", b"000000005"]
