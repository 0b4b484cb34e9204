"""The child process: `python -m stream_infer.engine.child FD PARENT [PAYLOADS]`. Started by `host.Host`, never by hand.

    reader thread     frames -> preprocess in a pool -> collate
    main thread       predict -> encode -> frame
    heartbeat thread  a sign of life                                 ends the process when its parent is gone

Where the predictor has nothing to be done ahead, the main thread reads the frames itself: that a thread handed them to
it was a third of the time of a request with a model that takes none.

The protocol has a socket of its own: what a predictor prints cannot break it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from stream_infer.engine.arena import SharedPayloads
from stream_infer.engine.failures import format_stack
from stream_infer.engine.loading import process_age
from stream_infer.engine.memory import find_guard
from stream_infer.engine.runner import Runner
from stream_infer.engine.tuning import TuningLimits, tune
from stream_infer.engine.wire import DUMP_SIGNAL, BrokenWire, MessageReader, ToChild, ToParent, pack
from stream_infer.errors import PredictorUnavailable
from stream_infer.heap import give_back_now, keep_large_blocks
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.loader import constructor_of
from stream_infer.predictors.protocol import Predictor
from stream_infer.predictors.spec import PredictorSpec

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
# Two busy threads hand the GIL over every 5 ms by default, longer than a micro-batch of a small model takes.
SWITCH_INTERVAL_S = 0.0005
# Of the container's memory, well below where the parent ends this process.
_MEMORY_FRACTION, _MEMORY_CHECK_S, _SHORT_FOR_S = 0.7, 0.05, 0.5
# Measured: to give 1 GiB back and clear its pages anew takes 0.5 s.
_KEPT_FOR_S = 60.0
# /proc/self/oom_score_adj: thousandths of the memory that there is, added to what a process has.
_MORE_READILY, _MOST_READILY = 200, 1000
# sysexits.h: an input/output error, an internal software error.
_CLOSED_BY_PREDICTOR = 74
_READER_FAILED = 70


class Link:
    """The child's end of the socket; `say` may be called from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = MessageReader(sock)
        self._lock = threading.Lock()
        self._said = time.monotonic()

    def hear(self) -> tuple[Any, ...]:
        """The parent's next message. Without a parent there is nothing left to do: ends the process."""
        try:
            message = self._reader.next()
        except (OSError, BrokenWire):
            message = None
        return message if message is not None else _leave()

    def say(self, message: tuple[Any, ...]) -> None:
        frame = pack(message)
        try:
            with self._lock:
                for buffer in frame:
                    self._sock.sendall(buffer)
        except OSError:
            _leave()
        self._said = time.monotonic()

    def beat(self, interval_s: float) -> NoReturn:
        """Says something every `interval_s`, unless something else was said; ends with the parent."""
        poller = select.poll()
        poller.register(self._sock, 0)  # hanging up is always reported
        while True:
            for _, event in poller.poll(interval_s * 1000):
                if event & select.POLLNVAL:
                    print("stream-infer: the predictor has closed the engine's socket", file=sys.stderr, flush=True)
                    os._exit(_CLOSED_BY_PREDICTOR)
                _leave()
            if time.monotonic() - self._said >= interval_s:
                self.say((ToParent.BEAT.value,))


def main(fd: int, parent: int, payloads: int | None = None) -> None:
    """Loads the predictor and serves calls until it is told to stop."""
    _die_with(parent)
    _fall_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    # What a predictor logs is a line like one that it prints, unless it sets up its logging itself.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    os.set_inheritable(fd, False)
    link = Link(socket.socket(fileno=fd))
    _, spec, beat_s, threads, tuning = link.hear()
    threading.Thread(target=link.beat, args=(beat_s,), name="heartbeat", daemon=True).start()
    threading.Thread(target=_make_room, name="memory", daemon=True).start()
    shared = SharedPayloads(payloads) if payloads is not None else None
    predictor, batch_size, seconds = _load(spec, tuning, link)
    runner = Runner(predictor, threads, link.say, None if shared is None else shared.begin)
    calls = _calls(link, runner, shared)
    if runner.works_ahead:
        calls = _read_ahead(calls)
    link.say((ToParent.READY.value, runner.name, batch_size, seconds))
    for run in calls:
        run()


def _load(
    spec: PredictorSpec, tuning: TuningLimits | None, link: Link
) -> tuple[Predictor, int | None, tuple[float, float, float, float]]:
    """The predictor, the batch size that was found for it, and what each part of loading took."""
    before, began = process_age(), time.monotonic()
    try:
        construct = constructor_of(spec)
        imported = time.monotonic()
        predictor = construct()
        constructed = time.monotonic()
        # Not before: what a model was read from is needed once.
        keep_large_blocks()
        _warm_up(spec, predictor)
        knee = None if tuning is None else tune(predictor, tuning, lambda size: link.say((ToParent.TRIES.value, size)))
    except PredictorUnavailable as error:
        told = error.__cause__ or error
        stack = format_stack(told) if told is not error else ""
        link.say((ToParent.UNAVAILABLE.value, str(error), stack))
        sys.exit(1)
    seconds = (before, imported - began, constructed - imported, time.monotonic() - constructed)
    if knee is None:
        return predictor, None, seconds
    log.info("max_batch_size is %s", knee)
    return predictor, knee.size, seconds


def _make_room() -> None:
    """What is kept for the next call is given back now and then, or one large call would be remembered for ever; and
    at once while memory is short: the parent would take it for used."""
    guard = find_guard(_MEMORY_FRACTION, _MEMORY_CHECK_S)
    kept_since = time.monotonic()
    while True:
        is_short = guard is not None and bool(guard.look())
        if is_short or time.monotonic() >= kept_since + _KEPT_FOR_S:
            give_back_now()
            kept_since = time.monotonic()
        time.sleep(_SHORT_FOR_S if is_short else _KEPT_FOR_S if guard is None else _MEMORY_CHECK_S)


def _warm_up(spec: PredictorSpec, predictor: Predictor) -> None:
    warmup: Callable[[], object] | None = getattr(predictor, "warmup", None)
    if warmup is None:
        return
    try:
        warmup()
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(
            f"predictor {spec.target} does not warm up: its warmup() raised {full_name(error)}: {error}"
        ) from error


def _calls(link: Link, runner: Runner, shared: SharedPayloads | None) -> Iterator[Callable[[], None]]:
    """What the main thread is to run, until the parent says stop."""
    try:
        while (message := link.hear())[0] != ToChild.STOP:
            if message[0] == ToChild.PLACED:
                assert shared
                _, call_id, types, placed, batch = message
                message = (ToChild.CALL.value, call_id, types, shared.payloads(placed), batch)
            yield runner.admit(message)
    except Exception:  # noqa: BLE001 - a reader that ends unnoticed would leave the parent waiting
        traceback.print_exc()
        os._exit(_READER_FAILED)


def _read_ahead(calls: Iterator[Callable[[], None]]) -> Iterator[Callable[[], None]]:
    """The same, taken in by a thread of its own while the main thread runs what came before."""
    inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def read() -> None:
        for run in calls:
            inbox.put(run)
        inbox.put(None)

    threading.Thread(target=read, name="reader", daemon=True).start()
    return iter(inbox.get, None)


def _die_with(parent: int) -> None:
    """On Linux the kernel kills the child when its parent dies, even if a predictor never lets the GIL go."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        _leave()


def _fall_first() -> None:
    """Where memory runs out the kernel is to take this process, which is replaced and asked with less, and not its
    parent: it may be the larger one while a model is still being loaded, and its end would be the container's."""
    file = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):  # another system, or one that does not let us
        file.write_text(str(min(_MOST_READILY, int(file.read_text()) + _MORE_READILY)))


def _leave() -> NoReturn:
    os._exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
