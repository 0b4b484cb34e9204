"""The page in a real Chromium, on a real gateway and broker; the test writes what tracker, worker and sink would."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import StopRequested
from stream_infer.jobs.log_lines import LogLine, encode_line
from stream_infer.jobs.sources import S3Prefix
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.records import OutgoingRecord
from tests.support.browser import axe_violations, visiting
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.page import HOSTILE, client, fails, goes_on, harness, job, runs, said
from tests.support.settings import settings_for

__all__ = ["client", "harness", "job"]


def test_the_overview_shows_apis_and_jobs_as_they_go_on(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    with visiting(chromium, client.url) as page:
        assert page.title() == "Overview · stream-infer"
        row = page.get_by_role("row").filter(has_text=job)
        row.get_by_text("validating").wait_for()
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        goes_on(harness, job)
        row.get_by_text("running").wait_for()
        row.get_by_text("60 of 100").wait_for()
        bar = row.get_by_role("progressbar")
        assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("60", "100")
        later = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
        page.get_by_role("row").filter(has_text=later).wait_for()
        page.get_by_label("State").select_option("running")
        page.get_by_role("row").filter(has_text=later).wait_for(state="detached")
        row.get_by_role("link", name=job).click()
        page.get_by_role("heading", level=1, name=f"Job {job}").wait_for()
    harness.status(job, state=State.STOPPED)


def test_a_job_shows_how_far_it_is_what_happened_and_how_fast(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    runs(harness, job)
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.get_by_text("of 100 items").wait_for()
        plot = page.get_by_role("img", name=re.compile("items a second on average"))
        plot.wait_for()
        assert page.locator("svg.plot path.line").get_attribute("d").count("H") >= 10
        page.get_by_text("As a table").click()
        assert page.get_by_role("table", name="Throughput by time").get_by_role("row").count() >= 10
        steps = page.locator(".timeline .step").all_text_contents()
        assert steps[:3] == ["submitted", "enqueuing", "running"]
        goes_on(harness, job, state=State.FINALIZING, counts=Counts(enqueued=100, succeeded=100))
        page.get_by_text("100 of 100 items").wait_for()
        said(page, "finalizing")
        goes_on(harness, job, state=State.SUCCEEDED, counts=Counts(enqueued=100, succeeded=100), objects=2, bytes=2048)
        page.get_by_text("2 objects, 2 KiB").wait_for()
        said(page, "succeeded")
        assert page.get_by_role("button", name="Stop job").count() == 0
        for name in ("Results", "Failures", "Dead letters"):
            address = page.get_by_role("link", name=f"{name} (JSON lines)").get_attribute("href")
            assert address.startswith(f"{client.url}/v1/jobs/{job}/")


def test_failures_stand_by_their_reason_with_pictures_as_pictures_and_markup_as_text(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str, tmp_path: Path
) -> None:
    fails(harness, job, harness.settings.fetch.allowed_directories[0])
    goes_on(harness, job, counts=Counts(enqueued=3, rejected=3), state=State.COMPLETED_WITH_FAILURES)
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.get_by_text("3 items failed, for 2 reasons.").wait_for()
        rows = page.get_by_role("table", name="Failures by reason").get_by_role("row")
        assert [row.split("\n")[0].split("\t")[0] for row in rows.all_inner_texts()[1:]] == ["2", "1"]

        page.get_by_role("button", name="Show items that failed with TooBlurred").click()
        page.get_by_role("heading", name="TooBlurred in predict").wait_for()
        assert page.evaluate("document.activeElement.tagName") == "H3"
        for number in (0, 1):
            page.get_by_role("button", name=f"Look at item {job}-{number}").click()
            image = page.get_by_role("img", name=f"Payload of item {job}-{number}")
            image.wait_for()
            page.wait_for_function("image => image.complete && image.naturalWidth === 96", arg=image.element_handle())

        page.get_by_role("button", name="Show items that failed with UndecodableItem").click()
        page.get_by_role("button", name=f"Look at item {job}-2").click()
        page.get_by_label("Payload", exact=True).filter(has_text=HOSTILE).wait_for()
        assert page.locator("img[src=x]").count() == 0
        assert page.evaluate("window.owned") is None


def test_a_job_is_stopped_only_by_who_means_it(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    goes_on(harness, job)
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        stop = page.get_by_role("button", name="Stop job")
        stop.focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="Stop this job?").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        assert page.evaluate("document.activeElement.textContent") == "Stop job"
        assert harness.events(job) == []

        stop.click()
        page.get_by_role("dialog").get_by_role("button", name="Stop job").click()
        deadline = time.monotonic() + 20
        while not any(isinstance(event, StopRequested) for event in harness.events(job)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        page.locator(".note").filter(has_text="is being stopped").wait_for()
        assert page.evaluate("document.activeElement.tagName") == "H1", "the button goes, and takes no focus with it"
        goes_on(harness, job, state=State.STOPPING, cause=Cause.STOP)
        said(page, re.compile("stopp"))
        stop.wait_for(state="hidden")
    harness.status(job, state=State.STOPPED, cause=Cause.STOP)


def test_failed_items_of_a_reason_are_run_again(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    fails(harness, job, harness.settings.fetch.allowed_directories[0])
    goes_on(harness, job, counts=Counts(enqueued=3, rejected=3))
    topic = harness.topics.api("echo").items
    before = len(harness.read(topic))
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.get_by_text("3 items failed").wait_for()
        again = page.get_by_role("button", name="Run items again that failed with UndecodableItem")
        assert again.count() == 0, "a job that runs is not replayed"
        goes_on(harness, job, counts=Counts(enqueued=3, rejected=3), state=State.COMPLETED_WITH_FAILURES)
        again.click()
        dialog = page.get_by_role("dialog", name="Run 1 item again?")
        dialog.get_by_role("button", name="Run again").click()
        said(page, "1 item run again.")
        page.get_by_text("1 was run again.").wait_for()
        page.locator(".note").filter(has_text="1 item run again.").wait_for()
    assert [message.value for message in harness.read(topic)[before:] if message.value == HOSTILE.encode()]


def test_what_was_said_of_a_job_is_followed_while_its_log_is_open(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    goes_on(harness, job)
    line = LogLine(at=time.time(), job_id=job, role="worker", who="echo.worker.0", line=HOSTILE)
    harness.send(OutgoingRecord(harness.topics.logs, job.encode(), encode_line(line)))
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.locator("summary", has_text=re.compile("^Log$")).click()
        page.get_by_role("log").get_by_text(HOSTILE).wait_for()
        assert page.evaluate("window.owned") is None
    harness.status(job, state=State.STOPPED)


def test_it_can_be_used_without_a_mouse(chromium: Any, harness: GatewayHarness, client: HttpClient, job: str) -> None:
    with visiting(chromium, client.url) as page:
        page.get_by_role("link", name=job).wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == job:
                break
        goes_on(harness, job)
        page.get_by_role("row").filter(has_text=job).get_by_text("60 of 100").wait_for()
        assert page.evaluate("document.activeElement.textContent") == job, "focus stays while rows change"
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name=f"Job {job}").wait_for()
        assert page.evaluate("document.activeElement.tagName") == "H1"
    harness.status(job, state=State.STOPPED)


def test_so_many_jobs_are_listed_as_were_asked_for(chromium: Any, bootstrap_servers: str, tmp_path: Path) -> None:
    own = GatewayHarness(settings_for(bootstrap_servers, f"t-many-{time.time_ns()}", tmp_path))
    source = S3Prefix(uri="s3://pictures/")
    began = time.time() - 999
    jobs = [Job(job_id=f"{n:024}", api="echo", submitted_at=began + n, s3_prefix=source) for n in range(130)]
    own.send(*(OutgoingRecord(own.topics.jobs, job.job_id.encode(), encode_job(job)) for job in jobs[:120]))

    def listed(page: Any) -> list[str]:
        return page.get_by_role("table", name="Jobs").locator("tbody th").all_text_contents()

    def newest(first: int, last: int) -> list[str]:
        return [job.job_id for job in jobs[first:last]][::-1]

    with own.gateway() as client, visiting(chromium, client.url) as page:
        page.get_by_role("link", name=jobs[119].job_id).wait_for()
        assert listed(page) == newest(70, 120)
        own.send(*(OutgoingRecord(own.topics.jobs, job.job_id.encode(), encode_job(job)) for job in jobs[120:]))
        page.get_by_role("link", name=jobs[129].job_id).wait_for()
        page.get_by_role("link", name=jobs[79].job_id).wait_for(state="detached")
        own.status(jobs[3].job_id, state=State.RUNNING, submitted_at=jobs[3].submitted_at)
        page.get_by_role("button", name="Older jobs").click()
        page.get_by_role("link", name=jobs[30].job_id).wait_for()
        assert listed(page) == newest(30, 130)
        page.get_by_role("button", name="Older jobs").click()
        page.get_by_role("link", name=jobs[0].job_id).wait_for()
        assert listed(page) == newest(0, 130)
        assert page.get_by_role("button", name="Older jobs").count() == 0


def test_an_address_that_is_none_leads_nowhere(chromium: Any, client: HttpClient) -> None:
    with visiting(chromium, client.url, "/#/jobs/%zz") as page:
        page.get_by_role("heading", level=1, name="Nothing here").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_narrow_screen_needs_no_scrolling(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str, scheme: str
) -> None:
    runs(harness, job)
    fails(harness, job, harness.settings.fetch.allowed_directories[0])
    fails(harness, None, harness.settings.fetch.allowed_directories[0])
    for width in (1180, 360):
        with visiting(chromium, client.url, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
            for path, sign in (
                ("/", page.get_by_role("link", name=job)),
                (f"/#/jobs/{job}", page.get_by_text(re.compile("items failed, for"))),
                ("/#/apis/echo", page.get_by_text(re.compile("items failed, for"))),
                ("/#/submit", page.get_by_text("Drop files or a folder")),
            ):
                page.goto(client.url + path)
                sign.first.wait_for()
                if "jobs" in path:
                    page.get_by_role("button", name="Show items that failed with TooBlurred").click()
                    page.get_by_role("button", name=re.compile("Look at item")).first.click()
                    page.locator(".picture").wait_for()
                assert axe_violations(page) == [], (path, width)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    harness.status(job, state=State.STOPPED)
