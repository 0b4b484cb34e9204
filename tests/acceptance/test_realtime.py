"""Requests under `up`, as users of the shell and of any HTTP client ask them."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.support.ports import free_neighbours
from tests.support.settings import predictor
from tests.support.up_process import up_in, wait_for, write_config

PATIENCE_S = 60.0
AT_THE_GATE = "at the gate"


def predict(folder: Path, *words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), "predict", *words]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


def test_predict_answers_from_the_shell_and_up_ends_its_replicas(tmp_path: Path) -> None:
    port = free_neighbours(2)
    apis = [
        {
            "name": "harm",
            "predictor": predictor("failing.py:Failing"),
            "workers": {"min": 0},
            "realtime": {"listen": f"127.0.0.1:{port}", "replicas": 2, "drain_delay": 0.2},
        },
        {"name": "quiet", "predictor": predictor("behaving.py:Echo"), "workers": {"min": 0}},
    ]
    (tmp_path / "text.txt").write_text("from a file")
    config = write_config(tmp_path, apis=apis)
    with up_in(tmp_path, config) as up:
        ready = up.wait_until_ready()
        assert {"realtime harm/0", "realtime harm/1"} <= set(ready["pids"])

        said = predict(tmp_path, "harm", '{"text": "hello"}')
        assert (said.returncode, said.stdout) == (0, b'{"text":"hello"}\n'), said.stderr
        assert predict(tmp_path, "harm", f"@{tmp_path / 'text.txt'}").stdout == b'"from a file"\n'
        assert predict(tmp_path, "harm", "-", given=b"[1, 2]").stdout == b"[1,2]\n"

        crashed = predict(tmp_path, "harm", '"segfault"')
        assert crashed.returncode == 1
        assert b"SIGSEGV" in crashed.stderr
        assert predict(tmp_path, "harm", "1").returncode == 0, "the other replica, or the same with a new process"

        assert predict(tmp_path, "harm", "-", given=b"{").returncode == 1
        assert predict(tmp_path, "harm", "no json").returncode == 2
        assert predict(tmp_path, "quiet", "1").returncode == 2
        hangs = predict(tmp_path, "harm", '"hang"', "--timeout", "0.5")
        assert hangs.returncode == 3
        assert re.search(rb"within 0\.(5|4\d*) s", hangs.stderr), "what was left of it when it was passed on"

        assert up.interrupt() == 0, up.text()
        assert "realtime harm/0, realtime harm/1" in up.text()


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).save(data, "JPEG")
    return data.getvalue()


@pytest.fixture
def asking() -> Iterator[Any]:
    """Begins a request beside the test: what it returns has the response."""
    with ThreadPoolExecutor(1) as pool:

        def ask(url: str, item: Any = "wait") -> "Future[requests.Response]":
            return pool.submit(requests.post, url, json=item, timeout=PATIENCE_S)

        yield ask


def test_any_http_client_is_answered_told_when_to_come_again_and_waited_for_at_the_end(
    tmp_path: Path, asking: Any
) -> None:
    port = free_neighbours(2)
    gate = tmp_path / "gate"
    gated = {
        "name": "gated",
        "predictor": predictor("behaving.py:Gated", gate=str(gate)),
        "workers": {"min": 0},
        "realtime": {"listen": f"127.0.0.1:{port}", "max_in_flight": 1, "drain_delay": 0.2},
    }
    echo = {
        "name": "echo",
        "predictor": predictor("behaving.py:Echo"),
        "workers": {"min": 0},
        "realtime": {"listen": f"127.0.0.1:{port + 1}", "drain_delay": 0.2},
    }
    with up_in(tmp_path, write_config(tmp_path, apis=[gated, echo])) as up:
        ready = up.wait_until_ready()
        replica = f"http://127.0.0.1:{port}"
        echoes, gates, own = (
            f"{base}/v1/apis/{api}/predict"
            for base, api in ((ready["gateway"], "echo"), (ready["gateway"], "gated"), (replica, "gated"))
        )

        # JSON in, JSON out; a picture's bytes in, the same bytes out.
        item = {"text": "hällo", "n": [1, 2.5, None]}
        said = requests.post(echoes, json=item, timeout=PATIENCE_S)
        assert (said.status_code, said.headers["content-type"], said.json()) == (200, "application/json", item)
        picture = jpeg()
        shown = requests.post(echoes, data=picture, headers={"Content-Type": "image/jpeg"}, timeout=PATIENCE_S)
        assert (shown.status_code, shown.headers["content-type"]) == (200, "application/octet-stream")
        assert shown.content == picture

        # One is as many as it may have: the next is told when to come again, by gateway and replica alike.
        held = asking(gates)
        wait_for(lambda: up.text().count(AT_THE_GATE) == 1, PATIENCE_S, up.text)
        for url in (gates, own):
            full = requests.post(url, json=1, timeout=PATIENCE_S)
            assert (full.status_code, full.headers["retry-after"]) == (429, "1")
            assert full.json()["type"] == "urn:stream-infer:problem:full"
        gate.touch()
        assert held.result().json() == 1
        assert requests.post(gates, json=1, timeout=PATIENCE_S).status_code == 200

        # A replica that is told to end answers what it has first, and a new one takes its place.
        gate.unlink()
        held = asking(own)
        wait_for(lambda: up.text().count(AT_THE_GATE) == 2, PATIENCE_S, up.text)
        os.kill(ready["pids"]["realtime gated/0"], signal.SIGTERM)
        wait_for(lambda: "finishing 1 items" in up.text(), PATIENCE_S, up.text)
        assert not held.done()
        gate.touch()
        last = held.result()
        assert (last.status_code, last.json(), last.headers["connection"]) == (200, 1, "close")
        wait_for(lambda: "realtime gated/0 is ready again" in up.text(), PATIENCE_S, up.text)

        # So it is when everything ends.
        gate.unlink()
        wait_for(lambda: requests.post(gates, json=1, timeout=PATIENCE_S).status_code == 200, PATIENCE_S, up.text)
        held = asking(gates)
        wait_for(lambda: up.text().count(AT_THE_GATE) == 3, PATIENCE_S, up.text)
        up.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping [stream_infer.gateway.run]" in up.text(), PATIENCE_S, up.text)
        assert not held.done()
        gate.touch()
        assert (held.result().status_code, held.result().json()) == (200, 1)
        assert up.process.wait(PATIENCE_S) == 0, up.text()
