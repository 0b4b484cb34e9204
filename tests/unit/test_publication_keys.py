"""Where the items of a job go, that wants its batches of a size or one worker for all of them."""

import pytest

from stream_infer.intake.publication import Chunk, Publication
from stream_infer.jobs.checkpoints import Checkpoint
from stream_infer.jobs.spec import Job
from stream_infer.ports import SourceItem
from stream_infer.records import Payload
from stream_infer.topics import Topics
from tests.support.memory_store import MemoryStore


@pytest.mark.parametrize(
    ("job", "own", "keys"),
    [
        ({}, None, [None] * 5),
        ({"batch_size": 2}, None, [b"j/0", b"j/0", b"j/1", b"j/1", b"j/2"]),
        ({"batch_size": 2, "workers": 3}, None, [b"j/0", b"j/0", b"j/1", b"j/1", b"j/2"]),
        ({"batch_size": 2, "workers": 1}, None, [b"j"] * 5),
        ({"workers": 1}, None, [None] * 5),
        ({"batch_size": 2, "workers": 1}, b"own", [b"own"] * 5),
    ],
)
def test_items_of_a_batch_share_a_key_and_all_of_a_job_with_one_worker_do(job, own, keys):
    publication = Publication(Topics("p"), MemoryStore(), 1000)
    items = [SourceItem(Payload(b"1"), "s", str(n), key=own) for n in range(5)]

    records = publication.records(
        Job(job_id="j", api="a", submitted_at=1.0, **job),
        Checkpoint(job_id="j", enqueued=0),
        Chunk(items),
        first=False,
        now=1.0,
    )

    assert [record.key for record in records if record.topic == "p.a.items"] == keys
