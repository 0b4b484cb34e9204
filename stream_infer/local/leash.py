"""The leash: a tiny parent that ends its command when its owner goes, however the owner goes.

Run as a script, with nothing of this project imported: `python -I leash.py GRACE_S FDS COMMAND…`.
Standard input is a pipe whose other end only the owner holds; it closes even when the owner is killed
with -9. Then, or on SIGTERM, the command gets SIGTERM and after GRACE_S seconds (or a second SIGTERM)
SIGKILL. On Linux a killed leash takes its command with it. The command writes to the leash's stderr,
inherits the descriptors FDS (comma-separated), and its pid is the one line on the leash's stdout.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
CANNOT_EXECUTE = 127


def main(argv: list[str]) -> int:
    """Run the command until it or the owner ends; return its exit status, 128 + n for signal n."""
    grace_s, fds, command = float(argv[0]), [int(fd) for fd in argv[1].split(",") if fd], argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    try:
        child = _spawn(command, fds)
    except OSError as error:
        print(f"cannot execute {command[0]}: {error}", file=sys.stderr)
        return CANNOT_EXECUTE
    print(child.pid, flush=True)
    _watch(child, woken, grace_s)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _spawn(command: list[str], fds: list[int]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    leash_pid = os.getpid()

    def die_with_the_leash() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != leash_pid:  # it died before prctl took hold
            os._exit(CANNOT_EXECUTE)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        pass_fds=fds,
        preexec_fn=die_with_the_leash,  # noqa: PLW1509 - the leash has one thread
    )


def _watch(child: subprocess.Popen[bytes], woken: int, grace_s: float) -> None:
    kill_at: float | None = None
    watched = [0, woken]
    while child.poll() is None:
        wait_s = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], wait_s)
        owner_gone = 0 in ready and not os.read(0, 4096)
        terminated = woken in ready and signal.SIGTERM in os.read(woken, 4096)
        if owner_gone:
            watched.remove(0)
        if kill_at is None and (owner_gone or terminated):
            kill_at = time.monotonic() + grace_s
            child.terminate()
        elif kill_at is not None and (terminated or time.monotonic() >= kill_at):
            child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
