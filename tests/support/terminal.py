"""A command on a terminal of its own, as a person sees it."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
END_S = 30.0


class Terminal:
    """What a running command has shown, all that was written over included."""

    def __init__(self, process: "subprocess.Popen[bytes]", fd: int) -> None:
        self.process = process
        self._fd = fd
        self._shown = bytearray()
        self._reading = threading.Thread(target=self._read, name="terminal")
        self._reading.start()

    def text(self) -> str:
        """Without colours and movements of the cursor."""
        return _CONTROL.sub("", self._shown.decode(errors="replace"))

    def interrupt(self) -> int:
        """Ctrl-C. The exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_S)

    def join(self) -> None:
        self._reading.join()
        os.close(self._fd)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # its end is an error to the terminal
            while chunk := os.read(self._fd, 65536):
                self._shown += chunk


@contextmanager
def on_a_terminal(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """`stream-infer` on a terminal of 200 columns and 50 lines; killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    size = {"TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    # What a shell runs in the background ignores Ctrl-C, and so would all that these tests start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_infer", *arguments],
            cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **(environment or {}), **size},
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.join()
