"""Reads the folder's files in threads, ahead of the model and not too far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from stream_infer.errors import ItemError, RetryableError, Stage, StreamInferError
from stream_infer.predictors.finding import full_name
from stream_infer.records import Failure, Payload

_MOST_AT_ONCE = 64
_BYTES_AT_ONCE = 4 * 1024 * 1024
_PAUSES_S = (0.1, 1.0)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """`files` may be taken and not written, `size` bytes of them read and not released; above that nothing is taken."""

    threads: int
    files: int
    size: int


class Read(NamedTuple):
    """A file that was taken, by its number, and what it holds."""

    ordinal: int
    key: bytes
    outcome: Payload | Failure


class Reader:
    """`take`, `release` and `stop` are for one thread and do not block; `on_read` is called in others.

    Each file that is taken is read and handed over, whatever else waits: those that wait for it to be written may
    hold all the room there is.
    """

    def __init__(
        self,
        keys: Iterator[bytes],
        read: Callable[[bytes], Payload],
        limits: ReadLimits,
        on_read: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._read = read
        self._limits = limits
        self._on_read = on_read
        self._listing = threading.Lock()
        self._changed = threading.Condition()
        self._done: list[Read] = []
        self._taken = 0  # numbers given
        self._handed_over = 0
        self._held_files = 0
        self._held_bytes = 0
        self._read_bytes = 0  # in all, for their average
        self._read_files = 0
        self._takes_more = True
        self.fault: Exception | None = None
        self.reached_end = False
        """All files of the folder were taken."""

    def start(self) -> None:
        for number in range(self._limits.threads):
            threading.Thread(target=self._work, name=f"read-{number}", daemon=True).start()

    @property
    def pending(self) -> int:
        """Files that were taken and have not been handed over."""
        with self._changed:
            return self._taken - self._handed_over

    @property
    def is_over(self) -> bool:
        """No file is to come any more. `fault` says why, where that is not the folder's end or `stop`."""
        with self._changed:
            return not self._takes_more and self._taken == self._handed_over

    def take(self) -> list[Read]:
        """What has been read since the last call."""
        with self._changed:
            done, self._done = self._done, []
            self._handed_over += len(done)
        return done

    def release(self, files: int, size: int) -> None:
        """So many files are written; so many bytes are let go of, or held in their place where that is negative."""
        with self._changed:
            self._held_files -= files
            self._held_bytes -= size
            self._changed.notify_all()

    def stop(self) -> None:
        """Takes no more files."""
        with self._changed:
            self._takes_more = False
            self._changed.notify_all()

    def _work(self) -> None:
        while chunk := self._take_chunk():
            read = [Read(ordinal, key, self._read_one(key)) for ordinal, key in chunk]
            size = sum(len(one.outcome.data) for one in read if isinstance(one.outcome, Payload))
            with self._changed:
                self._done += read
                self._held_bytes += size
                self._read_bytes += size
                self._read_files += len(read)
            self._on_read()
        self._on_read()

    def _take_chunk(self) -> list[tuple[int, bytes]]:
        """Files with their numbers; none: it is over. Waits for room."""
        with self._listing:
            size = self._wait_for_room()
            keys: list[bytes] = []
            fault: Exception | None = None
            try:
                keys = list(islice(self._keys, size)) if size else []
            except Exception as error:  # noqa: BLE001 - raised in the thread that asks
                fault = error
            with self._changed:
                if not self._takes_more:
                    return []
                if not keys:
                    self._takes_more = False
                    self.fault = fault
                    self.reached_end = fault is None
                    return []
                first = self._taken
                self._taken += len(keys)
                self._held_files += len(keys)
                return list(enumerate(keys, first))

    def _wait_for_room(self) -> int:
        """How many files to take: fewer of large ones, and none where no more are to be taken."""
        with self._changed:
            while self._takes_more:
                room = self._limits.files - self._held_files
                if room > 0 and self._held_bytes < self._limits.size:
                    average = self._read_bytes // max(1, self._read_files)
                    return max(1, min(room, _MOST_AT_ONCE, _BYTES_AT_ONCE // max(1, average)))
                self._changed.wait()
            return 0

    def _read_one(self, key: bytes) -> Payload | Failure:
        """A passing fault of the file system is waited for; what stays becomes the file's failure."""
        for pause in _PAUSES_S:
            try:
                return self._read(key)
            except RetryableError:
                threading.Event().wait(pause)
            except Exception as error:  # noqa: BLE001 - one file's failure
                return _failure(error)
        try:
            return self._read(key)
        except Exception as error:  # noqa: BLE001 - one file's failure
            return _failure(error)


def _failure(error: Exception) -> Failure:
    stage = error.stage if isinstance(error, ItemError) else Stage.FETCH
    message = str(error) if isinstance(error, StreamInferError) else f"{full_name(error)}: {error}"
    return Failure(stage, full_name(error), message, final=True)
