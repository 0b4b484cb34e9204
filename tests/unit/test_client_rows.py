"""What a job's lines become: rows, a table, files, bars."""

import io
import json
import re
import sys
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stream_infer.clients.errors import JobIncomplete
from stream_infer.clients.job_facts import JobFacts
from stream_infer.clients.progress import (
    LinePace,
    NotebookBar,
    bar_html,
    duration,
    eta,
    is_notebook,
    progress_line,
    shown,
    terminal_bar,
)
from stream_infer.clients.rows import FAILURES, RESULTS, Failure, FolderWriter, FrameMaker, Result, file_name
from stream_infer.errors import ServiceUnavailable, UsageError
from tests.support.job_bodies import job

PNG = b"\x89PNG"
LINES = [
    {"item_id": "j-0", "key": "k", "source": "s3://b/cat.jpg", "output": {"label": "cat", "box": [1, 2]}},
    {"item_id": "j-1", "output": None},
    {"item_id": "j-2", "custom_id": "my/picture", "content_type": "image/png",
     "output": {"base64": b64encode(PNG).decode(), "content_type": "image/png"}},
]  # fmt: skip
FAILED = {
    "item_id": "j-3", "source": "x", "attempt": 3,
    "error": {"stage": "predict", "exception": "builtins.KeyError", "message": "'text'"},
    "origin": {"topic": "t", "partition": 0, "offset": 0},
}  # fmt: skip


def raw(line: dict[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def test_a_line_is_a_result_and_what_is_no_json_is_bytes() -> None:
    first, second, third = map(RESULTS.read, LINES)
    assert first == Result("j-0", {"label": "cat", "box": [1, 2]}, key="k", source="s3://b/cat.jpg")
    assert second.output is None
    assert (third.output, third.content_type, third.custom_id) == (PNG, "image/png", "my/picture")


def test_a_line_of_a_failure_says_at_which_stage_and_why() -> None:
    assert FAILURES.read(FAILED) == Failure("j-3", "predict", "builtins.KeyError", "'text'", 3, source="x")


def test_a_table_has_a_row_a_line_and_a_column_a_member() -> None:
    maker = FrameMaker()
    for line in LINES:
        maker.take(raw(line))
    frame = maker.frame()
    assert list(frame["item_id"]) == ["j-0", "j-1", "j-2"]
    assert frame.loc[0, "output.label"] == "cat"
    assert frame.loc[0, "output.box"] == [1, 2]
    assert frame.loc[2, "output"] == PNG
    assert FrameMaker().frame().empty


def test_without_pandas_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        FrameMaker().frame()


def test_a_folder_gets_the_lines_and_a_file_for_what_is_no_json(tmp_path: Path) -> None:
    with FolderWriter(tmp_path / "new" / "out", RESULTS) as writer:
        for line in LINES:
            writer.take(raw(line))
    folder = tmp_path / "new" / "out"
    assert writer.path == folder / "results.jsonl"
    assert sorted(path.name for path in folder.iterdir()) == ["my_picture-2.png", "results.jsonl"]
    assert (folder / "my_picture-2.png").read_bytes() == PNG
    written = [json.loads(line) for line in writer.path.read_bytes().splitlines()]
    assert written[:2] == LINES[:2]
    assert written[2] == {
        "item_id": "j-2", "custom_id": "my/picture", "content_type": "image/png", "file": "my_picture-2.png",
    }  # fmt: skip


def test_what_breaks_off_leaves_the_lines_of_before(tmp_path: Path) -> None:
    (tmp_path / "failures.jsonl").write_text("old")
    writer = FolderWriter(tmp_path, FAILURES)
    writer.__enter__()
    writer.take(raw(FAILED))
    error = ServiceUnavailable("broke off")
    writer.__exit__(type(error), error, None)
    assert [path.name for path in tmp_path.iterdir()] == ["failures.jsonl"]
    assert (tmp_path / "failures.jsonl").read_text() == "old"
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"), FolderWriter(tmp_path / "file", RESULTS):
        pass


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ({"item_id": "j-7", "custom_id": "../../etc/passwd", "content_type": "image/png"}, "_.._etc_passwd-7.png"),
        ({"item_id": "j-7", "source": "s3://b/in/cat.jpg", "content_type": "text/csv"}, "cat-7.csv"),
        ({"item_id": "j-7", "source": "file:///a/b.jsonl#line=3", "content_type": "a/unknown"}, "b-7.bin"),
        ({"item_id": "j-7"}, "item-7.bin"),
        ({"item_id": "../x", "custom_id": ".hidden"}, "hidden-.._x.bin"),
    ],
)
def test_a_file_is_called_as_its_item_and_stays_in_the_folder(line: dict[str, Any], name: str) -> None:
    assert file_name(line) == name


def test_a_job_that_did_not_wholly_succeed_says_so_when_it_is_asked() -> None:
    good = JobFacts(job(state="succeeded", is_final=True, enqueued=3, succeeded=3))
    assert good.require_success() is good
    assert (good.id, good.api, str(good.state), good.counts.succeeded, good.is_final) == (
        "j1",
        "echo",
        "succeeded",
        3,
        True,
    )
    assert repr(good) == "<JobFacts j1 of echo: succeeded, 3/3 items>"
    bad = JobFacts(job(state="failed", is_final=True, errors=["the source is gone"]))
    with pytest.raises(JobIncomplete, match="job j1 of echo is failed, 0/0 items; the source is gone") as error:
        bad.require_success()
    assert error.value.exit_code == 1


def test_progress_says_how_much_how_fast_and_how_long() -> None:
    running = job(enqueued=100, waiting=60, succeeded=38, rejected=2, rate=20.0)
    assert progress_line(running) == "running, 40/100 items, 2 failed, 20 items/s, 0:03 left"
    assert eta(running) == 3.0


def test_progress_promises_nothing_before_the_size_and_the_rate_are_known() -> None:
    growing = job(enqueued=100, waiting=60, succeeded=40, rate=20.0, is_enqueued=False)
    assert progress_line(growing) == "running, 40/100+ items, 20 items/s"
    assert eta(job(enqueued=1, waiting=1)) is None
    assert progress_line(job(state="succeeded", is_final=True, enqueued=3, succeeded=3, rate=9.0)) == (
        "succeeded, 3/3 items"
    )


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (5.4, "0:05"), (750, "12:30"), (10_800, "3:00:00")])
def test_durations_read_like_clocks(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_come_at_each_change_of_state_and_else_at_most_every_two_seconds() -> None:
    pace = LinePace()
    assert pace.is_due(job(), "a", 0.0)
    assert not pace.is_due(job(), "b", 1.9)
    assert pace.is_due(job(), "b", 2.0)
    assert not pace.is_due(job(), "b", 60.0)
    assert pace.is_due(job(state="finalizing"), "b", 60.1)


def test_a_terminal_sees_a_bar() -> None:
    out = io.StringIO()
    with terminal_bar(Console(file=out, force_terminal=True, width=100)) as show:
        show(job(enqueued=4, waiting=2, succeeded=2))
    assert "━" in out.getvalue()
    assert "2/4 items" in out.getvalue()


def test_a_bar_of_html_moves_while_the_size_is_not_known_and_is_full_in_the_end() -> None:
    assert 'value="40" max="100"' in bar_html(job(enqueued=100, waiting=60, succeeded=40))
    assert "max=" not in bar_html(job(enqueued=100, is_enqueued=False))
    assert 'value="1" max="1"' in bar_html(job(state="failed", is_final=True))
    assert "&lt;script&gt;" in bar_html(job(job_id="<script>"))


def test_a_notebook_has_one_output_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, str]] = []
    handle = SimpleNamespace(update=lambda data, raw: drawn.append(("update", data["text/plain"])))

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        drawn.append(("display", data["text/plain"]))
        return handle

    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert is_notebook()
    with shown(True) as show:
        show(job(enqueued=2, waiting=1, succeeded=1))
        show(job(state="succeeded", is_final=True, enqueued=2, succeeded=2))
    assert drawn == [("display", "running, 1/2 items"), ("update", "succeeded, 2/2 items")]
    assert isinstance(show.__self__, NotebookBar)  # type: ignore[attr-defined]


def test_a_shell_of_ipython_is_no_notebook_and_a_pipe_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert not is_notebook()
    seen: list[Any] = []
    for progress in (True, False, seen.append):
        with shown(progress) as show:
            show(job())
    assert len(seen) == 1
    assert re.sub(r"\s", "", "".join(capsys.readouterr())) == ""
