"""`stream-infer deploy`: what it prints for programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_infer.cli import deploy
from stream_infer.cli.app import main
from stream_infer.definitions import ApiState
from stream_infer.gateway.api_bodies import ApiBody

API = ApiBody(
    name="s", state=ApiState.LIVE, message=None, predictor={}, max_batch_size=1, max_wait_ms=1.0, max_attempts=3,
    partitions=1, workers={}, topics={}, active_jobs=0, waiting_items=0, rate=0.0, links={},
)  # fmt: skip


class Gateway:
    """One that has the API, live at once."""

    def ask(self, _call: object) -> ApiBody:
        return API

    def run(self, _steps: object) -> ApiBody:
        return API

    def close(self) -> None: ...


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_what_was_deployed_stands_alone_on_stdout(
    output: str,
    read: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(deploy, "gateway_client", lambda *_: Gateway())
    file = tmp_path / "stream-infer.yaml"
    file.write_text("apis: [{name: s, predictor: {type: native, target: 'm.py:C'}}]")
    (tmp_path / "m.py").write_text("class C: ...")

    with pytest.raises(SystemExit) as ended:
        main(["deploy", str(file), "--output", output])

    assert ended.value.code == 0
    assert read(capsys.readouterr().out) == [API.model_dump(mode="json")]
