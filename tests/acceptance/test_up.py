"""`stream-infer up`, the way a user starts, hurts and ends it. Kafka is its own."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.representations import JobBody
from stream_infer.jobs.status import State
from stream_infer.local.free_ports import find_free
from tests.support.processes import survivors
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

ROLES = ["lookout", "gateway", "intake", "tracker", "sink", "worker echo/0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state directory for all of them: the second start has its topics and data already."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture
def up(folder: Path) -> Iterator[UpProcess]:
    with up_in(folder) as process:
        yield process


def run_a_job(gateway: str, up: UpProcess) -> JobBody:
    """Submitted and followed as the commands do it; a gateway or a Kafka that is away for a moment is asked again."""
    key = uuid.uuid4().hex
    with closing(Gateway(gateway)) as client:

        def submit() -> JobBody | None:
            with suppress(ServiceUnavailable):
                return client.ask(calls.submit("echo", {"item_list": {"items": [1, 2, 3]}}, key))
            return None

        def is_final() -> bool:
            with suppress(ServiceUnavailable):
                return client.ask(calls.job(job.job_id)).is_final
            return False

        job = wait_for(submit, 60.0, up.text)
        wait_for(is_final, 60.0, up.text)
        return client.ask(calls.job(job.job_id))


def test_a_killed_role_comes_back_every_line_bears_its_name_and_ctrl_c_ends_everything_in_order(up: UpProcess) -> None:
    ready = up.wait_until_ready()
    assert sorted(ready["pids"]) == sorted([*ROLES, "kafka"])
    os.kill(ready["pids"]["worker echo/0"], signal.SIGKILL)
    os.kill(ready["pids"]["sink"], signal.SIGKILL)

    assert run_a_job(ready["gateway"], up).state == State.SUCCEEDED
    assert "Coordinator load in progress" not in up.text()

    descendants = up.descendants()
    assert up.interrupt() == 0, up.text()
    assert survivors(descendants, within_s=5.0) == [], "less than the leashes would give who was left behind"
    text = up.text()
    assert "worker echo/0 ended with signal 9; starting it again" in text
    for number, role in enumerate(["lookout", "gateway", "intake", "worker echo/0", "sink", "tracker"], 1):
        assert f"stopping {number}/6: {role}" in text
    assert text.index("stopping 6/6") < text.index("stopping Kafka")
    speakers = {line.partition("|")[0].strip() for line in text.splitlines() if line}
    assert speakers | {"lookout"} == {*ROLES, "kafka", "up"}, text


def test_when_up_itself_is_killed_nothing_is_left_and_the_next_one_starts(up: UpProcess, folder: Path) -> None:
    up.wait_until_ready()
    descendants = up.descendants()
    assert len(descendants) > 2 * len(ROLES)

    up.process.kill()
    up.process.wait()
    with up_in(folder) as successor:
        ready = successor.wait_until_ready()
        assert survivors(descendants, within_s=30.0) == []
        assert run_a_job(ready["gateway"], successor).state == State.SUCCEEDED
        assert successor.interrupt() == 0


def test_a_killed_kafka_comes_back_with_its_data(up: UpProcess) -> None:
    ready = up.wait_until_ready()
    job = run_a_job(ready["gateway"], up)
    os.kill(ready["pids"]["kafka"], signal.SIGKILL)
    wait_for(lambda: "Kafka is ready again" in up.text(), 60.0, up.text)
    assert run_a_job(ready["gateway"], up).state == State.SUCCEEDED
    with closing(Gateway(ready["gateway"])) as client:
        assert client.ask(calls.job(job.job_id)) == job
    assert up.interrupt() == 0


def test_a_command_beside_a_running_up_finds_its_kafka_and_says_so_when_there_is_none(
    up: UpProcess, folder: Path
) -> None:
    ready = up.wait_until_ready()
    check = [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), "check"]
    found = subprocess.run(check, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert f"ok     kafka: {ready['bootstrap_servers']}" in found.stdout
    assert "ok     topics" in found.stdout
    assert up.interrupt() == 0
    away = subprocess.run(check, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert away.returncode == 3
    assert "Start `stream-infer up`, or set kafka.bootstrap_servers" in away.stdout


def test_a_second_up_with_the_same_state_directory_is_refused(up: UpProcess, folder: Path, tmp_path: Path) -> None:
    wait_for(lambda: "starting Kafka" in up.text(), 30.0, up.text)
    config = write_config(tmp_path, state_dir=str(folder / "state"))
    with up_in(tmp_path, config) as second:
        assert second.process.wait(30) == 2
        assert "there is a `stream-infer up` here already" in second.text()
        assert f"process {up.process.pid}" in second.text()
        assert "Traceback" not in second.text()
    up.process.send_signal(signal.SIGTERM)
    up.process.wait(60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"apis": [{"name": "echo", "predictor": {"type": "native", "target": "no_such_file.py:Echo"}}]},
            ["worker echo/0 cannot start", "no_such_file.py"],
        ),
        ({"gateway": {"listen": "127.0.0.1:0"}}, ["gateway.listen is 127.0.0.1:0", "set gateway.listen to a port"]),
    ],
)
def test_what_the_user_has_to_mend_is_said_and_nothing_is_left(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    with up_in(tmp_path, write_config(tmp_path, **changes)) as up:
        assert up.process.wait(90) == 2, up.text()
        assert [word for word in words if word not in up.text()] == []
        assert "Traceback" not in up.text()
        assert "next start in" not in up.text(), "nothing starts again"


def test_a_taken_port_of_the_gateway_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", find_free(1)[0]))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with up_in(tmp_path, write_config(tmp_path, gateway={"listen": listen})) as up:
            assert up.process.wait(30) == 2
            assert f"the gateway cannot listen on {listen}" in up.text()
            assert "starting Kafka" not in up.text()
