"""Ends what a test process that was killed has left running: brokers, roles, browsers, whatever bears its mark.

`python last_resort.py MARK` does so when its standard input closes, unless "done" was said before.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psutil

NAME = "TESTED_BY"
_DONE = b"done"


@contextmanager
def last_resort() -> Iterator[None]:
    """While the block runs, what this process starts bears its mark; it is ended should this process not reach the
    block's end."""
    mark = uuid4().hex
    unmarked = {name: value for name, value in os.environ.items() if name != NAME}
    with subprocess.Popen(
        [sys.executable, __file__, mark],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=unmarked, start_new_session=True,
    ) as watcher:  # fmt: skip
        os.environ[NAME] = mark
        try:
            yield
        finally:
            del os.environ[NAME]
            watcher.communicate(_DONE)


def _bears(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        return process.environ().get(NAME) == mark
    return False


def main(mark: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == _DONE:
        return
    while left := [process for process in psutil.process_iter() if _bears(process, mark)]:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5.0)


if __name__ == "__main__":
    main(sys.argv[1])
