"""What tests that are killed leave running is ended."""

import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.processes import survivors
from tests.support.up_process import ROOT

# It starts a program that nothing ties to it, and does as it is told.
OWNER = """
import subprocess
from tests.support.last_resort import last_resort

with last_resort():
    started = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
    print(started.pid, flush=True)
    input()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_what_it_has_started_ends_with_tests_that_are_killed_and_with_no_others(end: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        started = int(owner.stdout.readline())

        if end is None:
            owner.communicate("end by yourself\n")
            assert psutil.pid_exists(started), "it is for who has started it to end it"
            psutil.Process(started).kill()
        else:
            owner.send_signal(end)

    assert survivors([started], within_s=30.0) == []
