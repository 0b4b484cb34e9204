"""Memory that parent and child share: what the items of a call weigh is copied into it once, and read where it lies.
Behind that, a mark: which call the child has begun, for when it is dead.

Measured with 256 items of 100 KB: through the socket they were copied five times, which took the child longer than
decoding them. A message that a call begins woke the parent once more for every call, while the child had work to do.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from typing import TypeAlias

log = logging.getLogger(__name__)

# Where it begins, and how long each payload is: they lie one behind the other.
Placed: TypeAlias = tuple[int, list[int]]

# Below this, the socket is as fast.
SMALLEST = 1 << 16


_LARGEST = 256 << 20
_PAGE = mmap.ALLOCATIONGRANULARITY
_MARK = struct.Struct("@Q")


def open_arena(size: int) -> Arena | None:
    """Of so many bytes, or of 256 MB. None where the system has none to give: everything goes through the socket."""
    try:
        return Arena(min(size, _LARGEST))
    except OSError as error:
        log.warning("payloads go through a socket, which is slower for large ones: no memory to share (%s)", error)
        return None


class Arena:
    """The parent's end. Takes memory as it is used, from its beginning. Used by one thread."""

    def __init__(self, size: int) -> None:
        """Raises OSError where there is none to be had."""
        self.fd = _open()
        size = -(-size // _PAGE) * _PAGE
        try:
            os.ftruncate(self.fd, size + _PAGE)
            self._memory = mmap.mmap(self.fd, size + _PAGE)
        except BaseException:
            os.close(self.fd)
            raise
        self._size = size
        self._taken: dict[int, tuple[int, int]] = {}

    def put(self, call_id: int, payloads: Sequence[bytes]) -> Placed | None:
        """Copies the payloads; they stay until `free`. None: they are few bytes, or there is no room for them."""
        lengths = list(map(len, payloads))
        total = sum(lengths)
        start = self._find(total) if total >= SMALLEST else None
        if start is None:
            return None
        self._taken[call_id] = (start, start + total)
        memory, at = self._memory, start
        for payload, length in zip(payloads, lengths, strict=True):
            memory[at : at + length] = payload
            at += length
        return start, lengths

    def free(self, call_id: int) -> None:
        """The child has answered the call: it does not read there any more."""
        self._taken.pop(call_id, None)

    def begun(self) -> int:
        """The id of the call that the child has begun last, whether it lives or not; 0: it has begun none."""
        call_id: int = _MARK.unpack_from(self._memory, self._size)[0]
        return call_id

    def _find(self, total: int) -> int | None:
        """The first gap of so many bytes."""
        start = 0
        for begin, end in sorted(self._taken.values()):
            if begin - start >= total:
                return start
            start = end
        return start if self._size - start >= total else None

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class SharedPayloads:
    """The child's end: payloads, which it only reads, and its mark."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size - _PAGE
        self._view = memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_READ))
        self._mark = memoryview(mmap.mmap(fd, _PAGE, offset=size)).cast("Q")
        os.close(fd)

    def begin(self, call_id: int) -> None:
        """From here on the call may be to blame for whatever happens to this process. One store of eight bytes."""
        self._mark[0] = call_id

    def payloads(self, placed: Placed) -> list[memoryview]:
        """Theirs until the call is answered: whoever keeps one copies it."""
        start, lengths = placed
        view, found = self._view, []
        for length in lengths:
            found.append(view[start : start + length])
            start += length
        return found


def _open() -> int:
    if sys.platform == "linux":
        return os.memfd_create("stream-infer-payloads", os.MFD_CLOEXEC)
    else:  # noqa: RET505 - so that mypy sees that this is for other systems
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
