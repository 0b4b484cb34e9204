"""What is asked of the finalizer, how far its place may go, and what it leaves in the store."""

import json
from typing import Any

import pytest

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.manifest import JobManifest, Kind, ManifestRecord
from stream_infer.jobs.replays import Replays
from stream_infer.jobs.status import Cause, JobStatus, Phase, State, encode_status
from stream_infer.records import Message
from stream_infer.sink.assembly import Abandoned, assemble, finalized, is_whole, job_manifest
from stream_infer.sink.backlog import Backlog, Step, step_of
from stream_infer.sink.finalizer import _see
from stream_infer.sink.leftovers import remove_leftovers
from stream_infer.sink.names import Destination, ObjectName, object_key, pending_key
from tests.support.memory_store import MemoryStore

FINALIZING = JobStatus(job_id="j", api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE, counts=Counts(sunk=3))
NO_REPLAYS = Replays()


def go_on(_seconds: float = 0.0) -> None:
    """Nobody has taken the step over."""


def status(job_id: str = "j", **fields: Any) -> JobStatus:
    return FINALIZING.model_copy(update={"job_id": job_id, **fields})


def record(offset: int = 0, kind: Kind = Kind.RESULTS, count: int = 3, generation: int = 1, **fields: Any) -> Any:
    name = ObjectName(kind, 0, offset, generation, "a" * 12)
    values = {
        "job_id": "j",
        "api": "echo",
        "generation": generation,
        "kind": kind,
        "key": object_key("echo", Destination("j", generation), name),
        "topic": "t",
        "partition": 0,
        "first_offset": offset,
        "last_offset": offset,
        "count": count,
        "bytes": 10,
        "sha256": "",
    }
    return ManifestRecord.model_validate(values | fields)


@pytest.mark.parametrize(
    ("state", "phase", "step"),
    [
        (State.FINALIZING, Phase.HOOK, Step.HOOK),
        (State.FINALIZING, Phase.HOOK_RUNNING, None),
        (State.FINALIZING, Phase.ASSEMBLE, Step.ASSEMBLE),
        (State.RUNNING, None, None),
        (State.SUCCEEDED, None, None),
    ],
)
def test_only_two_phases_ask_for_something(state: State, phase: Phase | None, step: Step | None) -> None:
    assert step_of(status(state=state, phase=phase)) is step


def test_a_step_begins_when_the_end_of_the_partition_was_seen() -> None:
    backlog = Backlog(linger_s=0.5)
    backlog.see("j", 4, status(), now=0)
    assert backlog.tasks(now=0.1) == []

    backlog.end(6, now=0.1)

    assert [(task.offset, task.step) for task in backlog.tasks(now=0.1)] == [(4, Step.ASSEMBLE)]


def test_a_step_begins_after_a_second_where_the_writing_never_pauses() -> None:
    backlog = Backlog(linger_s=0.5)
    backlog.see("j", 4, status(), now=0)

    assert len(backlog.tasks(now=1)) == 1


def test_a_status_that_was_overtaken_asks_for_nothing() -> None:
    backlog = Backlog(linger_s=0.5)
    backlog.see("j", 4, status(), now=0)
    backlog.see("j", 5, status(state=State.SUCCEEDED, phase=None), now=0)
    backlog.end(7, now=0)

    assert backlog.tasks(now=9) == []
    assert backlog.idle_position(now=9) == 7


@pytest.mark.parametrize("value", [b"{broken", b"", encode_status(status("another"))])
def test_what_nobody_can_read_under_a_jobs_own_key_takes_no_step_from_it(value: bytes) -> None:
    backlog = Backlog(linger_s=0.5)
    for offset, said in ((4, encode_status(status())), (5, value)):
        _see(backlog, Message("status", 0, offset, b"j", said, (), 0), now=0)
    backlog.end(6, now=0)

    assert [(task.offset, task.step) for task in backlog.tasks(now=0)] == [(4, Step.ASSEMBLE)]
    assert backlog.idle_position(now=9) == 4
    backlog.finished(backlog.tasks(now=0)[0], now=9)
    assert backlog.position_without() == 6


def test_a_job_that_is_forgotten_asks_for_nothing() -> None:
    backlog = Backlog(linger_s=0.5)
    for offset, said in ((4, encode_status(status())), (5, None)):
        _see(backlog, Message("status", 0, offset, b"j", said, (), 0), now=0)
    backlog.end(6, now=0)

    assert backlog.tasks(now=0) == []
    assert backlog.idle_position(now=9) == 6


def test_the_place_never_passes_a_step_that_is_not_done() -> None:
    backlog = Backlog(linger_s=0.5)
    backlog.see("other", 3, status("other", state=State.RUNNING, phase=None), now=0)
    backlog.see("j", 4, status(), now=0)
    backlog.see("k", 5, status("k"), now=0)
    backlog.end(7, now=0)
    first, second = backlog.tasks(now=0)

    assert backlog.idle_position(now=9) == 4
    assert backlog.position_without(first) == 5
    backlog.finished(first, now=9)
    assert backlog.position_without(second) == 7
    backlog.finished(second, now=9)
    assert backlog.idle_position(now=99) is None


def test_a_step_that_is_done_is_not_begun_again_by_another_record_that_asks_for_it() -> None:
    backlog = Backlog(linger_s=0.5)
    backlog.see("j", 4, status(phase=Phase.HOOK), now=0)
    backlog.end(5, now=0)
    [task] = backlog.tasks(now=0)
    backlog.finished(task, now=0)
    backlog.see("j", 5, status(phase=Phase.HOOK), now=1)
    backlog.end(6, now=1)

    assert backlog.tasks(now=1) == []
    assert backlog.idle_position(now=2) == 6


def test_a_manifest_is_whole_when_it_accounts_for_everything_sunk() -> None:
    assert is_whole(FINALIZING, [record(0, count=2), record(9, Kind.ERRORS, count=1)])
    assert not is_whole(FINALIZING, [record(0, count=2)])


def test_objects_are_listed_results_first_in_the_order_of_the_source() -> None:
    records = [
        record(1, Kind.ERRORS, first_ordinal=0),
        record(2),
        record(3, first_ordinal=7),
        record(4, first_ordinal=1),
    ]

    assert [found.first_offset for found in job_manifest(FINALIZING, records).objects] == [4, 3, 2, 1]


def test_a_finished_job_leaves_its_objects_manifest_and_success_and_nothing_else_of_the_sinks() -> None:
    store, kept, orphan, later = MemoryStore(), record(0), record(5), record(6, generation=2)
    for found in (kept, orphan, later):
        store.put(found.key, b"{}\n")
    store.put("echo/j/results/mine.jsonl", b"")

    assemble(store, FINALIZING, [kept], NO_REPLAYS, go_on)
    assemble(store, FINALIZING, [kept], NO_REPLAYS, go_on)

    folder = {"echo/j/manifest.json", "echo/j/_SUCCESS", "echo/j/results/mine.jsonl"}
    assert set(store.objects) == {kept.key, later.key} | folder
    manifest = JobManifest.model_validate(json.loads(store.get("echo/j/manifest.json")))
    assert (manifest.objects, manifest.counts, manifest.cause) == ((kept,), Counts(sunk=3), None)
    event = finalized(store, FINALIZING, [kept], at=1.0)
    assert (event.manifest, event.objects, event.bytes) == ("memory:///echo/j/manifest.json", 1, 10)


@pytest.mark.parametrize("cause", list(Cause))
def test_a_job_that_ended_early_has_a_manifest_and_no_success(cause: Cause) -> None:
    store = MemoryStore()

    assemble(store, status(cause=cause), [], NO_REPLAYS, go_on)

    assert set(store.objects) == {"echo/j/manifest.json"}


def test_a_later_generation_takes_the_old_success_away_first() -> None:
    store = MemoryStore()
    store.put("echo/j/_SUCCESS", b"")

    assemble(store, status(generation=2, cause=Cause.STOP), [], NO_REPLAYS, go_on)

    assert set(store.objects) == {"echo/j/manifest.json"}


@pytest.mark.parametrize("state", [State.ENQUEUING, State.RUNNING, State.STOPPING])
def test_a_job_that_was_reopened_is_unsealed_once(state: State) -> None:
    assert step_of(status(state=state, phase=None, generation=2)) is Step.UNSEAL
    assert step_of(status(state=state, phase=None)) is None
    backlog = Backlog(linger_s=0.5)
    backlog.see("j", 4, status(state=state, phase=None, generation=2), now=0)
    backlog.end(5, now=0)
    [task] = backlog.tasks(now=0)
    backlog.finished(task, now=0)
    backlog.see("j", 5, status(state=state, phase=None, generation=2), now=1)
    backlog.end(6, now=1)
    assert backlog.tasks(now=1) == []


def error_lines(*offsets: int) -> bytes:
    places = ({"dead_letter": {"topic": "t", "partition": 0, "offset": offset}} for offset in offsets)
    return b"".join(json.dumps(place).encode() + b"\n" for place in places)


def test_errors_that_were_replayed_are_left_out_of_the_manifest_and_nothing_committed_is_changed() -> None:
    store = MemoryStore()
    all_again, some_again, untouched = (
        record(0, Kind.ERRORS, count=2, last_offset=1),
        record(5, Kind.ERRORS, count=3, last_offset=7),
        record(9, Kind.ERRORS, count=1),
    )
    bodies = {all_again.key: error_lines(0, 1), some_again.key: error_lines(5, 6, 7), untouched.key: error_lines(9)}
    store.objects = dict(bodies)
    earlier = "echo/j/errors/" + str(ObjectName(Kind.ERRORS, 0, 5, 1, "f" * 12))
    store.put(earlier, b"a copy of an earlier generation")
    replays = Replays({"t": {(0, 0), (0, 1), (0, 6), (1, 9)}})

    second = status(generation=2, counts=Counts(rejected=3, reopened=3, sunk=6))
    left = assemble(store, second, [all_again, some_again, untouched], replays, go_on)
    once = dict(store.objects)
    again = assemble(store, second, [all_again, some_again, untouched], replays, go_on)

    [copy, other] = left
    assert other == untouched
    assert store.get(copy.key) == error_lines(5, 7)
    assert (copy.count, copy.bytes, copy.generation) == (2, len(error_lines(5, 7)), 1)
    assert earlier not in store.objects
    assert bodies.items() <= store.objects.items()
    manifest = JobManifest.model_validate(json.loads(store.get("echo/j/manifest.json")))
    assert set(manifest.objects) == {copy, untouched}
    assert (again, store.objects) == (left, once)
    assert "echo/j/_SUCCESS" in store.objects
    assert finalized(store, second, left, at=1.0).objects == 2


def test_a_reopened_job_that_had_been_stopped_gets_no_success() -> None:
    store = MemoryStore()

    assemble(store, status(generation=2, earlier=Cause.STOP), [], NO_REPLAYS, go_on)

    manifest = JobManifest.model_validate(json.loads(store.get("echo/j/manifest.json")))
    assert (set(store.objects), manifest.cause) == ({"echo/j/manifest.json"}, Cause.STOP)


def test_an_abandoned_assembly_writes_nothing_more() -> None:
    store = MemoryStore()

    def check(_seconds: float = 0.0) -> None:
        raise Abandoned("elsewhere")

    with pytest.raises(Abandoned):
        assemble(store, FINALIZING, [], NO_REPLAYS, check)
    assert store.objects == {}


def test_only_uncommitted_objects_of_no_job_are_leftovers() -> None:
    store, hour = MemoryStore(), Destination(None, hour="dt=2025-01-31/hour=23")
    old, new = (object_key("echo", hour, ObjectName(Kind.RESULTS, 0, at, 1, "a" * 12)) for at in (5, 10))
    note, other = pending_key("t", 0, 5, "a" * 12), pending_key("t", 1, 5, "b" * 12)
    store.objects = {old: b"", new: b"", note: json.dumps([old, new, "elsewhere/x"]).encode(), other: b"[]"}

    remove_leftovers(store, ("t", 0), committed=10, is_ours=lambda: True)

    assert set(store.objects) == {old, other}


def test_leftovers_that_were_listed_too_late_are_somebody_elses() -> None:
    store, hour = MemoryStore(), Destination(None, hour="dt=2025-01-31/hour=23")
    key, note = (
        object_key("echo", hour, ObjectName(Kind.RESULTS, 0, 10, 1, "a" * 12)),
        pending_key("t", 0, 10, "a" * 12),
    )
    store.objects = {key: b"", note: json.dumps([key]).encode()}

    remove_leftovers(store, ("t", 0), committed=10, is_ours=lambda: False)

    assert set(store.objects) == {key, note}
