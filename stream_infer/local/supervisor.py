"""Keeps one process a role alive, and ends them all in order. What it decides is in `supervision.py`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_infer.errors import UsageError
from stream_infer.local.role_process import Launch, RoleProcess
from stream_infer.local.supervision import (
    BAD_CONFIG,
    STOP_PHASES,
    GiveUp,
    Phase,
    Restart,
    RestartPolicy,
    RoleSpec,
    after_death,
    describe_status,
)

SUPERVISOR = "up"
_LAST_LINES = 12


class Report(Protocol):
    """Where lines go. `who` is a role's name, or SUPERVISOR."""

    def __call__(self, who: str, line: str) -> None: ...


@dataclass(slots=True)
class _Kept:
    """A role and what is known about its present process."""

    spec: RoleSpec
    process: RoleProcess | None = None
    deaths: int = 0
    is_ready: bool = False
    has_served: bool = False
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """One supervision, from `run` to its return. `hurry` may be called from a signal handler of the same loop."""

    def __init__(
        self,
        specs: Sequence[RoleSpec],
        launch: Launch,
        report: Report,
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept = [_Kept(spec) for spec in specs]
        self._launch = launch
        self._report = report
        self._policy = policy or RestartPolicy()
        self._clock = clock
        self._ending = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each running role by its name."""
        return {kept.spec.name: kept.process.pid for kept in self._kept if kept.process is not None}

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Starts every role, restarts what dies, and returns once `stop` is set and all have ended.

        `on_ready` is called once, when every role has said that it serves. Raises UsageError, after all have ended,
        when a role ended with status 2: it said what the user has to mend.
        """
        for kept in self._kept:
            kept.keeper = asyncio.create_task(self._keep(kept))
        announcer = asyncio.create_task(self._announce(on_ready))
        stopped = asyncio.create_task(stop.wait())
        keepers = [kept.keeper for kept in self._kept if kept.keeper is not None]
        try:
            # Without `stop` a keeper ends only by an error.
            await asyncio.wait([*keepers, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (announcer, stopped):
                task.cancel()
            await self._end_all()
        for outcome in await asyncio.gather(*keepers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def hurry(self) -> None:
        """Ends what still runs at once, without waiting for its deadline."""
        self._hurry.set()
        for kept in self._kept:
            if kept.process is not None:
                kept.process.kill()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await self._all_ready.wait()
        on_ready()

    async def _keep(self, kept: _Kept) -> None:
        while not self._ending.is_set():
            status, lived = await self._live_once(kept)
            if self._ending.is_set():
                return
            decision = after_death(self._policy, status, lived, kept.deaths, has_served=kept.has_served)
            if isinstance(decision, GiveUp):
                raise UsageError(_refusal(kept))
            kept.deaths = decision.deaths
            self._report(SUPERVISOR, _death_notice(kept.spec.name, status, decision))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), decision.delay)

    async def _live_once(self, kept: _Kept) -> tuple[int, float]:
        def on_line(line: str) -> None:
            kept.said.append(line)
            self._report(kept.spec.name, line)

        started = self._clock()
        kept.said.clear()
        kept.process = process = await self._launch(kept.spec, on_line)
        if self._ending.is_set():  # its phase may be over already; it cannot have begun anything
            process.kill()
        ready = asyncio.create_task(self._note_readiness(kept, process))
        status = await process.wait()
        await ready
        kept.process, kept.is_ready = None, False
        return status, self._clock() - started

    async def _note_readiness(self, kept: _Kept, process: RoleProcess) -> None:
        kept.is_ready = await process.ready()
        kept.has_served |= kept.is_ready
        if not kept.is_ready or self._ending.is_set():
            return
        if self._all_ready.is_set():
            self._report(SUPERVISOR, f"{kept.spec.name} is ready again")
        elif all(other.is_ready for other in self._kept):
            self._all_ready.set()

    async def _end_all(self) -> None:
        self._ending.set()
        for number, phase in enumerate(STOP_PHASES, 1):
            members = [kept for kept in self._kept if kept.spec.kind is phase.kind and kept.keeper is not None]
            running = [kept.spec.name for kept in members if kept.process is not None]
            if running:
                self._report(SUPERVISOR, f"stopping {number}/{len(STOP_PHASES)}: {', '.join(running)}")
            await asyncio.gather(*(self._end(kept, phase) for kept in members))

    async def _end(self, kept: _Kept, phase: Phase) -> None:
        assert kept.keeper is not None
        if kept.process is not None:
            if self._hurry.is_set():
                kept.process.kill()
            kept.process.ask_to_end()
        done, _ = await asyncio.wait([kept.keeper], timeout=phase.deadline)
        if not done and kept.process is not None:
            self._report(SUPERVISOR, f"{kept.spec.name} did not end within {phase.deadline:.0f} s; killed")
            kept.process.kill()
            await asyncio.wait([kept.keeper])


def _refusal(kept: _Kept) -> str:
    said = "\n".join(f"  {line}" for line in kept.said if line.strip())
    heard = f"It said:\n{said}" if said else "It said nothing."
    return f"{kept.spec.name} cannot start as it is configured (status {BAD_CONFIG}). {heard}"


def _death_notice(name: str, status: int, decision: Restart) -> str:
    again = f"starting it again in {decision.delay:.1f} s"
    if decision.is_crash_loop:
        return f"{name} keeps dying: {describe_status(status)}, {decision.deaths} times in a row; {again}"
    return f"{name} ended with {describe_status(status)}; {again}"
