"""Keeps one process a role alive, and ends them all in order. What it decides is in `supervision.py`.

Of the workers that an API may have, those are kept alive that `scale` asks for. The processes of an API may come,
change and go: `serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from stream_infer.errors import UsageError
from stream_infer.local.kept import Kept
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
# How long the next process of an API waits for one that was replaced before it: a model may take long to load.
_ROLL_PATIENCE_S = 60.0


class Report(Protocol):
    """Where lines go. `who` is a role's name, or SUPERVISOR."""

    def __call__(self, who: str, line: str) -> None: ...


class Supervisor:
    """One supervision, from `run` to its return. The other methods are for the same loop, its signal handlers too."""

    def __init__(
        self,
        specs: Sequence[RoleSpec],
        launch: Launch,
        report: Report,
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_gone: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`on_gone` is told the name of a process that there is not to be any more, once it has ended."""
        self._kept = [Kept(spec) for spec in specs]
        self._launch = launch
        self._report = report
        self._policy = policy or RestartPolicy()
        self._clock = clock
        self._on_gone = on_gone
        self._ending = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._hurry = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()

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
            if kept.keeper is None:
                self._begin(kept)
        announcer = asyncio.create_task(self._announce(on_ready))
        ends = [asyncio.create_task(one.wait()) for one in (stop, self._broken)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (announcer, *ends):
                task.cancel()
            await self._end_all()
        keepers = [kept.keeper for kept in self._kept if kept.keeper is not None]
        for outcome in await asyncio.gather(*keepers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _begin(self, kept: Kept) -> None:
        """Its keeper ends with all others, by an error, which ends all others, or when it is dropped."""
        kept.keeper = asyncio.create_task(self._keep(kept))

        def ended(_: asyncio.Task[None]) -> None:
            if kept.is_dropped:
                self._kept.remove(kept)
                if kept.spec.name not in {one.spec.name for one in self._kept}:  # it may have come back meanwhile
                    self._on_gone(kept.spec.name)
            else:
                self._broken.set()

        kept.keeper.add_done_callback(ended)

    def hurry(self) -> None:
        """Ends what still runs at once, without waiting for its deadline."""
        self._hurry.set()
        for kept in self._kept:
            if kept.process is not None:
                kept.process.kill()

    def serve(self, api: str, specs: Sequence[RoleSpec], workers: int) -> None:
        """From now on the API has these processes: `workers` of its workers at least, as many as there are at most. One
        that is another than it was is replaced, one after the other; what is not among them is ended."""
        if self._ending.is_set():
            return
        before = {kept.spec.name: kept for kept in self._kept if kept.deployed == api and not kept.is_dropped}
        wanted = len([kept for kept in self._workers(api) if kept.wanted.is_set()])
        named = {spec.name for spec in specs}
        for name, kept in before.items():
            if name not in named:
                self._drop(kept)
        changed = []
        for spec in specs:
            if spec.name not in before:
                kept = Kept(spec, api)
                self._kept.append(kept)
                self._begin(kept)
            elif before[spec.name].spec != spec:
                before[spec.name].spec = spec
                changed.append(before[spec.name])
        self._in_background(self._roll(changed))
        self.scale(api, max(workers, wanted))

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

    def _workers(self, api: str) -> list[Kept]:
        return [kept for kept in self._kept if kept.spec.api == api and not kept.is_dropped]

    def _drop(self, kept: Kept) -> None:
        kept.is_dropped = True
        kept.wanted.set()  # whoever waits for that ends
        self._retire(kept)

    def _retire(self, kept: Kept) -> None:
        if kept.process is not None and kept.retired is not kept.process:
            kept.retired = kept.process
            kept.serving.clear()
            self._in_background(self._end_process(kept.spec, kept.process))

    async def _roll(self, changed: Sequence[Kept]) -> None:
        for kept in changed:
            process = kept.process
            if process is None:
                continue  # its next one is another anyway
            if kept.runs is not kept.spec:  # it may have died, and be the next one already
                self._retire(kept)
                await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(kept.serving.wait(), _ROLL_PATIENCE_S)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
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

    async def _keep(self, kept: Kept) -> None:
        while not (self._ending.is_set() or kept.is_dropped):
            await kept.wanted.wait()
            if self._ending.is_set() or kept.is_dropped:
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

    async def _live_once(self, kept: Kept) -> tuple[int, float]:
        def on_line(line: str) -> None:
            kept.said.append(line)
            self._report(kept.spec.name, line)

        started, spec = self._clock(), kept.spec
        kept.said.clear()
        kept.runs = spec
        kept.process = process = await self._launch(spec, on_line)
        if self._ending.is_set():  # its phase may be over already; it cannot have begun anything
            process.kill()
        elif kept.is_dropped or not kept.wanted.is_set() or kept.spec is not spec:
            self._retire(kept)
        ready = asyncio.create_task(self._note_readiness(kept, process, started))
        status = await process.wait()
        await ready
        kept.process = None
        kept.serving.clear()
        return status, self._clock() - started

    async def _note_readiness(self, kept: Kept, process: RoleProcess, started: float) -> None:
        if not await process.ready():
            return
        kept.serving.set()
        kept.has_served = True
        if self._ending.is_set():
            return
        if kept.spec.on_demand:
            self._report(SUPERVISOR, f"{kept.spec.name} is ready, {self._clock() - started:.1f} s after its start")
        elif self._all_ready.is_set():
            self._report(SUPERVISOR, f"{kept.spec.name} is ready again")
        self._look_for_readiness()

    def _look_for_readiness(self) -> None:
        """What was deployed is nobody's condition for anything: it may be broken."""
        if all(kept.is_ready for kept in self._kept if kept.wanted.is_set() and kept.deployed is None):
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

    async def _end(self, kept: Kept, phase: Phase) -> None:
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


def _refusal(kept: Kept) -> str:
    said = "\n".join(f"  {line}" for line in kept.said if line.strip())
    heard = f"It said:\n{said}" if said else "It said nothing."
    return f"{kept.spec.name} cannot start as it is configured (status {BAD_CONFIG}). {heard}"


def _death_notice(name: str, status: int, decision: Restart) -> str:
    again = f"starting it again in {decision.delay:.1f} s"
    if decision.is_crash_loop:
        return f"{name} keeps dying: {describe_status(status)}, {decision.deaths} times in a row; {again}"
    return f"{name} ended with {describe_status(status)}; {again}"
