"""Requests, as a user of the shell asks them, under `up`."""

import subprocess
import sys
from pathlib import Path

from stream_infer.local.free_ports import find_free
from tests.support.settings import predictor
from tests.support.up_process import up_in, write_config


def predict(folder: Path, *words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), "predict", *words]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


def test_predict_answers_from_the_shell_and_up_ends_its_replicas(tmp_path: Path) -> None:
    port = next(port for port in find_free(20) if port + 1 not in find_free(1))
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
        assert (hangs.returncode, b"within 0.5 s" in hangs.stderr) == (3, True)

        assert up.interrupt() == 0, up.text()
        assert "realtime harm/0, realtime harm/1" in up.text()
