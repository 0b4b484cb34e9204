"""100 items behind a million: they end within seconds, and the million goes on."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.gateway.representations import JobBody
from stream_infer.jobs.status import State
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

# 1,000 items a second: 20 a call of 20 ms.
API = {
    "name": "echo",
    "predictor": predictor("behaving.py:Sizes", pause=0.02),
    "partitions": 2,
    "batching": {"max_batch_size": 20},
}
MILLION = 1_000_000
# By the predictor's pause. `ahead_seconds` is 10.
AT_MOST_PER_S = 1000
# Some 5 s of work stand before them, not the 1000 s of the million; their own results have to be stored and listed.
WITHIN_S = 90.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "million.jsonl").open("w") as lines:
        lines.writelines(f'{{"n":{n}}}\n' for n in range(MILLION))
    return tmp_path


@pytest.fixture
def up(folder: Path) -> Iterator[UpProcess]:
    config = write_config(folder, apis=[API], fetch={"allowed_directories": [str(folder)]})
    with up_in(folder, config) as process:
        yield process


def ended(job: JobBody) -> int:
    return job.counts.succeeded + job.counts.rejected + job.counts.skipped


def test_100_items_behind_a_million_end_within_seconds_and_the_million_goes_on(up: UpProcess, folder: Path) -> None:
    ready = up.wait_until_ready()
    with closing(Gateway(ready["gateway"])) as client:
        million = client.ask(
            calls.submit("echo", {"jsonl": {"uri": (folder / "million.jsonl").as_uri()}}, uuid.uuid4().hex)
        )
        # Until it has as much waiting as it may.
        wait_for(lambda: client.ask(calls.job(million.job_id)).counts.waiting > 3000, 90.0, up.text)
        time.sleep(3.0)
        before = client.ask(calls.job(million.job_id))
        began = time.monotonic()

        small = client.ask(
            calls.submit("echo", {"item_list": {"items": [{"small": n} for n in range(100)]}}, uuid.uuid4().hex)
        )
        wait_for(lambda: client.ask(calls.job(small.job_id)).is_final, WITHIN_S, up.text)

        took = time.monotonic() - began
        small, after = client.ask(calls.job(small.job_id)), client.ask(calls.job(million.job_id))
        assert small.state is State.SUCCEEDED
        assert small.counts.succeeded == 100
        assert after.state is State.RUNNING, "not a matter of its end"
        going_on = (ended(after) - ended(before)) / took
        print(json.dumps({"waited_before": before.counts.waiting, "took_s": took, "million_per_s": going_on}))
        assert before.counts.waiting < 10 * AT_MOST_PER_S, "less than ahead_seconds of work"
        assert going_on > 0.1 * before.rate
        client.ask(calls.stop(million.job_id))
    assert up.interrupt() == 0, up.text()
