"""The supervisor with processes that the test plays itself."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from stream_infer.errors import UsageError
from stream_infer.local.supervision import RestartPolicy, RoleKind, RoleSpec
from stream_infer.local.supervisor import SUPERVISOR, Supervisor
from tests.support.fake_role import FakeLauncher, FakeRole

AT_ONCE = RestartPolicy(first=0.0, longest=0.0)
NAMES = {
    "gateway": RoleKind.GATEWAY,
    "intake": RoleKind.INTAKE,
    "tracker": RoleKind.TRACKER,
    "worker cats/0": RoleKind.WORKER,
    "worker cats/1": RoleKind.WORKER,
    "sink": RoleKind.SINK,
}
SPECS = [RoleSpec(kind, name, ("true",)) for name, kind in NAMES.items()]


class Run:
    """One supervision and what it said."""

    def __init__(
        self, launcher: FakeLauncher, policy: RestartPolicy = AT_ONCE, specs: Sequence[RoleSpec] = SPECS
    ) -> None:
        self.said: list[tuple[str, str]] = []
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.heard_more = asyncio.Event()
        self.times_ready = 0
        self.gone: list[str] = []
        self.supervisor = Supervisor(specs, launcher, self._hear, policy, on_gone=self.gone.append)
        self.task = asyncio.create_task(self.supervisor.run(self.stop, self._on_ready))

    def _on_ready(self) -> None:
        self.times_ready += 1
        self.ready.set()

    async def end(self) -> None:
        self.stop.set()
        await self.task

    async def heard(self, words: str) -> None:
        while words not in self.notices():
            self.heard_more.clear()
            await self.heard_more.wait()

    def _hear(self, who: str, line: str) -> None:
        self.said.append((who, line))
        self.heard_more.set()

    def notices(self) -> str:
        return "\n".join(line for who, line in self.said if who == SUPERVISOR)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


def test_it_is_ready_once_when_the_last_role_is() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(lambda spec, role: None if spec.name == "sink" else role.say_ready())
        run = Run(launcher)
        sink = await launcher.nth("sink", 1)
        await (await launcher.nth("gateway", 1)).ready()
        assert not run.ready.is_set()
        sink.say_ready()
        await run.ready.wait()
        assert run.times_ready == 1
        assert set(run.supervisor.pids) == set(NAMES)
        await run.end()

    play(scenario)


def test_a_role_that_dies_is_started_again_and_the_others_are_left_alone() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        await run.ready.wait()
        (await launcher.nth("worker cats/1", 1)).die(137)
        await (await launcher.nth("worker cats/1", 2)).ready()
        await run.end()
        assert {name: len(roles) for name, roles in launcher.started.items()} == {
            name: 2 if name == "worker cats/1" else 1 for name in NAMES
        }
        assert run.times_ready == 1
        assert "worker cats/1 ended with signal 9; starting it again in 0.0 s" in run.notices()

    play(scenario)


def test_a_role_that_ends_with_0_unasked_is_started_again() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        (await launcher.nth("tracker", 1)).die(0)
        await launcher.nth("tracker", 2)
        await run.end()

    play(scenario)


def test_a_crash_loop_is_called_one() -> None:
    def crash(spec: RoleSpec, role: FakeRole) -> None:
        if spec.name == "intake" and role.pid < 1010:
            role.die(1)
        role.say_ready()

    async def scenario() -> None:
        run = Run(FakeLauncher(crash))
        await run.ready.wait()
        await run.end()
        assert "intake keeps dying: status 1, 3 times in a row" in run.notices()

    play(scenario)


def test_status_2_ends_everything_and_says_what_the_role_said() -> None:
    def refuse(spec: RoleSpec, role: FakeRole) -> None:
        if spec.name == "worker cats/0":
            role.on_line("predictor.py: there is no class Cats; did you mean Cat?")
            role.die(2)

    async def scenario() -> None:
        launcher = FakeLauncher(refuse)
        run = Run(launcher)
        with pytest.raises(UsageError, match=r"(?s)worker cats/0 cannot start .*did you mean Cat\?"):
            await run.task
        assert len(launcher.started["worker cats/0"]) == 1
        assert run.supervisor.pids == {}

    play(scenario)


def test_all_end_in_the_order_of_the_items_way() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        await run.ready.wait()
        await run.end()
        assert launcher.ended == ["gateway", "intake", "worker cats/0", "worker cats/1", "sink", "tracker"]
        assert "stopping 3/5: worker cats/0, worker cats/1" in run.notices()

    play(scenario)


def test_a_role_that_does_not_end_is_killed_when_the_next_hurry_comes() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        launcher.deaf = {"gateway", "sink"}
        run = Run(launcher)
        await run.ready.wait()
        run.stop.set()
        await asyncio.sleep(0)
        run.supervisor.hurry()
        await run.task
        assert sorted(launcher.ended) == sorted(NAMES)

    play(scenario)


def test_a_role_that_does_not_end_is_killed_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_infer.local import supervisor
    from stream_infer.local.supervision import Phase

    monkeypatch.setattr(supervisor, "STOP_PHASES", tuple(Phase(kind, 0.0) for kind in RoleKind))

    async def scenario() -> None:
        launcher = FakeLauncher()
        launcher.deaf = {"worker cats/0"}
        run = Run(launcher)
        await run.ready.wait()
        await run.end()
        assert "worker cats/0 did not end within 0 s; killed" in run.notices()
        assert sorted(launcher.ended) == sorted(NAMES)

    play(scenario)


def test_no_role_is_started_again_while_all_are_ending() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        await run.ready.wait()
        run.stop.set()
        (await launcher.nth("sink", 1)).die(137)
        await run.task
        assert len(launcher.started["sink"]) == 1

    play(scenario)


def test_a_stop_during_a_backoff_does_not_wait_for_it() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher, RestartPolicy(first=3600.0, longest=3600.0))
        await run.ready.wait()
        (await launcher.nth("sink", 1)).die(1)
        await run.heard("sink ended")
        await run.end()

    play(scenario)


def test_what_a_role_says_is_reported_under_its_name() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        (await launcher.nth("sink", 1)).on_line("flushed objects=3")
        await run.end()
        assert ("sink", "flushed objects=3") in run.said

    play(scenario)


# One role that is always there, and two workers of `cats` that are started on demand.
SCALED = [
    RoleSpec(RoleKind.GATEWAY, "gateway", ("true",)),
    *(RoleSpec(RoleKind.WORKER, f"worker cats/{n}", ("true",), "cats", on_demand=True) for n in range(2)),
]


def test_an_api_at_zero_has_no_process_and_everything_is_ready_without_one() -> None:
    async def scenario() -> None:
        run = Run(FakeLauncher(), specs=SCALED)
        await run.ready.wait()
        assert set(run.supervisor.pids) == {"gateway"}
        assert run.supervisor.workers("cats") == (0, 0)
        await run.end()

    play(scenario)


def test_workers_are_started_when_they_are_wanted_and_asked_to_end_when_they_are_not() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher, specs=SCALED)
        await run.ready.wait()
        run.supervisor.scale("cats", 2)
        await run.heard("worker cats/1 is ready, 0.0 s after its start")
        assert run.supervisor.workers("cats") == (2, 2)
        run.supervisor.scale("cats", 1)
        await run.heard("worker cats/1 has ended")
        assert launcher.ended == ["worker cats/1"]
        assert set(run.supervisor.pids) == {"gateway", "worker cats/0"}
        assert run.supervisor.workers("cats") == (1, 1)
        run.supervisor.scale("cats", 2)
        await launcher.nth("worker cats/1", 2)
        await run.end()
        assert "starting it again" not in run.notices()

    play(scenario)


def test_a_worker_that_is_wanted_again_while_it_drains_is_started_anew_once_it_has_ended() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        launcher.deaf = {"worker cats/0"}
        run = Run(launcher, specs=SCALED)
        await run.ready.wait()
        run.supervisor.scale("cats", 1)
        first = await launcher.nth("worker cats/0", 1)
        await run.heard("worker cats/0 is ready")
        run.supervisor.scale("cats", 0)
        run.supervisor.scale("cats", 1)
        await first.asked.wait()
        assert len(launcher.started["worker cats/0"]) == 1, "its slot is still taken"
        first.die(0)
        await launcher.nth("worker cats/0", 2)
        run.supervisor.hurry()
        await run.end()

    play(scenario)


def test_one_that_does_not_drain_is_killed_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_infer.local import supervisor

    monkeypatch.setattr(supervisor, "stop_deadline", lambda _kind: 0.01)

    async def scenario() -> None:
        launcher = FakeLauncher()
        launcher.deaf = {"worker cats/0"}
        run = Run(launcher, specs=SCALED)
        await run.ready.wait()
        run.supervisor.scale("cats", 1)
        await run.heard("worker cats/0 is ready")
        run.supervisor.scale("cats", 0)
        await run.heard("worker cats/0 has ended")
        assert "worker cats/0 did not end within 0 s; killed" in run.notices()
        await run.end()

    play(scenario)


def test_one_that_was_started_on_demand_and_cannot_start_takes_nobody_else_down() -> None:
    def refuse(spec: RoleSpec, role: FakeRole) -> None:
        if spec.name == "worker cats/0" and role.pid < 1003:
            role.die(2)
        role.say_ready()

    async def scenario() -> None:
        run = Run(FakeLauncher(refuse), specs=SCALED)
        await run.ready.wait()
        run.supervisor.scale("cats", 1)
        await run.heard("worker cats/0 ended with status 2; starting it again")
        await run.heard("worker cats/0 is ready")
        await run.end()

    play(scenario)


def test_one_that_dies_while_it_is_not_wanted_any_more_stays_away() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher, RestartPolicy(first=0.01, longest=0.01), SCALED)
        await run.ready.wait()
        run.supervisor.scale("cats", 1)
        (await launcher.nth("worker cats/0", 1)).die(137)
        await run.heard("worker cats/0 ended with signal 9")
        run.supervisor.scale("cats", 0)
        (await launcher.nth("gateway", 1)).die(137)  # it waits as long, and from later on
        await launcher.nth("gateway", 2)
        assert len(launcher.started["worker cats/0"]) == 1
        await run.end()

    play(scenario)


def deployed(*names: str, command: str = "one") -> list[RoleSpec]:
    """Workers bear their API's name, as slots of it; replicas do not."""
    kinds = {"worker": (RoleKind.WORKER, "dogs"), "realtime": (RoleKind.REALTIME, None)}
    of_names = [(name, *kinds[name.split()[0]]) for name in names]
    return [RoleSpec(kind, name, (command,), api, on_demand=True) for name, kind, api in of_names]


WORKERS = ("worker dogs/0", "worker dogs/1")


def test_an_api_that_comes_later_is_served_and_is_nobodys_condition_for_anything() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(lambda spec, role: None if "dogs" in spec.name else role.say_ready())
        run = Run(launcher)
        run.supervisor.serve("dogs", deployed(*WORKERS), 1)
        await launcher.nth("worker dogs/0", 1)
        await run.ready.wait()
        assert run.supervisor.workers("dogs") == (1, 0)
        assert "worker dogs/1" not in launcher.started
        await run.end()
        assert launcher.ended.index("worker dogs/0") < launcher.ended.index("sink")

    play(scenario)


def test_one_that_ends_with_status_2_ends_nobody_else() -> None:
    async def scenario() -> None:
        def behave(spec: RoleSpec, role: FakeRole) -> None:
            role.die(2) if "dogs" in spec.name and role.pid < 1012 else role.say_ready()

        launcher = FakeLauncher(behave)
        run = Run(launcher)
        await run.ready.wait()
        run.supervisor.serve("dogs", deployed(*WORKERS), 1)
        await launcher.nth("worker dogs/0", 3)
        assert run.supervisor.pids.keys() >= set(NAMES)
        await run.end()

    play(scenario)


def test_processes_that_are_other_than_they_were_are_replaced_one_after_the_other() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(lambda spec, role: None if spec.command == ("two",) else role.say_ready())
        run = Run(launcher)
        run.supervisor.serve("dogs", deployed(*WORKERS), 2)
        old = [await launcher.nth(name, 1) for name in WORKERS]
        await run.ready.wait()

        run.supervisor.serve("dogs", deployed(*WORKERS, command="two"), 1)
        first = await launcher.nth(WORKERS[0], 2)
        assert await old[0].wait() == 0
        assert not old[1].asked.is_set(), "its turn comes when the first one serves"
        first.say_ready()
        await launcher.nth(WORKERS[1], 2)
        assert run.supervisor.workers("dogs")[0] == 2, "no fewer for being others"
        await run.end()

    play(scenario)


def test_one_that_died_and_came_back_as_another_while_others_were_replaced_is_not_replaced_again() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(lambda spec, role: None if spec.command == ("two",) else role.say_ready())
        run = Run(launcher)
        names = (*WORKERS, "worker dogs/2")
        run.supervisor.serve("dogs", deployed(*names), 3)
        old = [await launcher.nth(name, 1) for name in names]
        await run.ready.wait()

        run.supervisor.serve("dogs", deployed(*names, command="two"), 3)
        first = await launcher.nth(WORKERS[0], 2)
        old[1].die(1)
        second = await launcher.nth(WORKERS[1], 2)
        first.say_ready()
        second.say_ready()
        await launcher.nth(names[2], 2)  # whose turn is behind the second one's
        assert len(launcher.started[WORKERS[1]]) == 2
        assert launcher.ended.count(WORKERS[1]) == 1
        await run.end()

    play(scenario)


def test_one_that_is_as_it_was_is_left_alone() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        replica = "realtime dogs/0"
        run.supervisor.serve("dogs", deployed(*WORKERS, replica), 2)
        for name in (*WORKERS, replica):
            await (await launcher.nth(name, 1)).ready()
        run.supervisor.serve("dogs", deployed(*WORKERS) + deployed(replica, command="two"), 2)
        await launcher.nth(replica, 2)  # whose turn is behind the workers'
        assert {len(launcher.started[name]) for name in WORKERS} == {1}
        await run.end()

    play(scenario)


def test_an_api_that_goes_takes_its_processes_along_and_may_come_back() -> None:
    async def scenario() -> None:
        launcher = FakeLauncher()
        run = Run(launcher)
        await run.ready.wait()
        run.supervisor.serve("dogs", deployed(*WORKERS, "realtime dogs/0"), 1)
        processes = [await launcher.nth(name, 1) for name in (WORKERS[0], "realtime dogs/0")]
        await processes[1].ready()

        run.supervisor.serve("dogs", [], 0)
        assert [await process.wait() for process in processes] == [0, 0]
        for name in (WORKERS[0], "realtime dogs/0"):
            await run.heard(f"{name} has ended")
        assert set(run.supervisor.pids) == set(NAMES)

        run.supervisor.serve("dogs", deployed(*WORKERS), 1)
        await launcher.nth(WORKERS[0], 2)
        assert "realtime dogs/0" in run.gone
        assert not run.task.done()
        await run.end()

    play(scenario)
