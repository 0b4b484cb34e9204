"""A worker on a real broker: what goes in comes out, once, under its key."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from confluent_kafka import Producer

from connectors.fetchers.by_scheme import open_fetcher
from connectors.policy import FetchPolicy
from connectors.stores import open_store
from stream_infer.dead_letters import read_dead_letter
from stream_infer.errors import PredictorUnavailable, Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, HookEnded, decode_event
from stream_infer.jobs.status import Cause, JobStatus, Phase, State, encode_status
from stream_infer.kafka.admin import apply, group_lag
from stream_infer.kafka.producer import TransactionalProducer
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import REFERENCE, Control, Headers, Message, OutgoingRecord
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from stream_infer.worker.run import run
from tests.support.roles import give_up, running
from tests.support.settings import predictor, settings_for

WAIT_S = 30.0


@contextmanager
def worker(settings: Settings, on_unavailable: Callable[[Exception], None] = give_up) -> Iterator[None]:
    [api] = settings.apis
    fetcher = open_fetcher(FetchPolicy(allowed_directories=tuple(settings.fetch.allowed_directories)))
    store = open_store(settings.store)
    told = lambda ready: lambda error: (on_unavailable(error), ready())[1]  # noqa: E731
    with running(
        lambda stop, ready: run(settings, api, fetcher, store, stop=stop, on_ready=ready, on_unavailable=told(ready))
    ):
        yield


class Harness:
    """Produces items and reads what becomes of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = Topics(settings.kafka.topic_prefix)
        self.names = self.topics.api(settings.apis[0].name)
        apply(settings)

    def produce(self, *values: Any, headers: Headers = ()) -> None:
        self.send(
            *(OutgoingRecord(self.names.items, str(n).encode(), orjson.dumps(v), headers) for n, v in enumerate(values))
        )

    def send(self, *records: OutgoingRecord) -> None:
        publisher = Publisher(self.settings.kafka, "test")
        publisher.publish(records)
        publisher.close()

    def status(self, **fields: Any) -> None:
        status = JobStatus(job_id="j", api="echo", state=State.RUNNING).model_copy(update=fields)
        self.send(OutgoingRecord(self.topics.status, b"j", encode_status(status)))

    def read_until(self, enough: Callable[[list[Message]], bool], *topics: str) -> list[Message]:
        readers = [TopicReader(self.settings.kafka, topic) for topic in topics]
        found: list[Message] = []
        deadline = time.monotonic() + WAIT_S
        try:
            while not enough(found):
                assert time.monotonic() < deadline, f"only {len(found)} records came: {found[:5]}"
                for reader in readers:
                    found += reader.poll(0.05)
        finally:
            for reader in readers:
                reader.close()
        return found

    def ends(self, number: int) -> tuple[list[Message], list[Message]]:
        """Results and dead letters, once there are `number` of them."""
        found = self.read_until(lambda got: len(got) >= number, self.names.results, self.names.dlq)
        assert len(found) == number
        return (
            [message for message in found if message.topic == self.names.results],
            [message for message in found if message.topic == self.names.dlq],
        )

    def events(self, enough: Callable[[list[Any]], bool]) -> list[Any]:
        decoded = lambda got: [decode_event(message.value or b"") for message in got]  # noqa: E731
        return decoded(self.read_until(lambda got: enough(decoded(got)), self.topics.progress))

    def wait_for_lag_zero(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            lag = group_lag(self.settings, self.names.worker_group, [self.names.items])
            if set(lag.values()) == {0}:
                return
            assert time.monotonic() < deadline, lag


@pytest.fixture
def harness_for(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Callable[..., Harness]:
    def make(target: str = "behaving.py:Echo", **api: Any) -> Harness:
        if "config" in api:
            api["predictor"] = predictor(target, **api.pop("config"))
        return Harness(settings_for(bootstrap_servers, topic_prefix, tmp_path, target, api=api))

    return make


def test_a_plain_record_without_headers_comes_out_under_its_key(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for()

    with worker(harness.settings):
        harness.produce({"a": 1}, {"a": 2})
        results, dead = harness.ends(2)

    assert {(m.key, m.value) for m in results} == {(b"0", b'{"a":1}'), (b"1", b'{"a":2}')}
    assert dead == []


def test_where_the_seconds_to_the_first_result_went_is_told_once(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for()

    with structlog.testing.capture_logs() as logs, worker(harness.settings):
        harness.produce(1)
        harness.ends(1)
        harness.produce(2)
        harness.ends(2)

    [line] = [log for log in logs if log["event"] == "first_result_committed"]
    steps = [line[step] for step in ("configured", "opened", "predictor", "joined", "first_item", "committed")]
    assert min(steps) >= 0
    assert sum(steps) == pytest.approx(line["seconds"], abs=0.01)
    assert 0 < line["predictor_process"] < line["seconds"]


def test_lag_is_exactly_zero_once_all_is_done_whatever_markers_lie_in_the_topic(
    harness_for: Callable[..., Harness],
) -> None:
    harness = harness_for()
    producer = TransactionalProducer(harness.settings.kafka, f"{harness.topics.prefix}.test")
    producer.initialise()

    with worker(harness.settings):
        for n in range(5):
            producer.transact([OutgoingRecord(harness.names.items, str(n).encode(), b"1")], {})
        harness.ends(5)
        harness.wait_for_lag_zero()
    producer.close()


def test_a_bad_item_fails_alone_and_its_neighbours_succeed(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("failing.py:Failing", batching={"max_batch_size": 16, "max_wait_ms": 50})
    harness.produce(*["good"] * 7, "raise", *["good"] * 8)

    with worker(harness.settings):
        results, dead = harness.ends(16)

    assert len(results) == 15
    [letter] = map(read_dead_letter, dead)
    assert letter.failure.stage is Stage.PREDICT
    assert letter.origin.topic == harness.names.items
    assert letter.item.message.value == b'"raise"'


def test_thirty_one_outputs_for_thirty_two_items_are_named_as_what_they_are(
    harness_for: Callable[..., Harness],
) -> None:
    harness = harness_for(
        "failing.py:OneShort", config={"least": 0}, batching={"max_batch_size": 32, "max_wait_ms": 50}
    )
    harness.produce(1)

    with worker(harness.settings):
        _, [dead] = harness.ends(1)

    assert "0 outputs for 1 item" in read_dead_letter(dead).failure.message


@pytest.mark.parametrize(
    ("value", "headers", "stage", "word"),
    [
        (b"{not json", (), Stage.DECODE, "JSON"),
        (b"1", (("si-attempt", b"x"),), Stage.DECODE, "si-attempt"),
        (b"{}", item_headers(content_type=REFERENCE), Stage.DECODE, "uri"),
        (b'{"uri":"file:///etc/hostname"}', item_headers(content_type=REFERENCE), Stage.FETCH, "allowed_directories"),
        (b'{"uri":"gopher://x"}', item_headers(content_type=REFERENCE), Stage.FETCH, "gopher"),
    ],
)
def test_input_that_cannot_be_served_is_a_dead_letter_that_says_why(
    harness_for: Callable[..., Harness], value: bytes, headers: Headers, stage: Stage, word: str
) -> None:
    harness = harness_for()
    harness.send(OutgoingRecord(harness.names.items, b"k", value, headers))

    with worker(harness.settings):
        _, [dead] = harness.ends(1)
        harness.wait_for_lag_zero()

    failure = read_dead_letter(dead).failure
    assert failure.stage is stage
    assert word in failure.message
    assert (dead.key, dead.value) == (b"k", value)


def test_a_referenced_file_is_fetched_and_a_file_that_is_gone_is_a_dead_letter(
    harness_for: Callable[..., Harness], tmp_path: Path
) -> None:
    harness = harness_for()
    (tmp_path / "there.json").write_bytes(b'{"from": "file"}')
    headers = item_headers(content_type=REFERENCE)
    for name in ("there.json", "gone.json"):
        reference = orjson.dumps({"uri": f"file://{tmp_path / name}", "content_type": "application/json"})
        harness.send(OutgoingRecord(harness.names.items, name.encode(), reference, headers))

    with worker(harness.settings):
        [result], [dead] = harness.ends(2)

    assert (result.key, result.value) == (b"there.json", b'{"from":"file"}')
    assert dead.key == b"gone.json"
    assert "gone.json" in read_dead_letter(dead).failure.message


def test_a_segfault_costs_one_item(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("failing.py:Failing", batching={"max_batch_size": 8, "max_wait_ms": 50})
    harness.produce(*["good"] * 3, "segfault", *["good"] * 4)

    with worker(harness.settings):
        results, [dead] = harness.ends(8)

    assert len(results) == 7
    assert "SIGSEGV" in read_dead_letter(dead).failure.message


def test_a_jobs_counts_are_told_with_its_results(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("failing.py:Failing")
    harness.status()
    harness.produce("good", "raise", "good", headers=item_headers(job_id="j"))

    with worker(harness.settings):
        harness.ends(3)
        events = harness.events(lambda got: sum(event.delta.ended for event in got) == 3)

    total = sum((event.delta for event in events if isinstance(event, Counted)), Counts())
    assert total == Counts(succeeded=2, rejected=1, written=3)


def test_the_items_of_a_stopped_job_are_skipped_and_counted(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for()
    harness.status(cause=Cause.STOP, state=State.STOPPING)
    harness.produce(1, 2, headers=item_headers(job_id="j"))

    with worker(harness.settings):
        events = harness.events(lambda got: sum(event.delta.skipped for event in got) == 2)
        harness.wait_for_lag_zero()

    assert all(event.delta.written == 0 for event in events)


def test_an_item_that_names_an_unknown_job_is_served_as_jobless(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for()
    harness.produce(1, headers=item_headers(job_id="nobody"))

    with worker(harness.settings):
        [result], _ = harness.ends(1)

    assert "si-job-id" not in dict(result.headers)


def test_a_control_record_runs_the_hook_and_says_so(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("behaving.py:Hooked")
    harness.status(state=State.FINALIZING, phase=Phase.HOOK_RUNNING)
    harness.produce({}, headers=item_headers(job_id="j", control=Control.ON_JOB_COMPLETE))

    with worker(harness.settings):
        [event] = harness.events(lambda got: len(got) == 1)
        harness.wait_for_lag_zero()

    assert isinstance(event, HookEnded)
    assert event.error is None


def test_two_workers_share_the_partitions_and_none_is_done_twice(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("behaving.py:Sizes", batching={"max_batch_size": 4}, config={"pause": 0.005})
    harness.produce(*range(200))

    with worker(harness.settings):
        harness.read_until(lambda got: len(got) > 10, harness.names.results)
        with worker(harness.settings):
            harness.read_until(lambda got: len(got) > 100, harness.names.results)
        results, _ = harness.ends(200)
        harness.wait_for_lag_zero()

    assert sorted(int(m.key or b"") for m in results) == list(range(200))


@pytest.mark.parametrize("target", ["unloadable.py:Raising", "unimportable.py:Any", "behaving.py:Ecko", "gone.py:X"])
def test_a_predictor_that_cannot_be_had_stops_its_worker_with_the_reason(
    harness_for: Callable[..., Harness], target: str
) -> None:
    harness = harness_for(target)

    with pytest.raises(PredictorUnavailable) as caught, worker(harness.settings):
        pass

    assert target.split(":", maxsplit=1)[0] in str(caught.value)


def test_items_that_do_not_fit_in_memory_at_once_are_all_served(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for(workers={"max_in_flight": 20, "max_in_flight_bytes": 2000})
    harness.produce(*("x" * 300 for _ in itertools.repeat(None, 100)))

    with worker(harness.settings):
        results, _ = harness.ends(100)
        harness.wait_for_lag_zero()

    assert len(results) == 100


def test_a_worker_that_was_fenced_forgets_what_it_holds_and_reads_it_again(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("behaving.py:Sizes", batching={"max_batch_size": 4}, config={"pause": 0.02})
    harness.produce(*range(120))

    with worker(harness.settings):
        harness.read_until(lambda got: len(got) > 10, harness.names.results)
        slot = f"{harness.names.prefix}.echo.worker.{socket.gethostname()}.0"
        usurper = TransactionalProducer(harness.settings.kafka, slot)
        usurper.initialise()
        results, _ = harness.ends(120)
        harness.wait_for_lag_zero()
    usurper.close()

    assert sorted(int(m.key or b"") for m in results) == list(range(120))


def test_a_key_that_no_record_can_carry_costs_one_item(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for()
    producer = Producer(
        {
            "bootstrap.servers": harness.settings.kafka.bootstrap,
            "message.max.bytes": 20_000_000,
            "compression.type": "lz4",
        }
    )
    producer.produce(harness.names.items, b"1", b"k" * 6_000_000)
    producer.produce(harness.names.items, b"2", b"fine")
    producer.flush(30)

    with worker(harness.settings):
        [result], [dead] = harness.ends(2)
        harness.wait_for_lag_zero()

    assert result.key == b"fine"
    assert "key and ids take 6,0" in read_dead_letter(dead).failure.message
