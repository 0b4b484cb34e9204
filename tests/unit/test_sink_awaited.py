"""Which jobs wait for nothing but the sink."""

import pytest

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.sink.awaited import AwaitedJobs, Row, decode_row

ENDED = Counts(enqueued=5, succeeded=3, rejected=2, written=5)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"counts": ENDED, "exhausted": True}, True),
        ({"counts": ENDED, "exhausted": True, "state": State.STOPPING}, True),
        ({"counts": ENDED}, False),
        ({"counts": ENDED + Counts(enqueued=1), "exhausted": True}, False),
        ({"counts": ENDED + Counts(sunk=5), "exhausted": True}, False),
        ({"counts": ENDED, "exhausted": True, "state": State.FAILED}, False),
    ],
)
def test_a_job_waits_for_the_sink_once_its_items_have_ended_and_not_all_is_in_the_store(
    status: dict[str, object], expected: bool
) -> None:
    row = JobStatus.model_validate({"job_id": "j", "api": "a", "state": State.RUNNING, **status})

    assert decode_row(encode_status(row)) == Row("j", expected)


def test_a_job_that_has_moved_on_or_is_gone_is_awaited_no_more() -> None:
    awaited = AwaitedJobs()
    awaited.note("j", Row("j", is_awaited=True))
    awaited.note("k", Row("k", is_awaited=True))
    assert "j" in awaited and "k" in awaited and None not in awaited

    awaited.note("j", Row("j", is_awaited=False))
    awaited.note("k", None)

    assert "j" not in awaited and "k" not in awaited
