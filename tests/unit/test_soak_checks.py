"""The soak's judges notice what is off, and are content with what is well."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from random import Random

import pytest

from stream_infer.dead_letters import DeadLetter, Writer
from stream_infer.errors import Stage
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.manifest import JobManifest, ManifestRecord
from stream_infer.jobs.manifest import Kind as Held
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.records import Failure, Item, Message, Position
from tests.soak.apis import APIS, CORTEX
from tests.soak.attempts import (
    Suspects,
    check_attempts,
    check_delays,
    check_recomputed,
    check_suspects,
    recomputed,
    suspects,
)
from tests.soak.checks import check_all
from tests.soak.claims import Claims
from tests.soak.evidence import Call, Evidence, Retry
from tests.soak.faults import Harm
from tests.soak.health import MIB, check_memory, check_own_ends
from tests.soak.injection import Injected
from tests.soak.items import OF_KIND, SPECIES, End, Form, Kind, Planned, Source, draw, mark_of, sources
from tests.soak.roles import Life, Measured, resident
from tests.soak.truth import Truth, truth_of

STREAM = Source("stream", Form.STREAM, 3)
JOB = Source("big", Form.JSONL, 8)
JOB_ID = "job-1"
PAUSE_S = 0.1
FOLDER = f"soak/{JOB_ID}/"


def message(topic: str, offset: int, value: bytes, at: float = 0.0) -> Message:
    return Message(topic, 0, offset, b"key-1", value, (), int(at * 1000))


class World:
    """Everything as it has to be for `kinds`, in one job or in the stream: to be broken in one place by each test."""

    def __init__(self, *kinds: Kind, source: Source = JOB) -> None:
        self.planned = [Planned(source, ordinal, kind) for ordinal, kind in enumerate(kinds)]
        self.truth: Truth = truth_of({source.name: self.planned}, {source.name: JOB_ID} if source.is_job else {})
        self.found = Evidence(lags={"soak.worker": 0})
        self.job_id = JOB_ID if source.is_job else None
        for number, item_id in enumerate(self.truth.items):
            self._run(item_id, self.truth.items[item_id], 10.0 * number)
        self._store(source)
        if source.is_job:
            self._end_job(source)

    def item(self, item_id: str, topic: str, value: bytes, attempt: int = 1, offset: int = 0) -> Item:
        return Item(
            message(topic, offset, value), item_id, job_id=self.job_id, attempt=attempt, source=f"file#{item_id}"
        )

    def _run(self, item_id: str, item: Planned, at: float) -> None:
        found, species = self.found, OF_KIND[item.kind]
        found.published[item_id].append(self.item(item_id, "items", item.line()))
        tries = 3 if 2 in species.retried else 1 + len(species.retried)
        for attempt in range(1, tries + 1):
            found.calls.append(Call(at, "7-8", (item.name,), PAUSE_S))
            if attempt < tries:
                throttled = item.kind is Kind.THROTTLED
                due = at + PAUSE_S + (1.5 if throttled else 0.5 * attempt)
                found.retries[item_id].append(Retry(attempt, 1 if throttled else attempt + 1, due, at + PAUSE_S))
                at = due + 0.01
        expected = species.expected
        if expected.end is End.RESULT:
            found.results[item_id].append(self.item(item_id, "results", json.dumps(item.answer()).encode()))
        elif expected.end is End.DEAD:
            trace = species.trace.format(name=item.name)
            failure = Failure(Stage(expected.stage), expected.exception, expected.says, f"… {trace} …")
            ended = self.item(item_id, "dlq", item.line(), expected.attempt)
            letter = DeadLetter(ended, failure, Position("items", 0, 0), "w", "v", expected.stage, Writer.WORKER)
            found.dead[item_id].append(letter)
        mark = mark_of(item)
        if mark is not None and self.job_id:
            found.lines[self.job_id].add(mark)

    def _store(self, source: Source) -> None:
        found = self.found
        for kind, ended in ((Held.RESULTS, found.results), (Held.ERRORS, found.dead)):
            lines = [{"item_id": item_id, "key": "key-1", "source": f"file#{item_id}"} for item_id in ended]
            body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            if not body:
                continue
            if not source.is_job:
                found.objects[f"stream/{kind}.jsonl"] = body
                continue
            key = f"{FOLDER}{kind}/0.jsonl"
            found.objects[key] = body
            found.recorded[key] = ManifestRecord(
                job_id=JOB_ID,
                api="soak",
                generation=1,
                kind=kind,
                key=key,
                topic="results",
                partition=0,
                first_offset=0,
                last_offset=len(lines),
                count=len(lines),
                bytes=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
            )

    def _end_job(self, source: Source) -> None:
        found = self.found
        dead, results = len(found.dead), len(found.results)
        skipped = len(self.planned) - dead - results if source.is_cut_short else 0
        silent = len(self.planned) - dead - results - skipped
        cause = Cause.STOP if source.stopped else Cause.FAILURE if source.broken else None
        state = State(cause.value) if cause else State.COMPLETED_WITH_FAILURES if dead else State.SUCCEEDED
        counts = Counts(
            enqueued=len(self.planned),
            succeeded=results + silent,
            rejected=dead,
            skipped=skipped,
            written=dead + results,
            sunk=dead + results,
        )
        going = JobStatus(job_id=JOB_ID, api="soak", counts=Counts(enqueued=len(self.planned)), cause=cause)
        found.statuses[JOB_ID] = [going, going.model_copy(update={"state": state, "counts": counts})]
        objects = tuple(found.recorded.values())
        manifest = JobManifest(job_id=JOB_ID, api="soak", generation=1, cause=cause, counts=counts, objects=objects)
        found.manifests[JOB_ID] = manifest
        found.objects[f"{FOLDER}manifest.json"] = b"{}"
        if cause is None:
            found.objects[f"{FOLDER}_SUCCESS"] = b""

    def findings(self) -> list[str]:
        return [f"{finding.kind}: {finding.text}" for finding in check_all(self.truth, self.found)]

    def only(self) -> str:
        [text] = self.findings()
        return text


def every_kind_of(form: Form) -> list[Kind]:
    return [kind for kind, species in OF_KIND.items() if form in species.forms and kind is not Kind.BROKEN]


@pytest.mark.parametrize("source", [JOB, STREAM, Source("files", Form.DIRECTORY, 5)], ids=lambda source: source.name)
def test_nothing_is_off_where_every_kind_has_ended_in_its_own_way(source: Source) -> None:
    assert World(*every_kind_of(source.form), source=source).findings() == []


def test_an_item_without_an_end_is_lost() -> None:
    world = World(Kind.GOOD, Kind.GOOD, source=STREAM)
    del world.found.results["stream-0"]
    assert "lost: good item stream-0 of stream did not end" in world.findings()[0]


def test_an_item_with_two_ends_is_doubled() -> None:
    world = World(Kind.GOOD, source=STREAM)
    world.found.results["stream-0"] *= 2
    assert "doubled: good item stream-0 of stream ended 2 times" in world.findings()


def test_an_answer_of_another_item_is_misjudged() -> None:
    world = World(Kind.GOOD, Kind.GOOD, source=STREAM)
    world.found.results["stream-0"], world.found.results["stream-1"] = (
        [world.found.results["stream-1"][0]._replace(item_id="stream-0", source="file#stream-0")],
        [world.found.results["stream-0"][0]._replace(item_id="stream-1", source="file#stream-1")],
    )
    assert [text.partition(" has")[0] for text in world.findings()] == [
        "misjudged: good item stream-0 of stream",
        "misjudged: good item stream-1 of stream",
    ]


@pytest.mark.parametrize("kind", [Kind.RAISING, Kind.SEGFAULT, Kind.HANG, Kind.MEMORY])
def test_a_dead_letter_without_its_stack_or_end_of_stderr_is_misjudged(kind: Kind) -> None:
    world = World(kind, source=STREAM)
    [letter] = world.found.dead["stream-0"]
    world.found.dead["stream-0"] = [replace(letter, failure=replace(letter.failure, stacktrace=""))]
    assert "has a dead letter whose stack, or end of stderr, lacks" in world.only()


@pytest.mark.parametrize("kind", [Kind.GOOD, Kind.ITEM_ERROR])
@pytest.mark.parametrize("lost", ["key", "source", "generation"])
def test_an_end_that_lost_what_its_item_bore_is_misjudged(kind: Kind, lost: str) -> None:
    world = World(kind, source=STREAM)

    def without(item: Item) -> Item:
        if lost == "key":
            return item._replace(message=item.message._replace(key=None))
        return item._replace(source=None) if lost == "source" else item._replace(generation=2)

    found = world.found
    found.results = {name: [without(item) for item in items] for name, items in found.results.items()}
    found.dead = {name: [replace(one, item=without(one.item)) for one in mine] for name, mine in found.dead.items()}
    assert "came out as" in world.only()


def test_lines_of_objects_that_lost_their_key_are_misjudged() -> None:
    world = World(Kind.GOOD, source=STREAM)
    world.found.objects["stream/results.jsonl"] = b'{"item_id": "stream-0", "source": "file#stream-0"}\n'
    assert "the streams: 1 lines lack their item's key or source" in world.only()


@pytest.mark.parametrize("field", ["sha256", "bytes", "count"])
def test_a_manifest_that_is_wrong_about_an_object_is_noticed_in_the_store_and_in_its_topic(field: str) -> None:
    world = World(Kind.GOOD)
    manifest = world.found.manifests[JOB_ID]
    wrong = manifest.objects[0].model_copy(update={field: "0" * 64 if field == "sha256" else 7})
    world.found.recorded[wrong.key] = wrong
    assert "the manifest topic is wrong about 1 objects" in world.only()
    world.found.manifests[JOB_ID] = manifest.model_copy(update={"objects": (wrong,)})
    assert "job big: its manifest.json is wrong about 1 objects" in world.findings()[1]


def test_an_object_that_nothing_names_and_one_that_is_not_there_are_noticed() -> None:
    world = World(Kind.GOOD)
    world.found.objects[f"{FOLDER}results/1.jsonl"] = world.found.objects.pop(f"{FOLDER}results/0.jsonl")
    texts = " ".join(world.findings())
    assert "names 1 objects that are not there" in texts
    assert "1 objects that nothing names" in texts
    assert "lost: job big: 1 records are in no object" in texts


def stopped_while_waiting(at_hand: int) -> World:
    """A job of 80 that is stopped at once; its items are predicted all the same, after `at_hand` others."""
    world = World(*[Kind.GOOD] * 80, source=Source("stopped", Form.INLINE, 80, stopped=True))
    rows = world.found.statuses[JOB_ID]
    rows[-1] = rows[-1].model_copy(update={"times": {"stopping": 1000.0}})
    others = [Call(1002.0, "7-8", tuple(f"other-{number}" for number in range(at_hand)))]
    world.found.calls = others + [replace(call, at=1003.0 + call.at) for call in world.found.calls]
    return world


def test_a_stop_that_skips_nothing_of_what_waits_is_noticed() -> None:
    text = "other: job stopped: none of its items was skipped; 80 ran long after its stop"
    assert stopped_while_waiting(48).only() == text
    assert "; 32 ran long after" in stopped_while_waiting(0).only()


def test_a_stop_when_the_workers_have_all_that_waits_at_hand_skips_nothing() -> None:
    world = stopped_while_waiting(0)
    world.found.calls = [replace(call, at=1000.5) for call in world.found.calls]
    assert world.findings() == []


def test_a_job_of_bad_items_that_is_not_failed_is_noticed() -> None:
    broken = Source("broken", Form.INLINE, 20, broken=True)
    world = World(*[Kind.BROKEN] * 20, source=broken)
    assert world.only() == "other: job broken: none of its items was skipped though they all fail"
    rows = world.found.statuses[JOB_ID]
    rows[-1] = rows[-1].model_copy(update={"state": State.COMPLETED_WITH_FAILURES})
    assert "other: job broken is completed_with_failures, not failed" in world.findings()[0]


def test_lines_of_the_predictor_that_do_not_reach_the_jobs_log_are_noticed() -> None:
    world = World(*[Kind.GOOD] * 30)
    assert len(world.found.lines[JOB_ID]) == 5
    world.found.lines[JOB_ID] = {"this is big-0"}
    assert world.only() == "other: of 5 lines that the predictor printed 1 are in their jobs' logs"


def test_a_job_that_changes_after_its_end_is_noticed() -> None:
    world = World(Kind.GOOD)
    rows = world.found.statuses[JOB_ID]
    rows += [rows[0], rows[-1]]
    assert [text.partition(", to")[0] for text in world.findings()] == [
        "other: job big was final this often in its generations: {1: 2}",
        "other: job big changed after it was final",
    ]


def test_counts_that_differ_from_what_is_there_are_noticed() -> None:
    world = World(Kind.GOOD)
    rows = world.found.statuses[JOB_ID]
    rows[-1] = rows[-1].model_copy(update={"counts": rows[-1].counts + Counts(succeeded=1)})
    assert "other: job big: the status counts" in world.only()


def test_each_api_gets_every_kind_of_poison_and_no_two_sources_share_a_name() -> None:
    drawn = draw(7, sources(640))
    assert len(drawn) == 6 * len(APIS)
    for api in APIS:
        kinds = {item.kind for mine in drawn.values() for item in mine if item.source.api is api}
        assert kinds >= {species.kind for species in SPECIES}


def of_cortex() -> World:
    """A job whose predictor has a hook."""
    world = World(Kind.GOOD, source=Source("cortex-big", Form.JSONL, 1, api=CORTEX))
    objects = {key.replace("soak/", "soak-cortex/"): body for key, body in world.found.objects.items()}
    records = [
        record.model_copy(update={"key": record.key.replace("soak/", "soak-cortex/")})
        for record in world.found.recorded.values()
    ]
    manifest = world.found.manifests[JOB_ID].model_copy(update={"objects": tuple(records)})
    world.found.objects, world.found.recorded = objects, {record.key: record for record in records}
    world.found.manifests[JOB_ID] = manifest
    return world


def test_a_hook_that_was_not_asked_for_or_did_not_run_or_was_asked_for_twice_is_noticed() -> None:
    world = of_cortex()
    assert world.only() == "other: the hook of job cortex-big was asked for 0 times, not 1"
    world.found.hooks[JOB_ID, 1] = 1
    assert world.only() == "other: the hook of job cortex-big ran 0 times, not 1"
    world.found.completed[JOB_ID] = 2  # its worker was killed before it could say so
    assert world.findings() == []
    world.found.hooks[JOB_ID, 1] = 2
    assert "other: the hook of job cortex-big was asked for 2 times, not 1" in world.findings()


# When items are tried again.


def test_a_tier_without_a_delay_is_noticed() -> None:
    world = World(*[Kind.TRANSIENT] * 4)
    for item_id, retries in world.found.retries.items():
        world.found.retries[item_id] = [replace(retry, not_before=retry.written) for retry in retries]
    [finding] = check_delays(world.truth, world.found)
    assert "of 8 retries 8 were due too soon" in finding.text


def test_a_retry_that_does_not_wait_until_it_is_due_is_noticed() -> None:
    world = World(*[Kind.TRANSIENT] * 4)
    for retries in world.found.retries.values():
        retries[:] = [replace(retry, not_before=retry.not_before + 0.4) for retry in retries]
    [finding] = check_delays(world.truth, world.found)
    assert "began before they were due" in finding.text


def test_one_call_of_a_worker_that_was_cut_off_is_no_finding() -> None:
    world = World(*[Kind.TRANSIENT] * 4)
    first = world.found.retries[f"{JOB_ID}-0"][0]
    world.found.calls.append(Call(first.written + 0.1, "9-9", ("big-0",), PAUSE_S))
    world.found.calls.sort(key=lambda call: call.at)
    assert list(check_delays(world.truth, world.found)) == []


def test_an_item_that_goes_through_its_tier_again_is_judged_by_its_first_passage() -> None:
    world = World(*[Kind.THROTTLED] * 4)
    for retries in world.found.retries.values():
        retries.append(replace(retries[0], written=retries[0].not_before - 0.3))
    assert list(check_delays(world.truth, world.found)) == []


def test_a_retry_after_that_is_ignored_is_noticed() -> None:
    world = World(*[Kind.THROTTLED] * 4)
    for retries in world.found.retries.values():
        retries[:] = [replace(retry, not_before=retry.written + 0.5) for retry in retries]
    [finding] = check_delays(world.truth, world.found)
    assert "of 4 retries 4 were due too soon" in finding.text


def test_a_retry_after_that_costs_an_attempt_is_noticed() -> None:
    world = World(Kind.THROTTLED)
    world.found.retries[f"{JOB_ID}-0"] = [replace(world.found.retries[f"{JOB_ID}-0"][0], attempt=2)]
    assert "was retried for [2], not [1]" in world.only()


def test_a_harmless_item_in_a_tier_and_a_dead_letter_that_skipped_one_are_noticed() -> None:
    world = World(Kind.GOOD, Kind.HOPELESS)
    world.found.retries[f"{JOB_ID}-0"].append(Retry(1, 2, 5.0, 1.0))
    world.found.retries[f"{JOB_ID}-1"].pop()
    texts = [finding.text for finding in check_attempts(world.truth, world.found)]
    assert [text.partition("was ")[2] for text in texts] == ["retried for [2], not []", "retried for [2], not [2, 3]"]


def test_items_that_are_tried_again_without_a_tier_are_noticed() -> None:
    world = World(*[Kind.TRANSIENT] * 4)
    world.found.retries.clear()
    assert world.only() == "other: of 4 items that have to be retried 0 have been in a retry tier"


# What a killed or a leaving worker costs.


def killed_worker(*batches: tuple[str, ...]) -> Suspects:
    """Killed while a and b were in its predictor; the next one on its slot makes the calls `batches`."""
    lives = [
        Life("worker-0", 10, 0.0, ended=5.2, killed=5.1),
        Life("worker-0", 11, 6.0),
        Life("worker-1", 12, 0.0),
    ]
    calls = [Call(4.0, "10-1", ("z",), 0.5), Call(5.0, "10-1", ("a", "b"), 0.5)]
    calls += [Call(7.0 + number, "11-2", names, 0.5) for number, names in enumerate(batches)]
    return suspects(calls, lives)


def test_what_was_in_a_killed_worker_has_to_run_alone_in_its_successor() -> None:
    assert killed_worker(("a",), ("b",)) == Suspects(2, 2)
    assert killed_worker(("a", "b", "c")) == Suspects(0, 2)
    assert list(check_suspects(Suspects(2, 2))) == []
    assert list(check_suspects(Suspects())) == []
    [finding] = check_suspects(Suspects(0, 8))
    assert "of 8 items that a killed worker had in its predictor 0 ran alone" in finding.text


def test_what_another_worker_has_taken_over_is_not_judged() -> None:
    lives = [Life("worker-0", 10, 0.0, ended=5.2, killed=5.1), Life("worker-0", 11, 6.0)]
    calls = [Call(5.0, "10-1", ("a",), 0.5), Call(6.0, "12-1", ("a", "b"), 0.5), Call(9.0, "11-1", ("a", "b"), 0.5)]
    assert suspects(calls, lives) == Suspects()


def fault(name: str, began: float, recovered: float | None = 1.0) -> Injected:
    return Injected(name, began, Harm("someone", began), recovered)


def repeated(times: int) -> World:
    """Items that a worker has predicted at 100 s, and another one again at 101 s."""
    world = World(*[Kind.GOOD] * 20)
    for item in world.planned[:times]:
        world.found.calls += [Call(100.0, "7-8", (item.name,), PAUSE_S), Call(101.0, "9-9", (item.name,), PAUSE_S)]
    world.found.calls = [call for call in world.found.calls if call.at >= 100]
    return world


def test_predictions_again_are_needless_where_no_fault_but_a_join_was_felt() -> None:
    world, injected = repeated(10), [fault("worker joins", 99.0)]
    again = recomputed(world.truth, world.found, injected)
    assert (again.ratio, again.unexplained, again.needless) == (0.5, 0.5, 0.5)
    [finding] = check_recomputed(again, injected)
    assert "predicted again 10 times, with neither poison nor fault to it" in finding.text


def test_predictions_again_are_explained_by_a_kill_that_is_still_felt() -> None:
    world, injected = repeated(10), [fault("kill -9 worker", 99.0)]
    again = recomputed(world.truth, world.found, injected)
    assert (again.unexplained, again.needless) == (0.5, 0.0)
    assert list(check_recomputed(again, injected)) == []


def test_predictions_again_are_explained_by_a_worker_that_gave_up() -> None:
    world = repeated(10)
    gave_up = [Life("worker-0", 7, 0.0, ended=100.5, status=3)]
    assert recomputed(world.truth, world.found, [], gave_up).needless == 0.0
    asked = [Life("worker-0", 7, 0.0, ended=100.5, status=0, asked=True)]
    assert recomputed(world.truth, world.found, [], asked).needless == 0.5


def test_predictions_again_beyond_what_the_faults_can_cost_are_noticed() -> None:
    again = recomputed(World(Kind.GOOD).truth, Evidence(), [])
    [finding] = check_recomputed(replace(again, items=1000, unexplained=0.7), [fault("kill -9 worker", 0.0)])
    assert "1 faults made workers predict harmless items again 700 times" in finding.text


def test_a_call_that_its_neighbour_spoiled_explains_the_next_one() -> None:
    world = World(Kind.GOOD, Kind.RAISING)
    world.found.calls = [Call(1.0, "7-8", ("big-0", "big-1")), Call(2.0, "7-8", ("big-0",))]
    again = recomputed(world.truth, world.found, [])
    assert (again.ratio, again.unexplained) == (1.0, 0.0)


# How processes fared.


def ends(name: str, *times: float) -> list[Life]:
    return [Life(name, int(at), at - 1, ended=at, status=3) for at in times]


def test_a_role_that_gives_up_while_a_fault_is_felt_is_well() -> None:
    assert list(check_own_ends(ends("tracker-0", 103.0), [fault("broker restart", 100.0)])) == []


def test_a_role_that_ends_by_itself_without_a_fault_is_noticed() -> None:
    [finding] = check_own_ends(ends("worker-0", 50.0), [fault("broker restart", 100.0)])
    assert finding.text == "worker-0 ended by itself 1 times while no fault was felt"


def test_a_worker_that_dies_again_and_again_during_faults_is_noticed() -> None:
    times = [100.0 + 0.05 * number for number in range(200)]
    [finding] = check_own_ends(ends("worker-0", *times), [fault("broker restart", 100.0)])
    assert finding.text == "worker-0 ended by itself 200 times, for 1 faults in all"


def test_a_role_that_was_killed_or_asked_to_end_has_not_ended_by_itself() -> None:
    lives = [Life("worker-0", 1, 0.0, ended=5.0, killed=4.9), Life("worker-0", 2, 6.0, ended=9.0, asked=True)]
    assert list(check_own_ends(lives, [])) == []


def measured(seconds: float, last: int) -> list[Measured]:
    """A process that grows from 100 MiB to `last` between 10 s and its end."""
    times = [2.0 * number for number in range(int(seconds / 2) + 1)]
    return [Measured(at, "worker-0", 1, int(100 * MIB + (last - 100 * MIB) * max(0, at - 10) / 20)) for at in times]


def test_a_process_that_grows_within_half_a_minute_is_noticed() -> None:
    [finding] = check_memory(measured(30, 450 * MIB))
    assert "worker-0 (1) grew from" in finding.text
    assert list(check_memory(measured(30, 150 * MIB))) == []


def test_a_process_that_takes_too_much_is_noticed_however_short_it_lives() -> None:
    [finding] = check_memory([Measured(0.0, "sink-0", 1, 700 * MIB)])
    assert finding.text == "sink-0 (1) takes 700 MiB"


# Whom faults hurt.


def test_two_faults_never_have_the_same_victim() -> None:
    claims, chance = Claims(), Random(1)
    with claims.one_of(lambda: ["worker-0", "worker-1"], chance, 1.0) as one:
        with claims.one_of(lambda: ["worker-0", "worker-1"], chance, 1.0) as other:
            assert {one, other} == {"worker-0", "worker-1"}
            with (
                pytest.raises(TimeoutError, match="there is none within 0 s"),
                claims.one_of(lambda: ["worker-0", "worker-1"], chance, 0.0),
            ):
                pass
        with claims.one_of(lambda: [other], chance, 0.0) as again:
            assert again == other


def test_a_fault_waits_until_the_one_before_has_let_go_of_the_brokers() -> None:
    claims, begun = Claims(), threading.Event()

    def second() -> None:
        with claims.hold("brokers"):
            begun.set()

    with claims.hold("brokers"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not begun.wait(0.05)
    thread.join(5)
    assert begun.is_set()


def test_a_process_that_has_ended_is_not_measured_though_its_parent_has_not_heard_of_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert resident(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert resident(process.pid) is None
