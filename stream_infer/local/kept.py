"""What a supervisor knows of one role that it keeps alive."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from stream_infer.local.role_process import RoleProcess
from stream_infer.local.supervision import RoleKind, RoleSpec

_LAST_LINES = 12


@dataclass(slots=True, eq=False)
class Kept:
    """A role and what is known about its present process. `deployed`: the API that it goes with, where that may go.

    `runs`: as what its process was started. `retired`: a process that is not needed, or has another in its place, and
    was asked to end. `is_dropped`: there is to be none any more. `serving` is set while its process says that it
    serves.
    """

    spec: RoleSpec
    deployed: str | None = None
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    process: RoleProcess | None = None
    runs: RoleSpec | None = None
    retired: RoleProcess | None = None
    deaths: int = 0
    has_served: bool = False
    is_dropped: bool = False
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    keeper: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        if not self.spec.on_demand or self.spec.kind is not RoleKind.WORKER:
            self.wanted.set()

    @property
    def is_ready(self) -> bool:
        return self.serving.is_set()
