"""The docs' pictures of the page: `make pictures` puts them into docs/pictures."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_infer.cli.composition import fetcher_of
from stream_infer.gateway import run
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.status import State
from tests.support.browser import visiting
from tests.support.gateway import GatewayHarness
from tests.support.page import fails, goes_on, runs, submitted
from tests.support.settings import settings_for

PICTURES = os.environ.get("STREAM_INFER_PICTURES")
LARGEST = 250_000


class TwoWorkers:
    """In place of what Kafka says of the API's group, in which no worker is here."""

    version = ""

    def __init__(self, _kafka: Any) -> None: ...

    def client_ids(self, groups: Sequence[str]) -> Mapping[str, list[str]]:
        return {group: [f"{n}@{self.version}" for n in range(2)] for group in groups}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_page_for_the_docs(
    chromium: Any, bootstrap_servers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    out = Path(PICTURES) if PICTURES else tmp_path / "pictures"
    out.mkdir(exist_ok=True)
    api = {"name": "image-classifier", "workers": {"min": 2, "max": 2}}
    settings = settings_for(bootstrap_servers, f"t-pictures-{time.time_ns()}", tmp_path, api=api)
    harness = GatewayHarness(settings, "image-classifier")
    monkeypatch.setattr(TwoWorkers, "version", settings.apis[0].version)
    monkeypatch.setattr(run, "GroupMembers", TwoWorkers)
    with (
        harness.gateway(fetcher=fetcher_of(settings)) as client,
        visiting(chromium, client.url, color_scheme=scheme, device_scale_factor=1) as page,
    ):
        job = jobs_in(harness, tmp_path)
        page.get_by_role("row").filter(has_text=job).get_by_text("2,343 of 6,000").wait_for()
        page.get_by_role("row").filter(has_text="2 of 2").get_by_text("3,657").wait_for()
        page.screenshot(path=out / f"page-overview-{scheme}.png", clip={"x": 0, "y": 0, "width": 1180, "height": 520})
        page.goto(f"{client.url}/#/jobs/{job}")
        page.get_by_role("button", name="Show items that failed with TooBlurred").click()
        page.get_by_role("button", name=f"Look at item {job}-0").click()
        page.locator(".picture").wait_for()
        page.evaluate("scrollTo(0, 0)")
        box = page.get_by_role("region", name="Failures").bounding_box()
        whole = {"x": 0, "y": 0, "width": 1180, "height": box["y"] + box["height"] + 20}
        page.screenshot(path=out / f"page-job-{scheme}.png", full_page=True, clip=whole)
        page.goto(f"{client.url}/#/submit?api=image-classifier")
        files = [{"name": f"{n:04}.jpg", "mimeType": "image/jpeg", "buffer": bytes(9000 + n)} for n in range(24)]
        page.get_by_label("Choose files").set_input_files(files)
        page.get_by_text("24 files").wait_for()
        page.screenshot(path=out / f"page-submit-{scheme}.png", full_page=True)
    assert {file.name: file.stat().st_size for file in out.glob("page-*.png") if file.stat().st_size > LARGEST} == {}


def jobs_in(harness: GatewayHarness, folder: Path) -> str:
    """Four of them; the one that runs, whose id is answered."""
    fields: dict[str, Any]
    for fields in (
        {"state": State.SUCCEEDED, "counts": Counts(enqueued=1200, succeeded=1200), "rate": 0.0},
        {"state": State.STOPPED, "counts": Counts(enqueued=800, succeeded=310, skipped=490), "rate": 0.0},
        {"state": State.COMPLETED_WITH_FAILURES, "counts": Counts(enqueued=500, succeeded=483, rejected=17)},
    ):
        goes_on(harness, submitted(harness, 900.0), **fields)
    now = time.time()
    job = submitted(harness, 62.0)
    runs(harness, job, 60, pace=39.0)
    fails(harness, job, folder, "cannot identify image file: it begins with b'<html>'")
    goes_on(
        harness, job, counts=Counts(enqueued=6000, succeeded=2340, rejected=3), submitted_at=now - 62, rate=38.2,
        times={"validating": now - 62, "enqueuing": now - 61.6, "running": now - 59.8},
    )  # fmt: skip
    return job
