"""What a shell is offered when Tab is pressed, as bash asks for it; it waits for nobody."""

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from stream_infer.cli import completion
from stream_infer.cli.app import main
from stream_infer.clients.call import Answer
from stream_infer.gateway.api_bodies import ApiBody, ApiList

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
    monkeypatch.delenv("STREAM_INFER_GATEWAY", raising=False)
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


def test_a_name_that_takes_its_time_to_be_looked_up_keeps_nobody_waiting(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past bug: connecting had five seconds of its own, and a name as many as the machine takes."""
    is_over = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        is_over.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    began = time.monotonic()
    assert offered("stream-infer submit --gateway http://far.example ") == ["pictures"]
    assert offered("stream-infer dlq ls --gateway http://far.example ") == ["pictures"]
    assert time.monotonic() - began < 30
    is_over.set()


def test_a_file_is_found_as_a_shell_would_find_it(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word that is completed comes as it was typed."""
    (tmp_path / "home").mkdir()
    (tmp_path / "stream-infer.yaml").rename(tmp_path / "home" / "mine.yaml")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert offered("stream-infer -f ~/mine.yaml submit ") == ["pictures"]


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


def test_what_can_be_deleted_is_what_was_deployed() -> None:
    """An API of the configuration is none of these."""
    known = ApiList(apis=[api("shouter", deployed=False), api("digits", deployed=True)])
    answer = Answer("http://gateway", 200, {}, known.model_dump_json().encode())

    assert completion._deployed_apis().read(answer) == [("digits", "API, live")]


def api(name: str, *, deployed: bool) -> ApiBody:
    return ApiBody(
        name=name, deployed=deployed, predictor={}, max_batch_size=1, max_wait_ms=0, max_attempts=1, partitions=1,
        workers={}, topics={}, active_jobs=0, waiting_items=0, rate=0.0, links={},
    )  # fmt: skip
