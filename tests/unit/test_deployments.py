"""What `up` does about APIs that are deployed, with processes that the test plays itself."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from stream_infer.definitions import Definition, Seal
from stream_infer.local import deployments
from stream_infer.local.deployments import Deployments, Means
from stream_infer.local.preparing import Prepared, read_prepared
from stream_infer.local.scaling import ScalingPolicy
from stream_infer.local.sighting import HeardDefinitions, decode_sighting, encode_definitions
from stream_infer.local.supervision import RestartPolicy, RoleSpec
from stream_infer.local.supervisor import SUPERVISOR
from tests.support.fake_role import FakeLauncher, FakeRole

POLICY = ScalingPolicy(0, 2, 30.0, 2.5)


def definition(revision: str = "r1", name: str = "cats", **keys: Any) -> Definition:
    given = {"name": name, "predictor": {"type": "native", "target": "m.py:M"}, **keys}
    return Definition(name=name, revision=revision, definition=given, at=0.0)


def prepares(failures: dict[str, str]) -> Callable[[RoleSpec, FakeRole], None]:
    """A process that makes ready what is no key of `failures`, by revision."""

    def behave(spec: RoleSpec, role: FakeRole) -> None:
        options = dict(zip(spec.command[2::2], spec.command[3::2], strict=False))
        made = Definition.model_validate_json(Path(options["--definition"]).read_text())
        Prepared(definition=made, failure=failures.get(made.revision)).write(Path(options["--to"]))
        role.die(0)

    return behave


class World:
    """Plays supervisor, scaler and log."""

    def __init__(self, folder: Path, launcher: FakeLauncher, seal: Seal | None = None) -> None:
        self.serving: dict[str, tuple[list[str], int, Path | None]] = {}
        self.policies: dict[str, ScalingPolicy | None] = {}
        self.said: list[str] = []
        self.changed = asyncio.Event()
        how = Means(("stream-infer",), ("-f", "x.yaml"), folder, launcher, lambda _: POLICY, seal=seal)
        self.deployments = Deployments(how, self, self, self.hear)

    def serve(self, api: str, specs: list[RoleSpec], workers: int) -> None:
        assert all(spec.on_demand for spec in specs)
        prepared = Path(specs[0].command[-1]) if specs else None
        self.serving[api] = ([spec.name for spec in specs], workers, prepared)
        self.changed.set()

    def follow(self, api: str, policy: ScalingPolicy | None) -> None:
        self.policies[api] = policy

    def hear(self, who: str, line: str) -> None:
        assert who == SUPERVISOR
        self.said.append(line)
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


def test_an_api_that_is_deployed_is_made_ready_and_then_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(prepares({}))
        world = World(tmp_path, launcher)
        world.deployments.see({"cats": definition(workers={"min": 1, "max": 2}, partitions=4, realtime={})})
        await world.until(lambda: "cats" in world.serving)

        names, workers, prepared = world.serving["cats"]
        assert (names, workers) == (["worker cats/0", "worker cats/1", "realtime cats/0"], 1)
        assert prepared is not None
        assert read_prepared(prepared).definition.revision == "r1"
        assert world.policies == {"cats": POLICY}
        await world.deployments.end()

    play(scenario)


def test_what_is_told_twice_is_done_once_and_another_revision_takes_its_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(prepares({}))
        world = World(tmp_path, launcher)
        for revision in ("r1", "r1", "r2"):
            world.deployments.see({"cats": definition(revision)})
        await world.until(lambda: "cats" in world.serving)
        prepared = world.serving["cats"][2]
        assert prepared is not None
        assert prepared.stem == "r2"
        assert len(launcher.started["prepare cats"]) <= 2
        assert world.policies == {"cats": None}, "its number of workers is fixed"
        await world.deployments.end()

    play(scenario)


def test_a_new_api_that_cannot_be_served_has_workers_that_end_what_is_skipped(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, FakeLauncher(prepares({"r1": "no such class"})))
        world.deployments.see({"cats": definition()})
        await world.until(lambda: "cats" in world.serving)
        assert "cats cannot be served: no such class; its jobs wait" in world.said
        await world.deployments.end()

    play(scenario)


def test_the_revision_before_goes_on_where_the_next_one_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, FakeLauncher(prepares({"r2": "no such class"})))
        world.deployments.see({"cats": definition("r1")})
        await world.until(lambda: "cats" in world.serving)
        world.deployments.see({"cats": definition("r2")})
        await world.until(lambda: any("the revision before goes on" in line for line in world.said))
        prepared = world.serving["cats"][2]
        assert prepared is not None
        assert prepared.stem == "r1"
        world.deployments.see({"cats": definition("r3")})
        await world.until(lambda: (served := world.serving["cats"][2]) is not None and served.stem == "r3")
        await world.deployments.end()

    play(scenario)


def test_one_that_is_deleted_while_it_is_made_ready_ends_that_and_is_not_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        launcher = FakeLauncher(lambda _spec, _role: None)
        world = World(tmp_path, launcher)
        world.deployments.see({"cats": definition()})
        await launcher.nth("prepare cats", 1)
        await asyncio.sleep(0)
        world.deployments.see({})
        await world.until(lambda: "cats" in world.serving)
        assert world.serving["cats"] == ([], 0, None)
        assert world.policies == {"cats": None}
        assert launcher.ended == ["prepare cats"]
        await world.deployments.end()

    play(scenario)


def test_what_was_written_past_the_gateway_is_no_code_that_runs_here(tmp_path: Path) -> None:
    """Every user of the machine reaches a Kafka that asks nobody who he is."""

    async def scenario() -> None:
        launcher, seal = FakeLauncher(prepares({})), Seal(b"k" * 32)
        world = World(tmp_path, launcher, seal)
        ours, theirs = seal.put_on(definition("r1")), Seal(b"x" * 32)
        world.deployments.see({"cats": ours, "dogs": definition(name="dogs")})
        await world.until(lambda: "cats" in world.serving)
        changed = ours.model_copy(update={"definition": {**ours.definition, "predictor": {"target": "/tmp/x.py:X"}}})
        for other in (definition("r2"), theirs.put_on(definition("r3")), changed.model_copy(update={"revision": "r4"})):
            world.deployments.see({"cats": other})
        world.deployments.see({"cats": definition("r2"), "bees": seal.put_on(definition(name="bees"))})
        await world.until(lambda: "bees" in world.serving)

        assert sorted(launcher.started) == ["prepare bees", "prepare cats"]
        assert len(launcher.started["prepare cats"]) == 1
        passed_over = [line for line in world.said if "was not written by the gateway of this `up`" in line]
        assert len(passed_over) == 4, "each is told of once"
        await world.deployments.end()

    play(scenario)


def test_a_seal_outlives_the_way_through_kafka_whatever_a_definition_holds() -> None:
    seal = Seal(b"k" * 32)
    held = {"a": 1e300, "b": [1.0, -0.0, 10**30, float("inf")], "ü": "\u2028", "c": {"z": None, "a": True}}
    sealed = seal.put_on(definition(predictor={"type": "native", "target": "m.py:M", "config": held}))

    assert seal.is_on(Definition.model_validate_json(sealed.model_dump_json()))
    assert not seal.is_on(definition())


def test_what_nobody_foresaw_of_one_api_ends_no_other(tmp_path: Path) -> None:
    def behave(spec: RoleSpec, role: FakeRole) -> None:
        if spec.name == "prepare cats":
            role.die(0)  # and has written nothing
        else:
            prepares({})(spec, role)

    async def scenario() -> None:
        world = World(tmp_path, FakeLauncher(behave))
        world.deployments.see({"cats": definition(), "dogs": definition(name="dogs")})
        await world.until(lambda: "dogs" in world.serving)
        await world.until(lambda: any("cats cannot be served: FileNotFoundError" in line for line in world.said))
        await world.deployments.end()

    play(scenario)


def test_a_disk_that_takes_nothing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past bug: its state was `preparing` for ever."""
    monkeypatch.setattr(deployments, "_AGAIN", RestartPolicy(first=0.0, longest=0.0))
    (tmp_path / "cats").write_text("in the way")

    async def scenario() -> None:
        world = World(tmp_path, FakeLauncher(prepares({})))
        world.deployments.see({"cats": definition()})
        await world.until(lambda: any("prepare cats cannot begin: " in line for line in world.said))
        (tmp_path / "cats").unlink()
        await world.until(lambda: "cats" in world.serving)
        await world.deployments.end()

    play(scenario)


def test_the_lookout_tells_each_definition_in_a_line_and_then_which_there_are() -> None:
    told = {"cats": definition(), "dogs": definition(name="dogs")}
    heard = HeardDefinitions()
    lines = encode_definitions(told).splitlines(keepends=True)

    assert [heard.hear(line) for line in lines] == [None, None, told]
    assert [decode_sighting(line) for line in lines] == [None] * 3
    assert heard.hear(b'{"api": "cats", "lag": null}\n') is None


def test_of_a_lookout_that_was_killed_while_it_spoke_the_next_one_tells_anew() -> None:
    heard = HeardDefinitions()
    mice, cats, *_ = encode_definitions({"mice": definition(name="mice"), "cats": definition()}).splitlines()
    for line in (mice, cats[:-10]):
        assert heard.hear(line) is None

    told = {"cats": definition("r2")}
    assert [heard.hear(line) for line in encode_definitions(told).splitlines()] == [None, told]


def test_a_definition_that_could_not_be_read_is_not_one_that_was_deleted() -> None:
    heard = HeardDefinitions()
    told = {"cats": definition(), "dogs": definition(name="dogs")}
    for line in encode_definitions(told).splitlines():
        heard.hear(line)

    _, *but_cats = encode_definitions({**told, "cats": definition("r2")}).splitlines()
    assert [heard.hear(line) for line in but_cats] == [None, told]
    _, *but_bees = encode_definitions({"bees": definition(name="bees"), **told}).splitlines()
    assert [heard.hear(line) for line in but_bees] == [None, None, told]
