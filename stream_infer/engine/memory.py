"""How much of its cgroup's memory is in use: so that the child is ended before the kernel ends the whole container.

Reads cgroup v2 (`memory.max`) and v1 (`memory.limit_in_bytes`), the own group and those above it that can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# v1 says "no limit" with the largest number of whole pages.
_UNLIMITED = 1 << 60
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class _Version:
    """The names of one cgroup version's files, and of the reclaimable parts in its `memory.stat`."""

    limit: str
    usage: str
    reclaimable: tuple[str, ...]


# Page cache, also that which was read twice: a model that is mapped into memory is no reason to end anything.
_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_V2 = _Version("memory.max", "memory.current", ("inactive_file", "active_file"))


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One cgroup with a limit, in bytes."""

    directory: Path
    limit: int
    version: _Version

    def used(self, above: int) -> int:
        """Bytes in use that the kernel cannot take back; looked at closely only `above` that many."""
        total = int((self.directory / self.version.usage).read_bytes())
        if total <= above:
            return total
        stat = dict(line.split() for line in (self.directory / "memory.stat").read_text().splitlines())
        return total - sum(int(stat.get(name, 0)) for name in self.version.reclaimable)


# Above this part of what is allowed, memory is looked at that many times as often: it fills at gigabytes a second.
_NEAR = 0.75
_OFTEN = 5


class MemoryGuard:
    """Says when more than `fraction` of a group's memory is in use. Time is passed in."""

    def __init__(self, groups: list[MemoryGroup], fraction: float, interval_s: float) -> None:
        self._groups = groups
        self._fraction = fraction
        self._interval_s = interval_s
        self._next = 0.0
        self._near = False

    def next_check(self) -> float:
        return self._next

    def check(self, now: float) -> str:
        """What is in use of what, if it is too much and time to look; else nothing."""
        if now < self._next:
            return ""
        alarm = self.look()
        self._next = now + (self._interval_s / _OFTEN if self._near else self._interval_s)
        return alarm

    def look(self) -> str:
        """The same at once, whatever the time."""
        self._near = False
        for group in self._groups:
            allowed = int(group.limit * self._fraction)
            try:
                used = group.used(int(allowed * _NEAR))
            except (OSError, ValueError):  # the group is gone, or is being changed
                continue
            self._near = self._near or used > allowed * _NEAR
            if used > allowed:
                return f"{used / _GIB:.2f} of {group.limit / _GIB:.2f} GiB"
        return ""


def find_guard(fraction: float, interval_s: float, root: Path = Path("/")) -> MemoryGuard | None:
    """The guard of this process's own groups, or None where nothing limits its memory."""
    groups = list(_limited_groups(root))
    return MemoryGuard(groups, fraction, interval_s) if groups else None


def _limited_groups(root: Path) -> Iterator[MemoryGroup]:
    for mount, path, version in _memberships(root):
        # Without a cgroup namespace the path is the host's, and the mount shows the container's own group as its top.
        below = mount / path.lstrip("/")
        directory = below if below.is_dir() else mount
        while True:
            limit = _read_limit(directory / version.limit)
            if limit is not None:
                yield MemoryGroup(directory, limit, version)
            if directory == mount:
                break
            directory = directory.parent


def _memberships(root: Path) -> Iterator[tuple[Path, str, _Version]]:
    """Where the memory controller is mounted, and this process's path below that."""
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux, or no /proc
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and (mounts / "cgroup.controllers").exists():
            yield mounts, path, _V2
        elif "memory" in controllers.split(","):
            yield mounts / "memory", path, _V1


def _read_limit(file: Path) -> int | None:
    try:
        limit = int(file.read_bytes())
    except (OSError, ValueError):  # absent at the top of a hierarchy; "max"
        return None
    return limit if limit < _UNLIMITED else None
