"""One role's process on a leash: its lines, its readiness, its end. Runs in the supervisor's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stream_infer.local.supervision import RoleSpec, stop_deadline

_LEASH = Path(__file__).with_name("leash.py")
_LONGEST_LINE = 64 * 1024
_LAST_WORDS_S = 1.0

OnLine = Callable[[str], None]


class RoleProcess(Protocol):
    """A started role. No method blocks the event loop; `wait` and `ready` may be awaited by several tasks."""

    pid: int
    """The role's own pid."""

    async def ready(self) -> bool:
        """True once the role says that it serves; False when it ended before."""
        ...

    async def wait(self) -> int:
        """Its exit status, 128 + n for signal n. By then its lines were handed over and its children killed."""
        ...

    def ask_to_end(self) -> None:
        """SIGTERM, by way of the leash. Idempotent."""
        ...

    def kill(self) -> None:
        """Kills it and its children at once. Idempotent."""
        ...


Launch = Callable[[RoleSpec, OnLine], Awaitable[RoleProcess]]


class LeashedRole:
    """A RoleProcess under `leash.py`: it ends when this process does, even by kill -9."""

    def __init__(self, leash: asyncio.subprocess.Process, pid: int, ready_fd: int, on_line: OnLine) -> None:
        self.pid = pid
        self._leash = leash
        self._ready_fd = ready_fd
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(ready_fd, self._read_readiness)
        self._ended = asyncio.create_task(self._watch(on_line))

    @classmethod
    async def launch(
        cls, spec: RoleSpec, on_line: OnLine, *, environment: Mapping[str, str], keep_fds: Sequence[int] = ()
    ) -> LeashedRole:
        """Starts the role with `--ready-fd N`; `keep_fds` stay open in it until it is really dead."""
        ready_fd, says_ready = os.pipe()
        inherited = [*keep_fds, says_ready]
        try:
            leash = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(_LEASH), str(stop_deadline(spec.kind)), ",".join(map(str, inherited))),
                *(*spec.command, "--ready-fd", str(says_ready)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C in the terminal is the supervisor's to hand on, in order
            )
        except BaseException:
            os.close(ready_fd)
            raise
        finally:
            os.close(says_ready)
        assert leash.stdout is not None
        pid = await leash.stdout.readline()
        # Without a pid the command could not be executed; the leash has said so and ends with 127.
        return cls(leash, int(pid or b"0"), ready_fd, on_line)

    async def ready(self) -> bool:
        return await asyncio.shield(self._ready)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def ask_to_end(self) -> None:
        assert self._leash.stdin is not None
        self._leash.stdin.close()

    def kill(self) -> None:
        # The leash leads a session of its own, so its group is the role and what the role has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._leash.pid, signal.SIGKILL)

    def _read_readiness(self) -> None:
        self._settle_readiness(is_ready=bool(os.read(self._ready_fd, 64)))

    def _settle_readiness(self, *, is_ready: bool) -> None:
        if not self._ready.done():
            asyncio.get_running_loop().remove_reader(self._ready_fd)
            os.close(self._ready_fd)
            self._ready.set_result(is_ready)

    async def _watch(self, on_line: OnLine) -> int:
        assert self._leash.stdout is not None and self._leash.stderr is not None
        lines = asyncio.create_task(_hand_over_lines(self._leash.stderr, on_line))
        # Only the leash holds its stdout. A child of the role may hold stderr for longer than the role lives.
        while await self._leash.stdout.read(1024):
            pass
        self.kill()  # what the role has left behind
        status = await self._leash.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lines, _LAST_WORDS_S)
        self._settle_readiness(is_ready=False)
        self.ask_to_end()
        return status if status >= 0 else 128 - status


async def _hand_over_lines(stream: asyncio.StreamReader, on_line: OnLine) -> None:
    # Not readline(): it raises on a line beyond its limit, and a role's line may be of any length.
    rest = b""
    while chunk := await stream.read(_LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace").rstrip("\r"))
        if len(rest) > _LONGEST_LINE:
            on_line(rest.decode(errors="replace"))
            rest = b""
    if rest:
        on_line(rest.decode(errors="replace"))
