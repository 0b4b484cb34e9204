"""The owner's end of a leash: start a program that cannot outlive this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_infer.errors import ServiceUnavailable

_LEASH = Path(__file__).with_name("leash.py")
_KILL_DEADLINE_S = 5.0


class LeashedProcess:
    """A program under `leash.py`. Its session is its own: Ctrl-C in the terminal reaches only the owner."""

    def __init__(self, leash: subprocess.Popen[bytes], pid: int) -> None:
        self._leash = leash
        self.pid = pid
        """The program's own pid, not the leash's."""

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        output: Path,
        grace_s: float = 10.0,
        env: Mapping[str, str] | None = None,
        keep_fds: Sequence[int] = (),
    ) -> Self:
        """Start `command`, appending its stdout and stderr to the file `output`.

        `grace_s` is the time in seconds between SIGTERM and SIGKILL once the owner has gone or stops it.
        `keep_fds` stay open in the program (a lock that it must hold until it is really dead).

        Raises ServiceUnavailable when the program cannot be executed.
        """
        with output.open("ab") as log:
            leash = subprocess.Popen(
                [sys.executable, "-I", str(_LEASH), str(grace_s), ",".join(map(str, keep_fds)), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                pass_fds=keep_fds,
                start_new_session=True,
            )
        assert leash.stdout is not None
        with leash.stdout as report:
            pid = report.readline()
        if not pid:
            _close_pipe(leash)
            leash.wait()
            raise ServiceUnavailable(f"{command[0]} cannot be started; {output} says why.")
        return cls(leash, int(pid))

    @property
    def session(self) -> int:
        """The session of the program and of what it starts, the leash in it; what makes one of its own leaves it."""
        return self._leash.pid

    def poll(self) -> int | None:
        """Its exit status (128 + n for signal n), or None while it runs. Never blocks."""
        return self._leash.poll()

    def stop(self, timeout_s: float = 15.0) -> int:
        """Ask it to end, wait up to `timeout_s` seconds, then kill it. Returns its exit status; idempotent."""
        _close_pipe(self._leash)
        try:
            return self._leash.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._leash.terminate()  # the second request: the leash kills at once
        try:
            return self._leash.wait(_KILL_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._leash.kill()
            return self._leash.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _close_pipe(leash: subprocess.Popen[bytes]) -> None:
    assert leash.stdin is not None
    leash.stdin.close()
