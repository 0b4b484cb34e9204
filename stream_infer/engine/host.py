"""The parent's end of one child process, from its start to its end. Nothing here blocks on a child that hangs.

The child is a fresh interpreter (spawn), so it inherits neither the parent's threads nor its Kafka clients. It leads
its own process group: Ctrl-C reaches the supervisor alone, and whatever the predictor has started ends with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from stream_infer.engine.arena import Arena, open_arena
from stream_infer.engine.outbox import Outbox
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.stderr import StderrPump
from stream_infer.engine.tuning import TuningLimits
from stream_infer.engine.wire import DUMP_SIGNAL, BrokenWire, FrameReader, ToChild, pack
from stream_infer.predictors.spec import PredictorSpec

HEARTBEATS_PER_TIMEOUT = 4
# What the environment says to stream-infer begins so, and a predictor is not told by it.
_OURS = "STREAM_INFER_"
_DUMP_S = 0.3
_REAP_S = 1.0


class Host:
    """One child process. `fault` says what is wrong with it, or with what it wrote, where something is.

    Once it is reaped, `killed`: SIGKILL has ended it, and that was somebody else; `begun`: the call that it had marked
    as begun last, or 0.
    """

    def __init__(
        self,
        spec: PredictorSpec,
        policy: EnginePolicy,
        on_line: Callable[[str], None],
        tuning: TuningLimits | None = None,
    ) -> None:
        with ExitStack() as on_failure, ExitStack() as at_once:
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            at_once.callback(theirs.close)
            reading, writing = os.pipe()
            on_failure.callback(os.close, reading)
            at_once.callback(os.close, writing)
            self._arena = open_arena(policy.pipeline_depth * policy.max_batch_bytes)
            if self._arena is not None:
                on_failure.callback(self._arena.close)
            self._process = _spawn(spec, theirs.fileno(), writing, self._arena)
            on_failure.pop_all()
        self.sock = ours
        self.fault = ""
        self.killed = False
        self.begun = 0
        self._ended = False
        self._reader = FrameReader(ours)
        self._outbox = Outbox(ours)
        self._stderr = StderrPump(reading, on_line)
        beat_s = policy.heartbeat_timeout_s / HEARTBEATS_PER_TIMEOUT
        self.send((ToChild.LOAD.value, spec, beat_s, policy.preprocess_threads, tuning))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: tuple[Any, ...]) -> None:
        """Must not block."""
        self._outbox.put(pack(message))

    def call(self, message: tuple[Any, ...]) -> None:
        """Sends a CALL or HOOK message. Must not block."""
        kind, call_id, *rest = message
        if kind == ToChild.CALL:
            types, payloads, batch = rest
            placed = self._arena.put(call_id, payloads) if self._arena is not None else None
            if placed is not None:
                message = (ToChild.PLACED.value, call_id, types, placed, batch)
        self.send(message)

    def answered(self, call_id: int) -> None:
        """The call is over: the child does not read its payloads any more."""
        if self._arena is not None:
            self._arena.free(call_id)

    def receive(self) -> Iterator[tuple[Any, ...]]:
        """The messages that have come; a broken one ends the stream and sets `fault`."""
        is_silent = True
        try:
            for message in self._reader.read():
                is_silent = False
                yield message
            # Asked of the system only where nothing has come: it is a call for every answer else.
            if is_silent and self._process.poll() is not None:
                self._ended = True
                yield from self._reader.read()
        except BrokenWire as error:
            self.fault = str(error)

    def wait(self) -> None:
        """Blocks for a moment, until there is something to receive."""
        self._reader.wait()

    def is_gone(self) -> bool:
        """It had ended before all it said was received, or can no longer be understood."""
        return self._reader.ended or self._ended or bool(self.fault)

    def dump_threads(self) -> None:
        """Makes a hanging child say where it hangs. Blocks for 0.3 s at most."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(DUMP_SIGNAL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DUMP_S)

    def reap(self) -> tuple[str, str]:
        """Ends the child whatever it does; returns how it ended and its stderr's tail. Blocks for 3 s at most."""
        if not self.fault:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_S if self._reader.ended else 0)
        by_itself = self._process.poll()
        self.killed = by_itself == -signal.SIGKILL and not self.fault
        self._kill_group()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may sit in the kernel: then it is left to it
            self._process.wait(_REAP_S)
        # The pipe ends with the group, unless one that has left it holds it open.
        tail = self._stderr.finish(_REAP_S)
        self._outbox.close()
        if self._arena is not None:
            self.begun = self._arena.begun()
            self._arena.close()
        if self.fault:
            return self.fault, tail
        return ("closed its connection" if by_itself is None else _describe(self._process.returncode)), tail

    def close(self, timeout_s: float, terminate_timeout_s: float) -> None:
        """Asks the child to end, then tells it, then makes it. Blocks for both timeouts at most."""
        # 1. Ask: it finishes the calls it has, and its atexit handlers run.
        self.send((ToChild.STOP.value,))
        deadline = time.monotonic() + timeout_s
        self._listen_until(deadline)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            # 2. Tell.
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(terminate_timeout_s)
        # 3. Make, and with it whatever the predictor has started.
        self.reap()

    def _listen_until(self, deadline: float) -> None:
        """Lets the child say what it still has to say, so that nothing holds it up, until it hangs up."""
        poller = select.poll()
        while not self.is_gone() and (left := deadline - time.monotonic()) > 0:
            poller.register(self.sock, select.POLLIN)
            poller.poll(min(left, 0.1) * 1000)
            for _ in self.receive():
                pass

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _spawn(spec: PredictorSpec, fd: int, output: int, arena: Arena | None) -> subprocess.Popen[bytes]:
    shared = () if arena is None else (arena.fd,)
    return subprocess.Popen(
        [*interpreter_of(spec), "-m", "stream_infer.engine.child", str(fd), str(os.getpid()), *map(str, shared)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(fd, *shared),
        process_group=0,
        env=environment_for(spec),
    )


def interpreter_of(spec: PredictorSpec) -> list[str]:
    return [sys.executable if spec.python is None else spec.python]


def environment_for(spec: PredictorSpec) -> dict[str, str]:
    """Of the child: it finds what the parent finds, whatever made the parent find it. An interpreter of its own finds
    that behind what is its own (local/environments.py)."""
    ours = [entry for entry in sys.path if entry] if spec.python is None else []
    return {**environment_of_child(), "PYTHONPATH": os.pathsep.join([*spec.path, *ours])}


def environment_of_child() -> dict[str, str]:
    """Ours without our own settings: a predictor has no use for the password of Kafka, which may stand in any of them
    (`STREAM_INFER__KAFKA__SECURITY={password: …}`), or for an API key."""
    return {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}


def _describe(returncode: int | None) -> str:
    if returncode is None:
        return "could not be killed"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = " (often the kernel, short of memory)" if returncode == -signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
