"""APIs that come, change and go under a running `up`: each is made ready by a process of its own, then served.

What there is to be is heard from the lookout. While an API's next revision is made ready, the one before it goes on;
where that fails, for as long as `up` runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from stream_infer.definitions import Definition, Seal
from stream_infer.local.preparing import Prepared, read_prepared
from stream_infer.local.role_process import Launch
from stream_infer.local.scaling import ScalingPolicy
from stream_infer.local.supervision import RestartPolicy, RoleKind, RoleSpec, api_specs, worker_range
from stream_infer.local.supervisor import SUPERVISOR, Report
from stream_infer.settings import ApiSettings

# Kafka or the store may be away for as long as they like.
_AGAIN = RestartPolicy(first=1.0, longest=30.0)


class Served(Protocol):
    """The supervisor, as far as it is needed here."""

    def serve(self, api: str, specs: list[RoleSpec], workers: int) -> None:
        """From now on the API has these processes, and so many of its workers at first."""
        ...


class Scaled(Protocol):
    """The scaler, as far as it is needed here."""

    def follow(self, api: str, policy: ScalingPolicy | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Means:
    """How processes are started for an API: `program` and `options` as for all roles; `folder` is where what is made
    ready of each revision is written down. `policy_of`: how an API's workers are scaled; None: they are not. `seal`:
    what a definition has to bear; None: whoever could write it may."""

    program: tuple[str, ...]
    options: tuple[str, ...]
    folder: Path
    launch: Launch
    policy_of: Callable[[ApiSettings], ScalingPolicy | None]
    workers: int | None = None
    seal: Seal | None = None


class Deployments:
    """For one event loop. `see` is told of all definitions that there are, whenever any of them has changed."""

    def __init__(self, how: Means, supervisor: Served, scaler: Scaled, report: Report) -> None:
        self._how = how
        self._supervisor = supervisor
        self._scaler = scaler
        self._report = report
        self._known: dict[str, Definition] = {}
        self._serving: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._passed_over: set[tuple[str, str]] = set()

    def see(self, definitions: Mapping[str, Definition]) -> None:
        definitions = self._taken(definitions)
        for name in [name for name in self._known if name not in definitions]:
            del self._known[name]
            self._begin(name, None)
        for name, definition in definitions.items():
            before = self._known.get(name)
            if before is None or before.revision != definition.revision:
                self._known[name] = definition
                self._begin(name, definition)

    def _taken(self, definitions: Mapping[str, Definition]) -> dict[str, Definition]:
        """Without what was written past the gateway; what that stands in the place of goes on."""
        seal = self._how.seal
        taken: dict[str, Definition] = {}
        for name, definition in definitions.items():
            if seal is None or seal.is_on(definition):
                taken[name] = definition
                continue
            if name in self._known:
                taken[name] = self._known[name]
            if (name, definition.revision) not in self._passed_over:
                self._passed_over.add((name, definition.revision))
                said = "was not written by the gateway of this `up`, and is passed over; to have it, deploy it again"
                self._report(SUPERVISOR, f"{name}, revision {definition.revision}, {said}")
        return taken

    async def end(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str, definition: Definition | None) -> None:
        """What is under way for an earlier revision is ended first. What nobody foresaw ends no other API."""
        before = self._tasks.get(name)
        task = self._tasks[name] = asyncio.create_task(self._bring(name, definition, before))

        def ended(_: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._report(SUPERVISOR, f"{name} cannot be served: {type(error).__name__}: {error}")

        task.add_done_callback(ended)

    async def _bring(self, name: str, definition: Definition | None, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        if definition is None:
            self._report(SUPERVISOR, f"{name} was deleted")
            self._scaler.follow(name, None)
            self._supervisor.serve(name, [], 0)
            self._serving.discard(name)
            return
        self._report(SUPERVISOR, f"{name} was deployed, revision {definition.revision}: it is made ready")
        file = self._how.folder / name / f"{definition.revision}.json"
        made = await self._made_ready(definition, file)
        if made.failure is not None:
            goes_on = "; the revision before goes on" if name in self._serving else "; its jobs wait"
            self._report(SUPERVISOR, f"{name} cannot be served: {made.failure}{goes_on}")
            if name in self._serving:
                return
        self._serve(definition.api, file)
        if made.failure is None:
            self._serving.add(name)
        _forget_all_but(file)

    def _serve(self, api: ApiSettings, prepared: Path) -> None:
        """Workers are started also of one that cannot be served: they end what is to be skipped, once its jobs are
        stopped."""
        how = self._how
        options = (*how.options, "--prepared", str(prepared))
        # On demand: nothing of it may end `up` by being wrong.
        specs = [replace(spec, on_demand=True) for spec in api_specs(how.program, options, api, how.workers)]
        least, most = worker_range(api, how.workers)
        self._supervisor.serve(api.name, specs, least)
        self._scaler.follow(api.name, how.policy_of(api) if least < most else None)

    async def _made_ready(self, definition: Definition, file: Path) -> Prepared:
        """However often it takes; that something is wrong with the definition is an answer, too."""
        given = file.with_suffix(".definition.json")
        how = self._how
        own = (RoleKind.PREPARE.value, "--definition", str(given), "--to", str(file))
        spec = RoleSpec(RoleKind.PREPARE, f"prepare {definition.name}", (*how.program, *own, *how.options))
        delay = _AGAIN.first
        while True:
            try:
                given.parent.mkdir(parents=True, exist_ok=True)
                given.write_text(definition.model_dump_json())
                status = await self._run(spec)
            except OSError as error:
                said = f"cannot begin: {error}"
            else:
                if status == 0:
                    return read_prepared(file)
                said = f"ended with status {status}"
            self._report(SUPERVISOR, f"{spec.name} {said}; again in {delay:.0f} s")
            await asyncio.sleep(delay)
            delay = min(2 * delay, _AGAIN.longest)

    async def _run(self, spec: RoleSpec) -> int:
        process = await self._how.launch(spec, lambda line: self._report(spec.name, line))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise


def _forget_all_but(prepared: Path) -> None:
    """What was written down of earlier revisions: nobody is started with it any more."""
    for file in prepared.parent.glob("*.json"):
        if not file.name.startswith(f"{prepared.stem}."):
            file.unlink(missing_ok=True)
