"""What is read from files, and read again when they change: keys that are rotated, certificates that are renewed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import structlog

from stream_infer.errors import ConfigError

T = TypeVar("T")
LOOK_EVERY_S = 1.0
_Mark: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]
_log = structlog.get_logger(__name__)


class Reloading(Generic[T]):
    """`value` is what `read` made of the files the last time that it could; it raises ConfigError where it cannot.

    A file that is replaced counts as changed, as does a link that leads elsewhere: Kubernetes renews secrets so.
    """

    def __init__(self, what: str, files: Iterable[Path], read: Callable[[], T]) -> None:
        self._what = what
        self._files = tuple(files)
        self._read = read
        self._fault = ""
        # Before the first reading: what changes meanwhile is seen the next time.
        self._mark = self._look()
        self.value = read()

    def refresh(self) -> bool:
        """Reads again where something has changed; True: there is another value. One thread at a time calls it.

        A fault is logged once, and what was read before stays: half a file must not lock everybody out. It is tried
        again at each call: who mends the rights of a file leaves its content, and so its mark, as they were.
        """
        mark = self._look()
        if mark == self._mark:
            return False
        try:
            self.value = self._read()
        except Exception as error:  # noqa: BLE001 - or nothing would ever be read again, and nobody would know
            if str(error) != self._fault:
                is_a_bug = not isinstance(error, ConfigError)
                _log.error(
                    "not_reloaded",
                    what=self._what,
                    reason=str(error),
                    still="what was read before",
                    exc_info=is_a_bug,
                )
            self._fault = str(error)
            return False
        self._mark, self._fault = mark, ""
        _log.info("reloaded", what=self._what, files=[str(file) for file in self._files])
        return True

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Refreshed every second until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.refresh)

    def _look(self) -> _Mark:
        return tuple(_mark_of(file) for file in self._files)


def _mark_of(file: Path) -> tuple[int, int, int, int] | None:
    """Of the file that the path leads to at present; None: there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
