import io
import logging
import time

import pytest
import structlog

from stream_infer.errors import Stage
from stream_infer.headers import read_item
from stream_infer.jobs.log_lines import LINE_BYTES, decode_line
from stream_infer.records import Failure, Message
from stream_infer.redaction import redact_text
from stream_infer.telemetry.job_events import JobEvents
from stream_infer.telemetry.job_logs import JobLog
from stream_infer.telemetry.line_budget import LineBudget, LinePolicy
from stream_infer.telemetry.logs import configure_logs
from stream_infer.telemetry.predictor_lines import BoundedEcho, PredictorLines
from stream_infer.telemetry.rejections import Kind, RejectionDigest
from stream_infer.worker.held import Entry, Prefix
from stream_infer.worker.rejected import RejectedLog


class FakePublisher:
    """Takes `room` records."""

    def __init__(self, room=10**6):
        self.room = room
        self.records = []
        self.refused = 0

    def offer(self, record):
        if len(self.records) >= self.room:
            self.refused += 1
            return False
        self.records.append(record)
        return True

    def poll(self, timeout_s):
        pass

    def close(self, timeout_s):
        pass

    @property
    def lines(self):
        return [decode_line(record.key, record.value) for record in self.records]


@pytest.fixture
def publisher():
    return FakePublisher()


@pytest.fixture
def log(publisher):
    return JobLog(
        "t.logs", lambda on_lost: publisher, role="worker", who="w.0", policy=LinePolicy(per_second=0, burst=3)
    )


def test_a_job_has_a_burst_and_then_its_rate():
    budget = LineBudget(LinePolicy(per_second=2, burst=3))

    assert [budget.take("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert budget.take("b", 0.0), "another job has its own"
    assert [budget.take("a", 1.0) for _ in range(3)] == [True, True, False]
    assert budget.take_dropped(1.0) == {"a": 3}


def test_what_was_dropped_is_said_once_a_second_and_nothing_is_forgotten():
    budget = LineBudget(LinePolicy(per_second=1, burst=1, say_every=1))
    assert budget.take_dropped(0.0) == {}
    budget.drop("a", 4)
    assert budget.take_dropped(0.5) == {}
    budget.drop("a")
    assert budget.take_dropped(1.0) == {"a": 5}
    assert budget.take_dropped(2.0) == {}


def test_a_line_goes_to_each_job_without_secrets_and_cut(log, publisher):
    log.start()
    log.line({"a", "b"}, "password=hunter2 " + "x" * 20_000)
    log.line((), "while loading")
    log.line({"a"}, "  ")
    log.close()

    assert {line.job_id for line in publisher.lines} == {"a", "b"}
    assert len(publisher.lines) == 2
    for line in publisher.lines:
        assert line.line.startswith("password=*** xxx")
        assert len(line.line.encode()) <= LINE_BYTES
        assert (line.source, line.role, line.who) == ("predictor", "worker", "w.0")


def test_a_flood_leaves_a_line_that_counts_what_is_missing(log, publisher):
    for number in range(10):
        log.line({"a"}, f"line {number}")
    log.start()
    log.close()

    assert [line.line for line in publisher.lines] == ["line 0", "line 1", "line 2", "… 7 lines dropped"]


def test_lines_that_kafka_does_not_take_are_counted_until_it_does(log, publisher):
    publisher.room = 0
    log.line({"a"}, "lost")
    log.line({"a"}, "lost too")
    log.start()
    deadline = time.monotonic() + 60
    while publisher.refused < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    publisher.room = 10
    log.close()

    assert [line.line for line in publisher.lines] == ["… 2 lines dropped"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_events_with_a_job_id_are_published_and_no_others_whatever_the_level_of_the_roles_own_log(
    log, publisher, level
):
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    configure_logs("sink", level=level, style="json", stream=stream)
    handler = JobEvents(log)
    root.addHandler(handler)
    try:
        said = structlog.get_logger("x")
        said.info("no job")
        said.debug("not for users", job_id="a")
        said.bind(job_id="a").info("flushed", objects=3, item_id="a-1", token="t", places=["x"], nothing=None)
        try:
            raise ValueError("boom")
        except ValueError:
            said.exception("failed", job_id="a")
        logging.getLogger("stream_infer.kafka").error("FAIL")
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
    log.start()
    log.close()

    flushed, failed = publisher.lines
    assert (flushed.line, flushed.level, flushed.item_id, flushed.source) == ("flushed", "info", "a-1", "role")
    assert ('"flushed"' in stream.getvalue()) == (level == logging.DEBUG)
    assert flushed.fields == {"objects": 3, "token": "***", "places": '["x"]'}
    assert (failed.level, failed.fields) == ("error", {"error": "ValueError: boom"})


class Said:
    def __init__(self):
        self.lines = []

    def line(self, jobs, text):
        self.lines.append((text, set(jobs)))


def test_a_line_belongs_to_the_jobs_in_the_child_and_for_a_moment_to_those_before():
    said, echoed, now = Said(), [], [0.0]
    lines = PredictorLines(said, echoed.append, lambda: now[0])
    lines("loading")
    now[0] = 10.0
    lines("just before the word of it")
    now[0] += 0.05
    lines.now_in_child(frozenset({"a"}))
    lines("in a")
    lines.now_in_child(frozenset({"b"}))
    lines("a's last, or b's first")
    now[0] += 0.2
    lines("in b")
    lines.now_in_child(frozenset())
    lines("b's, between its calls")
    lines.now_in_child(frozenset({"b"}))
    lines.now_in_child(frozenset())
    lines("b's last")
    now[0] += 1.9
    lines("b's, read late")
    now[0] += 0.05
    lines.now_in_child(frozenset({"c"}))
    lines("in c")
    lines.now_in_child(frozenset())
    now[0] += 2.1
    lines("idle")

    assert said.lines == [
        ("just before the word of it", {"a"}),
        ("in a", {"a"}),
        ("a's last, or b's first", {"a", "b"}),
        ("in b", {"b"}),
        ("b's, between its calls", {"b"}),
        ("b's last", {"b"}),
        ("b's, read late", {"b"}),
        ("b's, read late", {"c"}),  # as well as c's first
        ("in c", {"c"}),
    ]
    assert len(echoed) == 10


def test_a_predictor_that_prints_in_a_loop_does_not_flood_the_workers_own_output():
    echoed, now = [], [0.0]
    echo = BoundedEcho(echoed.append, LinePolicy(per_second=2, burst=3, say_every=1.0), lambda: now[0])
    for number in range(10):
        echo(f"line {number}")
    assert echoed == ["line 0", "line 1", "line 2"]
    now[0] = 1.0
    echo("a second later")
    echo("and at once")
    assert echoed[3:] == ["… 7 lines of the predictor dropped", "a second later", "and at once"]
    echo("too much")
    echo.close()
    assert echoed[6:] == ["… 1 line of the predictor dropped"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
def test_a_line_that_the_workers_own_output_does_not_take_reaches_its_job(error):
    def fail(_line):
        raise error

    said = Said()
    echo = BoundedEcho(fail, LinePolicy(per_second=1, burst=1, say_every=1.0), lambda: 0.0)
    lines = PredictorLines(said, echo, lambda: 0.0)
    lines.now_in_child(frozenset({"a"}))
    lines("one")
    lines("two")
    echo.close()
    assert said.lines == [("one", {"a"}), ("two", {"a"})]


def test_many_rejections_are_one_line_a_second_and_kind():
    digest, kind, other = RejectionDigest(), Kind("j", "predict", "ValueError"), Kind("j", "decode", "ValueError")
    digest.add(kind, "j-1", "first")
    assert [(one.count, one.item_id) for one in digest.due(0.0)] == [(1, "j-1")]
    digest.add(kind, "j-2", "second")
    digest.add(kind, "j-3", "third")
    digest.add(other, "j-4", "fourth")
    assert [one.kind for one in digest.due(0.5)] == [other]
    assert [(one.count, one.item_id, one.message) for one in digest.due(1.0)] == [(2, "j-2", "second")]
    digest.add(kind, "j-5", "fifth")
    assert [one.count for one in digest.due(1.1, at_once=True)] == [1]


@pytest.mark.parametrize("line", ["a." * 4096, "secret" * 1365, "a://" * 2048, "secret" + " " * 8000])
def test_no_line_keeps_the_redaction_busy(line):
    """170 ms each with unbounded patterns, in which nothing else ran."""
    began = time.thread_time()
    redact_text(line)
    assert time.thread_time() - began < 0.1


def test_of_jobs_that_nobody_submitted_no_rejection_is_told_and_no_id_takes_a_page():
    def rejected(job_id, item_id, *, jobless):
        headers = (("si-job-id", job_id.encode()), ("si-item-id", item_id.encode()))
        entry = Entry(read_item(Message("t", 0, 1, None, b"1", headers, 0)), 2, 1)
        entry.ended, entry.jobless = Failure(Stage.PREDICT, "ValueError", "bad", final=True), jobless
        return entry

    entries = [rejected(f"invented-{n}", "i", jobless=True) for n in range(100)]
    with structlog.testing.capture_logs() as said:
        RejectedLog().delivered([Prefix(("t", 0), [*entries, rejected("j", "x" * 10_000, jobless=False)])], 0.0)

    [line] = said
    assert (line["event"], line["job_id"], len(line["for_example"])) == ("items_rejected", "j", 256)
