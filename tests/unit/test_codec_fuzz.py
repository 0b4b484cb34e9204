"""What lies on the topics that are keyed by job is read, or refused as documented, and who reads it can go on."""

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from connectors.stores.keys import checked_key
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.representations import job_body
from stream_infer.http.json_text import to_json
from stream_infer.intake.flow import FlowPolicy, allowance
from stream_infer.jobs.checkpoints import Checkpoint, decode_checkpoint, encode_checkpoint
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import (
    Counted,
    Exhausted,
    Failed,
    Finalized,
    Hindered,
    HookEnded,
    Reopened,
    StopRequested,
    Submitted,
    TimeoutReached,
    decode_event,
    encode_event,
)
from stream_infer.jobs.lifecycle import fold, is_timed_out
from stream_infer.jobs.log_lines import decode_line
from stream_infer.jobs.manifest import Kind, ManifestRecord, decode_manifest, encode_manifest
from stream_infer.jobs.replays import Replayed, ReplayMark, Replays
from stream_infer.jobs.sources import JsonlFile
from stream_infer.jobs.spec import Job, decode_job, encode_job
from stream_infer.jobs.status import JobStatus, Phase, State, decode_status, encode_status
from stream_infer.sink.backlog import step_of
from tests.support.hostile import FUZZ, hostile
from tests.support.items import message_at

EVENTS = [
    encode_event(event)
    for event in (
        Submitted(job_id="j", at=1, api="a", timeout_s=5, has_hook=True),
        Counted(job_id="j", at=3, delta=Counts(enqueued=3, succeeded=1, written=1)),
        Counted(job_id="j", at=9, delta=Counts(rejected=2, written=2, sunk=3)),
        Exhausted(job_id="j", at=4, error="no"),
        Exhausted(job_id="j", at=4),
        StopRequested(job_id="j", at=5),
        TimeoutReached(job_id="j", at=9),
        Failed(job_id="j", at=5, error="bad"),
        Hindered(job_id="j", at=5, reason="away"),
        HookEnded(job_id="j", at=6, error="no"),
        Finalized(job_id="j", at=7, manifest="file:///m", objects=1, bytes=1),
        Reopened(job_id="j", at=8, generation=2, timeout_s=3),
    )
]
STATUS = JobStatus(
    job_id="j", api="a", state=State.RUNNING, counts=Counts(enqueued=9, succeeded=2), errors=("e",), deadline=9.0,
    times={"validating": 1.0}, rate=1.5, rate_since=2.0, rate_ended=1, manifest="m", objects=1, bytes=2, offset=7,
    phase=Phase.HOOK, generation=2, submitted_at=1.0,
)  # fmt: skip
STATUSES = [
    encode_status(STATUS),
    encode_status(STATUS.model_copy(update={"state": State.FINALIZING, "phase": Phase.ASSEMBLE})),
    encode_status(STATUS.model_copy(update={"state": State.SUCCEEDED, "phase": None})),
]
JOB = Job(
    job_id="j",
    api="a",
    submitted_at=1.5,
    config={"n": 1},
    timeout=3,
    jsonl=JsonlFile(uri="file:///x"),
    request_hash="h",
)
CHECKPOINT = Checkpoint(job_id="j", cursor="3:1", enqueued=4)
OBJECT = ManifestRecord(
    job_id="j", api="a", generation=1, kind=Kind.RESULTS, key="a/j/results/r", topic="t", partition=0, first_offset=0,
    last_offset=9, first_ordinal=0, last_ordinal=9, count=3, bytes=9, sha256="0",
)  # fmt: skip


@FUZZ
@given(st.lists(hostile(*EVENTS), max_size=8))
def test_whatever_lies_on_progress_a_row_can_be_written_and_read_back(values):
    row = fold(None, Submitted(job_id="j", at=1.0, api="a"), 0)
    for offset, value in enumerate(values, 1):
        event = decode_event(value)
        if event is not None:
            assert decode_event(encode_event(event)) == event
            row = fold(row, event, offset)
            assert decode_status(encode_status(row)) == row


@FUZZ
@given(st.lists(st.sampled_from([-(2**53), 2**53]), min_size=40, max_size=60))
def test_no_number_of_strange_counts_adds_up_to_a_row_that_cannot_be_read(deltas):
    row = fold(None, Submitted(job_id="j", at=1.0, api="a"), 0)
    for offset, delta in enumerate(deltas, 1):
        counts = Counts(enqueued=delta, succeeded=delta, rejected=delta, skipped=delta, sunk=delta)
        row = fold(row, Counted(job_id="j", at=1.0 + 2 * offset, delta=counts), offset)
        assert decode_status(encode_status(row)) == row


@FUZZ
@given(hostile(*STATUSES), st.sampled_from(EVENTS))
def test_a_row_is_refused_or_everybody_can_work_with_it(value, event):
    try:
        row = decode_status(value)
    except ValueError:
        return
    read = decode_event(event)
    again = fold(row, read, row.offset + 1)
    assert decode_status(encode_status(again)) == again
    is_timed_out(row, time.time())
    step_of(row)
    assert allowance(FlowPolicy(10.0, 64), row, 5, [row, row], row.rate) >= 0
    to_json(job_body(KnownJob(JOB, row), "file:///x"))
    checked_key(f"{row.api}/{row.job_id}/manifest.json")


@FUZZ
@given(hostile(encode_job(JOB)))
def test_a_job_is_refused_or_everybody_can_work_with_it(value):
    try:
        job = decode_job(value)
    except ValueError:
        return
    assert decode_job(encode_job(job)).job_id == job.job_id
    assert 0 <= int(job.submitted_at * 1000) < 2**63, "a place in the log is looked for by it"
    checked_key(f"{job.api}/{job.job_id}")
    to_json(job_body(KnownJob(job, JobStatus(job_id=job.job_id, api=job.api)), "file:///x"))
    json.loads(json.dumps(job.config))


@FUZZ
@given(hostile(encode_checkpoint(CHECKPOINT)))
def test_a_checkpoint_is_refused_or_can_be_continued(value):
    try:
        checkpoint = decode_checkpoint(value)
    except ValueError:
        return
    assert 0 <= checkpoint.enqueued < 2**63
    encode_checkpoint(checkpoint)


@FUZZ
@given(hostile(encode_manifest(OBJECT)))
def test_a_manifest_record_is_refused_or_names_an_object_of_its_job(value):
    try:
        record = decode_manifest(value)
    except ValueError:
        return
    assert record.key.startswith(f"{record.api}/{record.job_id}/")
    assert not {"", ".", ".."} & set(record.key.split("/"))
    encode_manifest(record)
    json.dumps([record.count, record.bytes])


REPLAYED = Replayed(api="a", topic="t", partition=0, offset=3, job_id="j", at=5).model_dump_json().encode()
REPLAY_MARK = ReplayMark(api="a", job_id="j", generation=2, is_open=True, at=5).model_dump_json().encode()


@FUZZ
@given(
    st.sampled_from([b"t-0-3", b"job:j", b"", b"\xff", b"t--1-3", b"t-" + b"9" * 5000 + b"-1", b"job:"]),
    st.one_of(st.none(), hostile(REPLAYED, REPLAY_MARK)),
)
def test_whatever_lies_on_replays_is_a_replay_or_passed_over(key, value):
    seen = Replays()
    seen.see(message_at("p.replays", value=b"{}" if value is None else REPLAYED, key=key))
    seen.see(message_at("p.replays", value=value, key=key), forget_before=6.0)
    seen.see(message_at("p.replays", value=value, key=key))
    for mark in seen.marks.values():
        encode_event(Exhausted(job_id=mark.job_id, at=1.0, generation=mark.generation))


LINE = b'{"at":1.5,"job_id":"j","role":"worker","who":"w","line":"hello","fields":{"n":3}}'


@FUZZ
@given(hostile(LINE))
def test_whatever_lies_on_logs_is_a_line_that_can_be_shown_or_none(value):
    line = decode_line(b"j", value)
    assert line is None or (0 <= line.at < 2**40 and to_json(line))
