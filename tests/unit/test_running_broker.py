"""Commands beside a running `up` find its Kafka; nobody takes a dead owner for a living one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_infer.cli.context import Invocation
from stream_infer.errors import ServiceUnavailable
from stream_infer.local.broker_files import PORTS_FILE
from stream_infer.local.data_lock import DataLock
from stream_infer.local.running_broker import broker_dir, running_broker


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose `up` once ran a Kafka on port 4711."""
    directory = broker_dir(tmp_path / "state")
    directory.mkdir(parents=True)
    (directory / PORTS_FILE).write_text(json.dumps({"clients": 4711, "controller": 4712}))
    file = tmp_path / "stream-infer.yaml"
    file.write_text("state_dir: state\n")
    return file


def test_the_broker_of_a_running_up_is_found_and_one_that_has_ended_is_not(config: Path) -> None:
    state = config.parent / "state"
    assert running_broker(state) is None
    lock = DataLock.take(broker_dir(state), 0.0)
    assert running_broker(state) == "127.0.0.1:4711"
    assert Invocation(environ={}).settings_for_kafka(config).kafka.bootstrap == "127.0.0.1:4711"
    assert Invocation(environ={}).settings(config).kafka.bootstrap_servers is None, "`up` itself starts its own"
    lock.release()
    assert running_broker(state) is None
    assert running_broker(state / "none") is None


def test_a_configured_kafka_is_never_replaced(config: Path) -> None:
    lock = DataLock.take(broker_dir(config.parent / "state"), 0.0)
    invocation = Invocation(environ={"STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS": "b:9092"})
    assert invocation.settings_for_kafka(config).kafka.bootstrap == "b:9092"
    lock.release()


def test_ports_that_are_being_written_are_no_address(config: Path) -> None:
    directory = broker_dir(config.parent / "state")
    lock = DataLock.take(directory, 0.0)
    (directory / PORTS_FILE).write_text('{"cli')
    assert running_broker(config.parent / "state") is None
    lock.release()


def test_a_kafka_that_was_only_guessed_is_explained_and_no_other_error_is(config: Path) -> None:
    invocation = Invocation(environ={})
    assert invocation.settings_for_kafka(config).kafka.bootstrap == "localhost:9092"
    about_kafka, about_s3 = ServiceUnavailable("cannot reach Kafka at localhost:9092"), ServiceUnavailable("S3 is away")
    invocation.explain(about_kafka)
    invocation.explain(about_s3)
    [note] = about_kafka.__notes__
    assert "Start `stream-infer up`, or set kafka.bootstrap_servers" in note
    assert not hasattr(about_s3, "__notes__")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a process is a zombie")
def test_a_zombie_owns_nothing(tmp_path: Path) -> None:
    """Past bug: the killed owner whose parent had not asked for its status yet was said to be in the way."""
    lock = DataLock.take(tmp_path, 0.0)
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / "owner.lock").write_text(f"{zombie.pid}\n")
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        DataLock.take(tmp_path, 0.2)
    assert time.monotonic() - began >= 0.2, "it waits for what the dead owner has left behind"
    zombie.wait()
    lock.release()
