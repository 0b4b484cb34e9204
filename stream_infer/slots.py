"""A stable name for one process of a role on this host, so that its restart takes over its own transactions.

`{prefix}.{role}.{host}.{slot}` is a transactional id: two processes under one id would fence each other for ever, so
a slot is held by a lock on a file of this host, and a taken one is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stream_infer.errors import UsageError

_SLOTS_TRIED = 256


@dataclass(frozen=True, slots=True)
class Slot:
    """A held slot. The lock lives as long as the process, or until `release`."""

    name: str
    number: int
    _descriptor: int

    def release(self) -> None:
        os.close(self._descriptor)


def hold_slot(role: str, cluster: str, number: int | None = None) -> Slot:
    """Holds slot `number` of `role` (its prefix included) on the Kafka of the id `cluster`, or the first free one.

    Raises UsageError where it is taken.
    """
    for candidate in range(_SLOTS_TRIED) if number is None else [number]:
        name = f"{role}.{socket.gethostname()}.{candidate}"
        descriptor = _lock(name, cluster)
        if descriptor is not None:
            return Slot(name, candidate, descriptor)
    taken = f"slot {number}" if number is not None else f"every slot up to {_SLOTS_TRIED - 1}"
    raise UsageError(f"{taken} of {role} is taken by another process on this host; end it, or give another --slot")


def _lock(name: str, cluster: str) -> int | None:
    folder = Path(tempfile.gettempdir()) / f"stream-infer-slots-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256(f"{cluster}\0{name}".encode()).hexdigest()[:32]
    descriptor = os.open(folder / f"{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
