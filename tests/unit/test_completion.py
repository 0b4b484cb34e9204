"""What a shell is offered when Tab is pressed, as bash asks for it; it waits for nobody."""

import io
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from stream_infer.cli import completion
from stream_infer.cli.app import main

CONFIG = """\
gateway: {{listen: '127.0.0.1:{port}'}}
apis: [{{name: pictures, predictor: {{type: native, target: 'm:C'}}}}]
"""
Offered = Callable[[str], list[str]]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def offered(tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch) -> Offered:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completion, "PATIENCE_S", 0.2)
    (tmp_path / "stream-infer.yaml").write_text(CONFIG.format(port=silent))

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"_STREAM_INFER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        monkeypatch.setattr(os, "environ", {**os.environ, **asked})
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            main([])
        assert err.getvalue() == ""
        return out.getvalue().split()

    return ask


def test_without_an_answer_the_apis_of_the_configuration_are_offered(offered: Offered) -> None:
    assert offered("stream-infer submit ") == ["pictures"]
    assert offered("stream-infer get pi") == ["pictures"]
    assert offered("stream-infer submit x") == []


def test_another_configuration_is_given_before_the_command(offered: Offered, tmp_path: Path, silent: int) -> None:
    (tmp_path / "other.yaml").write_text(CONFIG.format(port=silent).replace("pictures", "texts"))

    assert offered("stream-infer -f other.yaml submit ") == ["texts"]


def test_without_an_answer_there_are_no_jobs(offered: Offered) -> None:
    assert offered("stream-infer logs ") == []


@pytest.mark.parametrize("text", ["apis: [", "apis: [{name: A}]", "gateway: {listen: nowhere}"])
def test_a_configuration_that_makes_no_sense_offers_nothing_and_says_nothing(
    offered: Offered, tmp_path: Path, text: str
) -> None:
    (tmp_path / "stream-infer.yaml").write_text(text)

    assert offered("stream-infer submit ") == []
    assert offered("stream-infer dlq ls ") == []


def test_outputs_and_commands_are_offered_by_name(offered: Offered) -> None:
    assert offered("stream-infer get --output ") == ["table", "json", "yaml"]
    assert "submit" in offered("stream-infer s")
