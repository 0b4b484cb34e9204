"""A leashed program ends with its owner, in each of the ways in which an owner, or the leash, can end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stream_infer.errors import ServiceUnavailable
from stream_infer.local.leashed import LeashedProcess
from tests.support.processes import survivors

STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
OWNER = """
import sys, time
from pathlib import Path
from stream_infer.local.leashed import LeashedProcess
print(LeashedProcess.start(["sleep", "60"], output=Path(sys.argv[1]), grace_s=1).pid, flush=True)
time.sleep(60)
"""


def wait_for_output(path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} never said {text}"
        time.sleep(0.02)


def test_stop_ends_the_program_with_sigterm_and_gives_its_status(tmp_path: Path):
    process = LeashedProcess.start(["sleep", "60"], output=tmp_path / "log")
    assert process.poll() is None

    assert process.stop() == 128 + signal.SIGTERM
    assert survivors([process.pid], within_s=30) == []
    assert process.stop() == 128 + signal.SIGTERM


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path):
    process = LeashedProcess.start(STUBBORN, output=tmp_path / "log", grace_s=0.3)
    wait_for_output(tmp_path / "log", "up")

    began = time.monotonic()
    assert process.stop(40) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 30, "by its grace, not by the stop's own end"


def test_a_stop_with_less_time_than_the_grace_kills(tmp_path: Path):
    process = LeashedProcess.start(STUBBORN, output=tmp_path / "log", grace_s=60)
    wait_for_output(tmp_path / "log", "up")

    began = time.monotonic()
    assert process.stop(0.3) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 30


def test_the_program_ends_with_an_owner_that_was_killed(tmp_path: Path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)

        owner.kill()

        assert survivors([pid], within_s=30) == []


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_leash_takes_its_program_with_it(tmp_path: Path):
    process = LeashedProcess.start(["sleep", "60"], output=tmp_path / "log")

    os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)

    assert survivors([process.pid], within_s=30) == []
    process.stop()


def test_a_program_that_ends_by_itself_gives_its_status_and_output(tmp_path: Path):
    with LeashedProcess.start(["sh", "-c", "echo said; exit 3"], output=tmp_path / "log") as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() == 3
    assert (tmp_path / "log").read_text() == "said\n"


def test_a_program_that_does_not_exist_is_one_clear_error(tmp_path: Path):
    with pytest.raises(ServiceUnavailable, match="/no/such/program cannot be started"):
        LeashedProcess.start(["/no/such/program"], output=tmp_path / "log")
    assert "No such file" in (tmp_path / "log").read_text()
