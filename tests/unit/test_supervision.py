"""The supervisor's decisions, as tables."""

import pytest

from stream_infer.local.supervision import (
    STOP_PHASES,
    GiveUp,
    Restart,
    RestartPolicy,
    RoleKind,
    after_death,
    describe_status,
    role_specs,
    stop_deadline,
    worker_range,
)
from stream_infer.predictor_settings import NativePredictor
from stream_infer.settings import ApiSettings, WorkerSettings

POLICY = RestartPolicy(first=0.5, longest=8.0, healthy_after=30.0, loop_after=3)


def api(name: str = "cats", *, partitions: int = 4, least: int = 1, most: int = 1) -> ApiSettings:
    predictor = NativePredictor(target="p.py:P")
    workers = WorkerSettings(min=least, max=most)
    return ApiSettings(name=name, predictor=predictor, partitions=partitions, workers=workers)


@pytest.mark.parametrize(
    ("deaths_before", "lived", "decision"),
    [
        (0, 1.0, Restart(0.5, 1, is_crash_loop=False)),
        (1, 1.0, Restart(1.0, 2, is_crash_loop=False)),
        (2, 1.0, Restart(2.0, 3, is_crash_loop=True)),
        (3, 1.0, Restart(4.0, 4, is_crash_loop=True)),
        (4, 1.0, Restart(8.0, 5, is_crash_loop=True)),
        (5, 1.0, Restart(8.0, 6, is_crash_loop=True)),
        (1_000_000, 1.0, Restart(8.0, 1_000_001, is_crash_loop=True)),
        (9, 30.0, Restart(0.5, 1, is_crash_loop=False)),
    ],
)
def test_the_delay_doubles_up_to_its_cap_and_a_long_life_starts_it_afresh(
    deaths_before: int, lived: float, decision: Restart
) -> None:
    assert after_death(POLICY, 1, lived, deaths_before) == decision


@pytest.mark.parametrize("status", [0, 1, 3, 127, 137, 139])
def test_every_status_but_2_is_started_again(status: int) -> None:
    assert isinstance(after_death(POLICY, status, 1.0, 0), Restart)


def test_status_2_is_not_started_again_however_long_it_lived() -> None:
    assert after_death(POLICY, 2, 3600.0, 0) == GiveUp()


def test_a_role_that_has_served_before_is_started_again_whatever_it_lacks_now() -> None:
    assert isinstance(after_death(POLICY, 2, 1.0, 0, has_served=True), Restart)


def test_every_kind_of_role_has_its_phase_once() -> None:
    assert sorted(phase.kind for phase in STOP_PHASES) == sorted(RoleKind)
    assert all(stop_deadline(kind) > 0 for kind in RoleKind)


def test_a_status_above_128_is_a_signal() -> None:
    assert describe_status(137) == "signal 9"
    assert describe_status(3) == "status 3"


@pytest.mark.parametrize(
    ("least", "most", "partitions", "wanted", "expected"),
    [
        (1, 1, 4, None, (1, 1)),
        (0, 3, 4, None, (0, 3)),
        (2, 16, 4, None, (2, 4)),
        (8, 16, 4, None, (4, 4)),
        (1, 3, 4, 6, (6, 6)),
    ],
)
def test_workers_scale_between_min_and_max_where_each_may_own_a_partition_unless_a_number_is_asked_for(
    least: int, most: int, partitions: int, wanted: int | None, expected: tuple[int, int]
) -> None:
    assert worker_range(api(least=least, most=most, partitions=partitions), wanted) == expected


def test_there_is_one_process_a_role_and_one_a_worker_slot() -> None:
    specs = role_specs(("stream-infer",), ("-f", "x.yaml"), [api(most=2), api("dogs")], None)
    assert {spec.name: spec.command for spec in specs} == {
        "gateway": ("stream-infer", "gateway", "-f", "x.yaml"),
        "intake": ("stream-infer", "intake", "-f", "x.yaml"),
        "lookout": ("stream-infer", "lookout", "-f", "x.yaml"),
        "sink": ("stream-infer", "sink", "-f", "x.yaml"),
        "tracker": ("stream-infer", "tracker", "-f", "x.yaml"),
        "worker cats/0": ("stream-infer", "worker", "--api", "cats", "--slot", "0", "-f", "x.yaml"),
        "worker cats/1": ("stream-infer", "worker", "--api", "cats", "--slot", "1", "--patient", "-f", "x.yaml"),
        "worker dogs/0": ("stream-infer", "worker", "--api", "dogs", "--slot", "0", "-f", "x.yaml"),
    }
    assert [spec.name for spec in specs if spec.on_demand] == ["worker cats/1"]


def test_a_fixed_number_of_workers_is_that_of_the_settings_or_of_the_command() -> None:
    names = {spec.name for spec in role_specs((), (), [api(most=2), api("dogs")], 2)}

    assert names == {spec.name for spec in role_specs((), (), [api(least=2, most=2), api("dogs")], None)} | {
        "worker dogs/1"
    }
