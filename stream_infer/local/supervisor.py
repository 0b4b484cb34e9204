"""Keeps one process a role alive, and ends them all in order. What it decides is in `supervision.py`.

Of the workers that an API may have, those are kept alive that `scale` asks for.
"""

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
    stop_deadline,
)

SUPERVISOR = "up"
_LAST_LINES = 12


class Report(Protocol):
    """Where lines go. `who` is a role's name, or SUPERVISOR."""

    def __call__(self, who: str, line: str) -> None: ...


@dataclass(slots=True)
class _Kept:
    """A role and what is known about its present process. `retired`: one that is not needed, and was asked to end."""

    spec: RoleSpec
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    process: RoleProcess | None = None
    retired: RoleProcess | None = None
    deaths: int = 0
    is_ready: bool = False
    has_served: bool = False
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    keeper: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        if not self.spec.on_demand:
            self.wanted.set()


class Supervisor:
    """One supervision, from `run` to its return. The other methods are for the same loop, its signal handlers too."""

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
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each running role by its name."""
        return {kept.spec.name: kept.process.pid for kept in self._kept if kept.process is not None}

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Starts every role, restarts what dies, and returns once `stop` is set and all have ended.

        `on_ready` is called once, when every role that is wanted has said that it serves. Raises UsageError, after all
        have ended, when a role ended with status 2: it said what the user has to mend.
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

    def workers(self, api: str) -> tuple[int, int]:
        """How many of the API's workers there are to be, and how many of them serve."""
        wanted = [kept for kept in self._workers(api) if kept.wanted.is_set()]
        return len(wanted), sum(kept.is_ready for kept in wanted)

    def scale(self, api: str, count: int) -> None:
        """From now on the API has `count` workers: its first ones. One too many is asked to end, as all are at the end;
        one that is wanted again meanwhile is started anew once it has."""
        if self._ending.is_set():
            return
        for slot, kept in enumerate(self._workers(api)):
            if slot < count:
                kept.wanted.set()
            elif kept.wanted.is_set():
                kept.wanted.clear()
                self._retire(kept)
        self._look_for_readiness()

    def _workers(self, api: str) -> list[_Kept]:
        return [kept for kept in self._kept if kept.spec.api == api]

    def _retire(self, kept: _Kept) -> None:
        if kept.process is not None and kept.retired is not kept.process:
            kept.retired = kept.process
            task = asyncio.create_task(self._end_process(kept.spec, kept.process))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _end_process(self, spec: RoleSpec, process: RoleProcess) -> None:
        deadline = stop_deadline(spec.kind)
        process.ask_to_end()
        try:
            await asyncio.wait_for(process.wait(), deadline)
        except TimeoutError:
            self._report(SUPERVISOR, f"{spec.name} did not end within {deadline:.0f} s; killed")
            process.kill()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await self._all_ready.wait()
        on_ready()

    async def _keep(self, kept: _Kept) -> None:
        while not self._ending.is_set():
            await kept.wanted.wait()
            if self._ending.is_set():
                return
            status, lived = await self._live_once(kept)
            if self._ending.is_set():
                return
            if kept.retired is not None:
                kept.retired, kept.deaths = None, 0
                self._report(SUPERVISOR, f"{kept.spec.name} has ended")
                continue
            may_come_back = kept.has_served or kept.spec.on_demand
            decision = after_death(self._policy, status, lived, kept.deaths, has_served=may_come_back)
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
        elif not kept.wanted.is_set():
            self._retire(kept)
        ready = asyncio.create_task(self._note_readiness(kept, process, started))
        status = await process.wait()
        await ready
        kept.process, kept.is_ready = None, False
        return status, self._clock() - started

    async def _note_readiness(self, kept: _Kept, process: RoleProcess, started: float) -> None:
        kept.is_ready = await process.ready()
        kept.has_served |= kept.is_ready
        if not kept.is_ready or self._ending.is_set():
            return
        if kept.spec.on_demand:
            self._report(SUPERVISOR, f"{kept.spec.name} is ready, {self._clock() - started:.1f} s after its start")
        elif self._all_ready.is_set():
            self._report(SUPERVISOR, f"{kept.spec.name} is ready again")
        self._look_for_readiness()

    def _look_for_readiness(self) -> None:
        if all(kept.is_ready for kept in self._kept if kept.wanted.is_set()):
            self._all_ready.set()

    async def _end_all(self) -> None:
        self._ending.set()
        for kept in self._kept:
            kept.wanted.set()  # whoever waits for that ends
        kinds = {kept.spec.kind for kept in self._kept}
        phases = [phase for phase in STOP_PHASES if phase.kind in kinds]
        for number, phase in enumerate(phases, 1):
            members = [kept for kept in self._kept if kept.spec.kind is phase.kind and kept.keeper is not None]
            running = [kept.spec.name for kept in members if kept.process is not None]
            if running:
                self._report(SUPERVISOR, f"stopping {number}/{len(phases)}: {', '.join(running)}")
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
