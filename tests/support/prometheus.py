"""A real Prometheus that looks at the processes of `up` once a second, as `make prometheus` unpacks it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from stream_infer.local.free_ports import find_free
from tests.support.promtool import program
from tests.support.up_process import wait_for

_POOL = urllib3.PoolManager(retries=False, timeout=10)
_READY_S = 30.0
_END_S = 30.0


class Prometheus:
    """Asked by its HTTP API."""

    def __init__(self, address: str, log: Path) -> None:
        self._address = address
        self._log = log

    @property
    def is_ready(self) -> bool:
        try:
            return _POOL.request("GET", f"http://{self._address}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of now; each has `metric`, its labels, and `value`, when and what."""
        said = self._ask("/api/v1/query", {"query": expr})
        assert said["resultType"] == "vector", expr
        return list(said["result"])

    def values_of(self, label: str, match: str) -> list[str]:
        """As Grafana asks for those of a variable."""
        return list(self._ask(f"/api/v1/label/{label}/values", {"match[]": match}))

    def targets(self) -> dict[str, str]:
        """How each is, by its instance: `up`, `down` or `unknown`."""
        said = self._ask("/api/v1/targets", {})
        return {one["labels"]["instance"]: one["health"] for one in said["activeTargets"]}

    def rules(self) -> dict[str, tuple[str, str]]:
        """Of each alert its health and its state."""
        groups = self._ask("/api/v1/rules", {})["groups"]
        return {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}

    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def _ask(self, path: str, fields: dict[str, str]) -> Any:
        answer = _POOL.request("GET", f"http://{self._address}{path}", fields=fields)
        assert answer.status == 200, (fields, answer.data)
        return json.loads(answer.data)["data"]


@contextmanager
def prometheus_in(folder: Path, targets: Path, rules: Path) -> Iterator[Prometheus]:
    """It looks at `targets` (file_sd), goes by the alerts in `rules`, and keeps all in `folder`."""
    [port] = find_free(1)
    address = f"127.0.0.1:{port}"
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(_config(targets, rules)))
    log = folder / "prometheus.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        started = Prometheus(address, log)
        wait_for(lambda: started.is_ready, _READY_S, started.text, lambda: process.poll() is None)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(targets: Path, rules: Path) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "stream-infer", "file_sd_configs": [{"files": [str(targets)]}]}],
    }
