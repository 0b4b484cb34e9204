"""What the web page shows: jobs as the other roles would write them, and the gateway that the page is of."""

import io
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stream_infer.cli.composition import fetcher_of, source_opener
from stream_infer.errors import Stage
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.sources import S3Prefix
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import State
from stream_infer.records import REFERENCE, Failure, OutgoingRecord
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for

HOSTILE = '<img src=x onerror="window.owned = 1"><script>window.owned = 1</script>'


def picture(red: int) -> bytes:
    """Not a real thing, but a real PNG."""
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    pixels = np.stack([np.full((96, 96), red, np.uint8), np.tile(ramp, (96, 1)), np.tile(ramp[:, None], (1, 96))], -1)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def submitted(harness: GatewayHarness, ago: float = 60.0) -> str:
    """A job that has been known for so many seconds."""
    job_id = secrets.token_hex(12)
    source = S3Prefix(uri="s3://pictures/2026-11/", includes=["*.jpg"])
    job = Job(job_id=job_id, api=harness.api, submitted_at=time.time() - ago, s3_prefix=source, config={"top": 3})
    harness.send(OutgoingRecord(harness.topics.jobs, job_id.encode(), encode_job(job)))
    return job_id


def goes_on(harness: GatewayHarness, job: str, **fields: Any) -> None:
    now = time.time()
    known = {
        "state": State.RUNNING, "counts": Counts(enqueued=100, succeeded=58, rejected=2), "exhausted": True,
        "rate": 12.5, "submitted_at": now - 60,
        "times": {"validating": now - 60, "enqueuing": now - 59, "running": now - 50},
    }  # fmt: skip
    harness.status(job, **{**known, **fields})


def runs(harness: GatewayHarness, job: str, seconds: int = 40, pace: float = 1.2) -> None:
    """With a history of so many seconds, in which about `pace` items ended in each."""
    now = time.time()
    for second in range(0, seconds + 1, max(2, seconds // 12)):
        ended = int(pace * (second + 3 * np.sin(second / 3)))
        goes_on(
            harness, job, rate_since=now - seconds + second, rate_ended=max(0, ended), submitted_at=now - seconds,
            counts=Counts(enqueued=round(100 * pace / 1.2), succeeded=max(0, ended - 2), rejected=2),
        )  # fmt: skip


def fails(harness: GatewayHarness, job: str | None, folder: Path, why: str = HOSTILE) -> None:
    """Two for one reason, of which one lies elsewhere; and a third, which says `why`."""
    place = folder / "blurred.png"
    place.write_bytes(picture(40))
    unlike = Failure(Stage.PREDICT, "pictures.TooBlurred", "sharpness 3.1 is below 10", "Traceback: …\n")
    undecodable = Failure(Stage.DECODE, "stream_infer.errors.UndecodableItem", why)
    reference = b'{"uri":"%s","content_type":"image/png"}' % place.as_uri().encode()
    harness.reject(
        (job, picture(200), unlike, "image/png"),
        (job, reference, unlike, REFERENCE),
        (job, HOSTILE.encode(), undecodable, "text/html"),
    )


def said(page: Any, text: str | re.Pattern[str]) -> None:
    page.locator("#said").filter(has_text=text).wait_for(state="attached")


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("page")
    return GatewayHarness(settings_for(bootstrap_servers, f"t-page-{time.time_ns()}", folder))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    open_source = source_opener(harness.settings, harness.store)
    with harness.gateway(
        fetcher=fetcher_of(harness.settings), read_source=lambda job: open_source(job).read(None)
    ) as client:
        yield client


@pytest.fixture
def job(harness: GatewayHarness) -> str:
    return submitted(harness)
