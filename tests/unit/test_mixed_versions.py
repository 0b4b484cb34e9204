"""What an older version reads of a newer one's records: docs/upgrading.md tells the order of roles by it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from stream_infer.jobs.checkpoints import decode_checkpoint
from stream_infer.jobs.deliveries import decode_webhook
from stream_infer.jobs.events import StopRequested, decode_event, encode_event
from stream_infer.jobs.log_lines import decode_line
from stream_infer.jobs.manifest import decode_manifest
from stream_infer.jobs.spec import Job, decode_job, encode_job
from stream_infer.jobs.status import decode_status

NEWER = {"of_a_newer_version": {"any": 1}}
JOB = Job.model_validate(
    {"job_id": "a", "api": "shouter", "submitted_at": 1.0, "jsonl": {"uri": "s3://bucket/items.jsonl"}}
)


@pytest.mark.parametrize(
    ("decode", "record"),
    [
        (decode_status, {"job_id": "a", "api": "shouter"}),
        (decode_checkpoint, {"job_id": "a", "enqueued": 3}),
        (
            decode_manifest,
            {
                "job_id": "a",
                "api": "shouter",
                "generation": 1,
                "kind": "results",
                "key": "shouter/a/results/k",
                "topic": "t",
                "partition": 0,
                "first_offset": 0,
                "last_offset": 1,
                "count": 2,
                "bytes": 3,
                "sha256": "",
            },
        ),
        (decode_webhook, {"kind": "wish", "job_id": "a", "event": "job.failed", "generation": 1, "token": "0"}),
        (
            lambda value: decode_line(b"a", value),
            {"at": 1.0, "job_id": "a", "source": "predictor", "role": "worker", "who": "w", "line": "x"},
        ),
    ],
)
def test_a_member_that_is_not_known_is_passed_over(decode: Callable[[bytes], Any], record: dict[str, Any]) -> None:
    known = decode(json.dumps(record).encode())

    assert known is not None
    assert decode(json.dumps({**record, **NEWER}).encode()) == known


def test_of_a_job_and_of_an_event_it_makes_the_record_unreadable() -> None:
    event = json.loads(encode_event(StopRequested(job_id="a", at=1.0)))

    assert decode_event(json.dumps(event).encode()) is not None
    assert decode_event(json.dumps({**event, **NEWER}).encode()) is None
    with pytest.raises(ValidationError):
        decode_job(json.dumps({**json.loads(encode_job(JOB)), **NEWER}).encode())


def test_an_option_that_is_not_used_is_not_written() -> None:
    assert set(json.loads(encode_job(JOB))) == {"job_id", "api", "submitted_at", "config", "jsonl"}
