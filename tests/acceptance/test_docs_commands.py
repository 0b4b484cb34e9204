"""The commands of the pages, as somebody who reads them gives them: the tutorial from its first line to its last."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_infer.local.free_ports import find_free
from tests.support.services import missing
from tests.support.shown_commands import ROOT, Reader

BAD_ITEMS = """
<!-- run, status 1 -->

    stream-infer submit shouter --file items.jsonl --wait
"""
# Behind the tutorial, whose model and files they need; what each shows is of the job before it.
PAGES = ["docs/operations.md", "README.md", "docs/jobs.md", "docs/http.md"]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    if shutil.which("curl") is None:
        missing("curl is not installed here: apt-get install curl")
    [port] = find_free(1)
    reader = Reader(tmp_path, {"127.0.0.1:8080": f"127.0.0.1:{port}", "API": "shouter"})
    try:
        yield reader
    finally:
        reader.end()


@pytest.mark.timeout(480)
def test_what_the_tutorial_and_the_pages_behind_it_say_happens(reader: Reader) -> None:
    reader.follow((ROOT / "docs/getting-started.md").read_text())
    reader.follow(BAD_ITEMS)
    for name in PAGES:
        page = (ROOT / name).read_text()
        assert re.search("^<!-- run", page, re.MULTILINE), name
        reader.follow(page)
    reader.interrupt()
