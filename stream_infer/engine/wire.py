"""What the parent and the child say to each other over their socket.

A frame is a magic word, the length of its body, and the body: a pickled tuple, its first value a `ToChild` or a
`ToParent`. One frame carries a whole micro-batch, so nothing here is done per item.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import signal
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum
from typing import Any, NoReturn

from stream_infer.errors import Stage, StreamInferError
from stream_infer.predictors.protocol import Job
from stream_infer.records import Failure

# On this signal the child writes where its threads are to stderr, which ends up in the dead letter of a hang.
DUMP_SIGNAL = signal.SIGUSR2

_HEADER = struct.Struct("<4sQ")
_MAGIC = b"siw1"
_LARGEST = 1 << 33
_CHUNK = 1 << 18
# Below this, one copy is cheaper than a second system call and a second wake-up of the reader.
_JOINED = 1 << 16
# SO_RCVTIMEO: seconds, microseconds.
_MOMENT = struct.pack("@ll", 0, 1000)


class ToChild(IntEnum):
    """LOAD spec, heartbeat interval, threads, limits of the search for a batch size or None.

    CALL id, content types, payloads, batch. PLACED id, content types, where the payloads are in the arena, batch. A
    batch is None, or for a job-scoped predictor its id and its job, packed, or None.
    HOOK id, job, packed. FORGET job id. STOP.
    """

    LOAD = 0
    CALL = 1
    HOOK = 2
    STOP = 3
    PLACED = 4
    FORGET = 5


class ToParent(IntEnum):
    """READY predictor's name, batch size that was found or None, seconds: module, constructor, warm-up.
    UNAVAILABLE message, traceback. BEAT. TRIES size of the call that is made next, before it is ready.

    PREPARES id. LOADS id: an instance for its job is made first. BEGINS id: of a call that needed either, or where the
    child has no arena to mark it in.
    DONE id, values, content types, rejected, seconds that it took, of them until its items were ready and in the model.
    RAISED id, failure, rejected. MISCOUNTED id, returned, rejected.
    EXHAUSTED id, failure, rejected: memory ran out. POISONED what happened: the process ends by itself.
    """

    READY = 0
    UNAVAILABLE = 1
    BEAT = 2
    PREPARES = 3
    BEGINS = 4
    DONE = 5
    RAISED = 6
    MISCOUNTED = 7
    EXHAUSTED = 8
    POISONED = 9
    TRIES = 10
    LOADS = 11


class BrokenWire(StreamInferError):
    """What came over the socket is no frame of ours. The message goes on from "the predictor's process"."""


def pack(message: tuple[Any, ...]) -> list[bytes]:
    """The message's frame, in one buffer or two."""
    body = pickle.dumps(message, protocol=5)
    header = _HEADER.pack(_MAGIC, len(body))
    return [header + body] if len(body) < _JOINED else [header, body]


class MessageReader:
    """Waits for messages. For the child: it trusts its parent. A small message takes one system call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = memoryview(bytearray(_JOINED))
        self._begin = self._end = 0

    def next(self) -> tuple[Any, ...] | None:
        """None when the other end is gone. Raises BrokenWire."""
        header = self._take(_HEADER.size)
        body = None if header is None else self._take(_body_length(header))
        if body is None:
            return None
        message: tuple[Any, ...] = pickle.loads(body)  # noqa: S301 - the parent's own  # nosec B301
        return message

    def _take(self, length: int) -> memoryview | None:
        """The next bytes, which stay until the call after this."""
        if length > len(self._buffer):
            return self._take_large(length)
        if self._begin + length > len(self._buffer):
            have = self._end - self._begin
            self._buffer[:have] = bytes(self._buffer[self._begin : self._end])
            self._begin, self._end = 0, have
        while self._end - self._begin < length:
            count = self._sock.recv_into(self._buffer[self._end :])
            if count == 0:
                return None
            self._end += count
        taken = self._buffer[self._begin : self._begin + length]
        self._begin += length
        if self._begin == self._end:
            self._begin = self._end = 0
        return taken

    def _take_large(self, length: int) -> memoryview | None:
        data = memoryview(bytearray(length))
        have = self._end - self._begin
        data[:have] = self._buffer[self._begin : self._end]
        self._begin = self._end = 0
        left = data[have:]
        while left:
            # MSG_WAITALL: one system call without the GIL, however many pieces the body comes in.
            count = self._sock.recv_into(left, len(left), socket.MSG_WAITALL)
            if count == 0:
                return None
            left = left[count:]
        return data


def _body_length(header: bytes | bytearray | memoryview) -> int:
    magic, length = _HEADER.unpack_from(header)
    if magic != _MAGIC or length > _LARGEST:
        raise BrokenWire(f"wrote {bytes(header[:12])!r} to the engine's socket, where a frame begins")
    return int(length)


class FrameReader:
    """Reads messages from a socket; only `wait` blocks. For the parent: it takes nothing but plain values."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _MOMENT)
        self._buffer = bytearray()
        # Read into: a bytes of that length made anew costs 11 us where malloc asks the system for it each time.
        self._chunk = memoryview(bytearray(_CHUNK))
        self._ahead: memoryview | None = None
        self.ended = False

    def wait(self) -> None:
        """Blocks for a millisecond at most, until there is something for `read`."""
        if self._ahead is None:
            self._ahead = self._receive(0)

    def read(self) -> Iterator[tuple[Any, ...]]:
        """The messages that have come. Sets `ended` at the end of the stream. Raises BrokenWire."""
        while not self.ended:
            chunk, self._ahead = self._ahead, None
            if chunk is None:
                chunk = self._receive(socket.MSG_DONTWAIT)
            if chunk is None:
                return
            self.ended = not chunk
            if not self._buffer and len(chunk) > _HEADER.size and _HEADER.size + _body_length(chunk) == len(chunk):
                yield _load_plain(chunk[_HEADER.size :])  # one message, which it mostly is
            else:
                self._buffer += chunk
                yield from self._complete()
            if len(chunk) < _CHUNK:
                return  # that was all

    def _receive(self, flags: int) -> memoryview | None:
        """What has come, until the next call; nothing at the end of the stream; None: there is nothing yet."""
        try:
            return self._chunk[: self._sock.recv_into(self._chunk, 0, flags)]
        except BlockingIOError:
            return None
        except ConnectionError:
            return self._chunk[:0]

    def _complete(self) -> Iterator[tuple[Any, ...]]:
        while len(self._buffer) >= _HEADER.size:
            end = _HEADER.size + _body_length(self._buffer)
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            yield _load_plain(body)


class _PlainUnpickler(pickle.Unpickler):
    """Loads numbers, text, bytes and containers of them: a predictor cannot make the parent run anything."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def _load_plain(body: bytes | memoryview) -> tuple[Any, ...]:
    try:
        message = _PlainUnpickler(io.BytesIO(body)).load()
    except Exception as error:  # unpickling garbage raises whatever it likes
        raise BrokenWire(f"wrote a frame that cannot be read: {error}") from error
    if not isinstance(message, tuple) or not message:
        raise BrokenWire(f"wrote a {type(message).__name__} where a message belongs")
    return message


def pack_job(job: Job) -> bytes:
    """In JSON: its config may hold whole numbers beyond 64 bits, which orjson refuses."""
    return json.dumps(asdict(job)).encode()


def read_job(packed: bytes) -> Job:
    """What `pack_job` packed. For the child: it trusts its parent."""
    return Job(**json.loads(packed))


def pack_failure(failure: Failure) -> tuple[Any, ...]:
    """The failure in plain values."""
    return (
        failure.stage.value,
        failure.exception,
        failure.message,
        failure.stacktrace,
        failure.retryable,
        failure.retry_after,
        failure.final,
        failure.of_job,
    )


def read_failure(values: tuple[Any, ...]) -> Failure:
    """What `pack_failure` packed. Raises ValueError or TypeError where it is anything else."""
    stage, exception, message, stacktrace, retryable, retry_after, final, of_job = values
    if not all(isinstance(text, str) for text in (exception, message, stacktrace)):
        raise TypeError("a failure whose words are no text")
    return Failure(
        Stage(stage),
        exception,
        message,
        stacktrace,
        bool(retryable),
        read_seconds(retry_after),
        bool(final),
        bool(of_job),
    )


def read_seconds(wish: object) -> float | None:
    """How long somebody asks us to wait; None where that is no finite number from 0 on, or the text of one.

    Whoever writes a predictor passes on what a service's header says, and what raises here would raise in the parent.
    """
    if isinstance(wish, bool) or wish is None:
        return None
    try:
        seconds = float(wish)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - it may be an object of the predictor's own
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def read_rejected(values: dict[int, tuple[Any, ...]]) -> dict[int, Failure]:
    """The failures of single items, by their index in the call."""
    return {index: read_failure(failure) for index, failure in values.items()}
