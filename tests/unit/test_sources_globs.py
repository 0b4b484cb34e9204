import time

import pytest

from connectors.sources.globs import select_files
from stream_infer.errors import SourceError


def selects(path, includes=(), excludes=()):
    selection = select_files(includes, excludes)
    parts = path.split("/")
    enters = all(selection.enters(parts[:depth]) for depth in range(1, len(parts)))
    return enters and selection.selects(parts)


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("*.jpg", "a.jpg", True),
        ("*.jpg", "deep/er/a.jpg", True),
        ("*.jpg", "a.JPG", False),
        ("/*.jpg", "a.jpg", True),
        ("/*.jpg", "deep/a.jpg", False),
        ("./*/a.jpg", "deep/a.jpg", True),
        ("2024/*.jpg", "2024/a.jpg", True),
        ("2024/*.jpg", "2024/01/a.jpg", False),
        ("2024/**/*.jpg", "2024/a.jpg", True),
        ("2024/**/*.jpg", "2024/01/02/a.jpg", True),
        ("**/raw/**", "a/raw/b", True),
        ("**/raw/**", "raw/b", True),
        ("**/raw/**", "a/raw", False),
        ("**/**/a", "a", True),
        ("raw/", "raw/a/b", True),
        ("a**b", "axxb", True),
        ("*.{jpg,png}", "a.png", True),
        ("*.{jp{,e}g,png}", "a.jpeg", True),
        ("*.{jpg,png}", "a.gif", False),
        ("a?.[0-9]", "ab.7", True),
        ("a?.[!0-9]", "ab.7", False),
        ("{a", "{a", True),
        ("*", ".hidden", False),
        ("**", ".hidden/a", False),
        ("**/*", "a/.hidden/b", False),
        (".*", ".hidden", True),
        (".hidden/**", ".hidden/a", True),
        (".hidden/**", ".hidden/.b", False),
        ("**/.well-known/*", "a/.well-known/b", True),
        ("**/b/*.c", "b/a/b/d.c", True),
    ],
)
def test_an_include_means_what_users_expect_of_globs(pattern, path, meant):
    assert selects(path, [pattern]) is meant


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("*.tmp", "a.jpg", True),
        ("*.tmp", "deep/a.tmp", False),
        ("node_modules", "a/node_modules/b/c", False),
        ("/cache", "a/cache/b", True),
        ("/cache", "cache/b", False),
        ("cache/**", "cache/a/b", False),
    ],
)
def test_an_exclude_takes_files_and_all_below_directories(pattern, path, meant):
    assert selects(path, excludes=[pattern]) is meant


def test_an_exclude_matches_hidden_files_that_an_include_asked_for():
    assert not selects(".env", [".*"], ["*"])


@pytest.mark.parametrize("pattern", ["", "/", "../*.jpg", "{a,b}" * 7])
def test_a_pattern_that_can_match_nothing_or_too_much_is_refused(pattern):
    with pytest.raises(SourceError, match="pattern"):
        select_files([pattern])


def test_a_hostile_pattern_is_decided_quickly():
    started = time.thread_time()

    assert not selects("/".join(["a"] * 200), ["**/a/" * 60 + "b"])
    assert not selects("a" * 250, ["*a" * 60 + "b"])

    assert time.thread_time() - started < 2
