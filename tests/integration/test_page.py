"""The page in a real Chromium, on a real gateway and broker; the test writes what tracker, worker and sink would."""

import io
import os
import re
import secrets
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from connectors.policy import FetchPolicy
from connectors.sources import TarSource, file_at
from stream_infer.cli.composition import fetcher_of, source_opener
from stream_infer.errors import Stage
from stream_infer.gateway import events
from stream_infer.http.keys import Scope, new_key
from stream_infer.http.keys_file import entry_text
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import StopRequested
from stream_infer.jobs.log_lines import LogLine, encode_line
from stream_infer.jobs.sources import S3Prefix
from stream_infer.jobs.spec import Job, decode_job, encode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.records import REFERENCE, Failure, OutgoingRecord
from tests.support.browser import axe_violations, visiting
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.settings import settings_for

HOSTILE = '<img src=x onerror="window.owned = 1"><script>window.owned = 1</script>'
# Where the pictures of the docs are put: `make pictures` says docs.
PICTURES = os.environ.get("STREAM_INFER_PICTURES")


def picture(red: int) -> bytes:
    """Not a real thing, but a real PNG."""
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    pixels = np.stack([np.full((96, 96), red, np.uint8), np.tile(ramp, (96, 1)), np.tile(ramp[:, None], (1, 96))], -1)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


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


def submitted(harness: GatewayHarness, ago: float = 60.0) -> str:
    """A job that has been known for so many seconds."""
    job_id = secrets.token_hex(12)
    source = S3Prefix(uri="s3://pictures/2026-11/", includes=["*.jpg"])
    job = Job(job_id=job_id, api="echo", submitted_at=time.time() - ago, s3_prefix=source, config={"top": 3})
    harness.send(OutgoingRecord(harness.topics.jobs, job_id.encode(), encode_job(job)))
    return job_id


@pytest.fixture
def job(harness: GatewayHarness) -> str:
    return submitted(harness)


def goes_on(harness: GatewayHarness, job: str, **fields: Any) -> None:
    now = time.time()
    known = {
        "state": State.RUNNING, "counts": Counts(enqueued=100, succeeded=58, rejected=2), "exhausted": True,
        "rate": 12.5, "submitted_at": now - 60,
        "times": {"validating": now - 60, "enqueuing": now - 59, "running": now - 50},
    }  # fmt: skip
    harness.status(job, **{**known, **fields})


def runs(harness: GatewayHarness, job: str, seconds: int = 40) -> None:
    """With a history of so many seconds."""
    now = time.time()
    for second in range(0, seconds + 1, max(2, seconds // 12)):
        ended = int(1.2 * second + 4 * np.sin(second / 3))
        goes_on(
            harness, job, rate_since=now - seconds + second, rate_ended=max(0, ended), submitted_at=now - seconds,
            counts=Counts(enqueued=100, succeeded=max(0, ended - 2), rejected=2),
        )  # fmt: skip


def fails(harness: GatewayHarness, job: str | None, folder: Path) -> None:
    place = folder / "blurred.png"
    place.write_bytes(picture(40))
    unlike = Failure(Stage.PREDICT, "pictures.TooBlurred", "sharpness 3.1 is below 10", "Traceback: …\n")
    undecodable = Failure(Stage.DECODE, "stream_infer.errors.UndecodableItem", HOSTILE)
    reference = b'{"uri":"%s","content_type":"image/png"}' % place.as_uri().encode()
    harness.reject(
        (job, picture(200), unlike, "image/png"),
        (job, reference, unlike, REFERENCE),
        (job, HOSTILE.encode(), undecodable, "text/html"),
    )


def said(page: Any, text: str | re.Pattern[str]) -> None:
    page.locator("#said").filter(has_text=text).wait_for(state="attached")


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


def test_items_that_are_typed_become_a_job(chromium: Any, harness: GatewayHarness, client: HttpClient) -> None:
    with visiting(chromium, client.url, "/#/submit?api=echo") as page:
        page.get_by_label("Typed here").check()
        page.get_by_label("One item a line").fill('{"text": "hello"}\n\nplain\n{"broken"')
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("alert").filter(has_text='is not JSON: {"broken"').wait_for()

        page.get_by_label("One item a line").fill('{"text": "hello"}\nplain\n{"id": 12345678901234567890}')
        page.get_by_text("Options").click()
        page.get_by_label("Workers wanted").fill("99")
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("alert").filter(has_text="raise workers.max").wait_for()

        page.get_by_label("Workers wanted").fill("")
        page.get_by_label("Config").fill('{"top": 3}')
        page.get_by_role("button", name="See what would be enqueued").click()
        page.get_by_label("The first items").filter(has_text='{"text":"hello"}').wait_for()
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for()
        job_id = page.url.rpartition("/")[2]
    [written] = [decode_job(m.value or b"") for m in harness.read(harness.topics.jobs) if m.key == job_id.encode()]
    assert written.config == {"top": 3}
    assert harness.store.get(written.submission or "") == b'{"text":"hello"}\n"plain"\n{"id":12345678901234567890}\n'


FOLDER = {
    "a.jpg": b"\xff\xd8\xff",
    "deep/er/" + "long" * 40 + ".png": picture(1),
    "deep/ü.txt": "süß".encode(),
    "empty.json": b"",
    ".hidden": b"no",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FOLDER.items():
        place = tmp_path / "pictures" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return tmp_path / "pictures"


def items_of(harness: GatewayHarness, job_id: str) -> dict[str, tuple[bytes, str]]:
    [written] = [decode_job(m.value or b"") for m in harness.read(harness.topics.jobs) if m.key == job_id.encode()]
    assert written.tar is not None
    source = TarSource(file_at(written.tar.uri, FetchPolicy(), store=harness.store))
    return {(item.key or b"").decode(): (item.payload.data, item.payload.content_type) for item in source.read(None)}


def test_a_folder_that_is_chosen_becomes_a_job_with_an_item_a_file(
    chromium: Any, harness: GatewayHarness, client: HttpClient, folder: Path
) -> None:
    with visiting(chromium, client.url, "/#/submit?api=echo") as page:
        page.get_by_label("Choose a folder").set_input_files(folder)
        page.locator("#chosen").get_by_text("4 files").wait_for()
        page.get_by_role("button", name="See what would be enqueued").click()
        page.get_by_label("The first items").filter(has_text="a.jpg").wait_for()
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for()
        found = items_of(harness, page.url.rpartition("/")[2])
    assert {name: data for name, (data, _) in found.items()} == {
        f"pictures/{name}": data for name, data in FOLDER.items() if name != ".hidden"
    }
    assert found["pictures/a.jpg"][1] == "image/jpeg"


def choose(page: Any, *names: str) -> None:
    files = [{"name": name, "mimeType": "text/plain", "buffer": name.encode()} for name in names]
    page.get_by_label("Choose files").set_input_files(files)


def test_files_that_are_chosen_while_others_are_sent_are_those_that_are_submitted(
    chromium: Any, harness: GatewayHarness, client: HttpClient
) -> None:
    with visiting(chromium, client.url, "/#/submit?api=echo") as page:
        held: list[Any] = []
        page.route("**/v1/uploads*", held.append)
        choose(page, "old-1.txt", "old-2.txt")
        with page.expect_request("**/v1/uploads*"):
            page.get_by_role("button", name="See what would be enqueued").click()
        page.get_by_role("progressbar", name="Sending").wait_for()
        choose(page, "new-1.txt", "new-2.txt")
        page.get_by_text("what was being sent is given up").wait_for()
        page.get_by_role("progressbar", name="Sending").wait_for(state="hidden")
        page.unroute("**/v1/uploads*")
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for()
        found = items_of(harness, page.url.rpartition("/")[2])
    assert list(found) == ["new-1.txt", "new-2.txt"]


def test_what_is_too_large_is_said_with_the_limit(
    chromium: Any, harness: GatewayHarness, tmp_path: Path
) -> None:
    """The gateway answers before it has read: what the browser is still sending must not hide that."""
    limits = harness.settings.limits.model_copy(update={"upload_bytes": 1000})
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(40 * 1024 * 1024))
    with (
        harness.gateway(harness.settings.model_copy(update={"limits": limits})) as client,
        visiting(chromium, client.url, "/#/submit?api=echo") as page,
    ):
        page.get_by_label("Choose files").set_input_files(large)
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("alert").filter(has_text="limits.upload_bytes is 1000").wait_for()


def test_a_key_that_is_asked_for_leaves_the_form_as_it_is(
    chromium: Any, harness: GatewayHarness, client: HttpClient
) -> None:
    detail = "The API key 3f of me has expired: `stream-infer keys new` makes another."
    with visiting(chromium, client.url, "/#/submit?api=echo") as page:
        page.route(
            "**/v1/apis/echo/jobs",
            lambda route: route.continue_()
            if route.request.headers.get("authorization") == "Bearer si_new"
            else route.fulfill(status=401, content_type="application/problem+json", json={"detail": detail}),
        )
        page.get_by_label("Typed here").check()
        page.get_by_label("One item a line").fill('"kept"')
        page.get_by_role("button", name="Submit").click()
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_text("has expired").wait_for()
        page.get_by_label("Key", exact=True).fill("si_new")
        page.keyboard.press("Enter")
        dialog.wait_for(state="hidden")
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for()
        page.get_by_role("button", name="API key").click()
        assert dialog.get_by_text("has expired").count() == 0


PACKED = """async ([name, size]) => {
  const { tarOf } = await import("./_page/tar.js");
  const whole = tarOf([{ name, file: { size, lastModified: 1.8e12 } }]);
  return [...new Uint8Array(await whole.slice(0, 8192).arrayBuffer())];
}"""


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("a.jpg", 0),
        ("n" * 100, 1),
        ("n" * 101, 512),
        # The record says its own length, whose digits count: around 99 and 100, and 999 and 1000.
        *(("n" * length, 7) for length in (*range(87, 92), *range(985, 992))),
        ("ü/" + "💡" * 60 + ".png", 3),
        ("a b\n=.txt", 2),
        ("big.bin", 8 * 1024**3 - 1),
        ("big.bin", 8 * 1024**3),
        ("ü.bin", 2**50),
    ],
)
def test_an_archive_that_the_browser_writes_is_read_by_others(
    chromium: Any, client: HttpClient, name: str, size: int
) -> None:
    with visiting(chromium, client.url, "/#/submit") as page:
        data = bytes(page.evaluate(PACKED, [name, size]))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
        member = next(iter(archive))
    assert (member.name, member.size, member.isreg(), member.mtime) == (name, size, True, 1_800_000_000)


DROP = """([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  for (const kind of ["dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def test_a_table_that_is_dropped_is_a_table_and_many_files_are_packed(
    chromium: Any, harness: GatewayHarness, client: HttpClient
) -> None:
    with visiting(chromium, client.url, "/#/submit?api=echo") as page:
        zone = page.locator(".drop").element_handle()
        page.evaluate(DROP, [zone, [["rows.csv", "a,b\n1,2\n"]]])
        page.get_by_text("1 file, 8 B: each row is an item.").wait_for()
        page.evaluate(DROP, [zone, [["b.txt", "b"], ["a.txt", "a"]]])
        page.get_by_text("2 files, 2 B: each file is an item").wait_for()
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for()
        found = items_of(harness, page.url.rpartition("/")[2])
    assert [(name, data) for name, (data, _) in found.items()] == [("a.txt", b"a"), ("b.txt", b"b")]


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


def test_a_key_is_asked_for_sent_with_every_request_and_kept_in_the_tab_alone(
    chromium: Any, client: HttpClient
) -> None:
    with visiting(chromium, client.url) as page:
        seen: list[str] = []

        def guard(route: Any) -> None:
            key = route.request.headers.get("authorization")
            if key == "Bearer si_secret":
                seen.append(route.request.url)
                route.continue_()
            else:
                problem = '{"title":"Who asks?","status":401}'
                route.fulfill(status=401, content_type="application/problem+json", body=problem)

        page.route("**/v1/**", guard)
        page.reload()
        page.get_by_role("dialog", name="API key").wait_for()
        page.get_by_label("Key", exact=True).fill("si_secret")
        page.keyboard.press("Enter")
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        paths = {url.removeprefix(client.url).partition("?")[0] for url in seen}
        assert paths >= {"/v1/apis", "/v1/jobs", "/v1/events"}
        assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]


def test_behind_keys_the_page_asks_for_one_and_does_what_that_may(
    chromium: Any, harness: GatewayHarness, job: str, tmp_path: Path
) -> None:
    reader, mine = new_key("reader", [Scope.READ]), new_key("me", [Scope.READ, Scope.SUBMIT])
    file = tmp_path / "keys.yaml"
    file.write_text("".join(entry_text(one.entry) for one in (reader, mine)))
    guarded = harness.settings.gateway.model_copy(update={"api_keys_file": file})
    goes_on(harness, job)
    with (
        harness.gateway(harness.settings.model_copy(update={"gateway": guarded})) as client,
        visiting(chromium, client.url, f"/#/jobs/{job}") as page,
    ):
        page.get_by_role("dialog", name="API key").wait_for()
        page.get_by_label("Key", exact=True).fill("si_mistyped")
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="API key").get_by_text("is not known here").wait_for()
        page.get_by_label("Key", exact=True).fill(reader.key)
        page.keyboard.press("Enter")
        page.get_by_text("60 of 100 items").wait_for()
        goes_on(harness, job, counts=Counts(enqueued=100, succeeded=70))
        page.get_by_text("70 of 100 items").wait_for()  # by server-sent events, which bring the key, too

        page.get_by_role("button", name="Stop job").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop job").click()
        page.get_by_role("alert").filter(has_text="needs an API key with the scope submit").wait_for()
        page.get_by_role("button", name="API key").click()
        page.get_by_label("Key", exact=True).fill(mine.key)
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="API key").wait_for(state="hidden")
        page.get_by_text("70 of 100 items").wait_for()
        file.write_text(entry_text(reader.entry))
        page.get_by_role("dialog", name="API key").get_by_text("is not known here").wait_for()
        file.write_text("".join(entry_text(one.entry) for one in (reader, mine)))
        page.get_by_label("Key", exact=True).fill(mine.key)
        page.keyboard.press("Enter")
        goes_on(harness, job, state=State.STOPPED, counts=Counts(enqueued=100, succeeded=70))
        with page.expect_download() as saved:
            page.get_by_role("link", name="Results (JSON lines)").click()
        assert Path(saved.value.path()).read_bytes() == b""
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


LOOKED_AT = """isSeen => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !isSeen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_nobody_sees_holds_no_connection_and_misses_nothing(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    """A browser has six connections to one address, for all tabs: the seventh was dead."""
    goes_on(harness, job)
    lines = [LogLine(at=time.time(), job_id=job, role="worker", who="w", line=text) for text in ("one", "two")]
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.locator("summary", has_text=re.compile("^Log$")).click()
        harness.send(OutgoingRecord(harness.topics.logs, job.encode(), encode_line(lines[0])))
        log = page.get_by_role("log").locator("li")
        log.filter(has_text="one").wait_for()
        with (
            page.expect_event("requestfailed", lambda request: f"{job}/events" in request.url),
            page.expect_event("requestfailed", lambda request: f"{job}/logs" in request.url),
        ):
            page.evaluate(LOOKED_AT, False)
        goes_on(harness, job, counts=Counts(enqueued=100, succeeded=90))
        harness.send(OutgoingRecord(harness.topics.logs, job.encode(), encode_line(lines[1])))
        with page.expect_request(lambda request: f"{job}/logs" in request.url) as asked:
            page.evaluate(LOOKED_AT, True)
        assert asked.value.all_headers()["last-event-id"].isdigit()
        page.get_by_text("90 of 100 items").wait_for()
        log.filter(has_text="two").wait_for()
        assert log.count() == 2, "what was read is not read again"
    harness.status(job, state=State.STOPPED)


def test_a_stream_that_has_gone_silent_is_given_up(chromium: Any, client: HttpClient) -> None:
    """Behind a machine that slept nothing comes any more, and nothing says so: the gateway speaks every 10 s."""
    with visiting(chromium, client.url) as page:
        page.clock.install()
        with page.expect_response("**/v1/events"):
            page.reload()
        with page.expect_request("**/v1/events"):
            page.clock.fast_forward(31_000)


def test_what_keeps_the_page_from_being_as_things_are_is_said(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(harness, job)

    def fail(route: Any) -> None:
        problem = {"title": "A service that is needed does not answer", "detail": "Kafka has not answered."}
        route.fulfill(status=503, content_type="application/problem+json", json=problem)

    with visiting(chromium, client.url) as page:
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        told = page.get_by_role("alert").filter(has_text="Kafka has not answered.")
        page.route("**/v1/apis", fail)
        told.wait_for()
        page.unroute("**/v1/apis")
        told.wait_for(state="detached")
        page.route("**/throughput", fail)
        page.goto(f"{client.url}/#/jobs/{job}")
        page.get_by_text("This cannot be brought up to date: Kafka has not answered.").wait_for()
    monkeypatch.setattr(events, "MAX_FOLLOWERS", 0)
    with visiting(chromium, client.url) as page:
        page.get_by_role("link", name=job).wait_for()
        later = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
        page.get_by_role("row").filter(has_text=later).wait_for()
    harness.status(job, state=State.STOPPED)


def test_so_many_jobs_are_listed_as_were_asked_for(
    chromium: Any, bootstrap_servers: str, tmp_path: Path
) -> None:
    own = GatewayHarness(settings_for(bootstrap_servers, f"t-many-{time.time_ns()}", tmp_path))
    source = S3Prefix(uri="s3://pictures/")
    jobs = [Job(job_id=f"{n:024}", api="echo", submitted_at=time.time() - 999 + n, s3_prefix=source) for n in range(130)]
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


def test_a_gateway_that_is_away_is_said_and_come_back_to(chromium: Any, client: HttpClient) -> None:
    with visiting(chromium, client.url) as page:
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        page.route("**/v1/apis", lambda route: route.abort())
        page.get_by_text("The gateway does not answer").wait_for()
        page.unroute("**/v1/apis")
        page.get_by_text("The gateway does not answer").wait_for(state="hidden")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_page_for_the_docs(
    chromium: Any, harness: GatewayHarness, client: HttpClient, tmp_path: Path, scheme: str
) -> None:
    out = Path(PICTURES) if PICTURES else tmp_path
    names = []
    shown = ((State.SUCCEEDED, 240, 0), (State.COMPLETED_WITH_FAILURES, 117, 3), (State.RUNNING, 400, 3))
    for state, done, failed in shown:
        name = submitted(harness, 90.0)
        names.append(name)
        runs(harness, name, 90)
        counts = Counts(enqueued=done + failed if state.is_final else 1000, succeeded=done, rejected=failed)
        now = time.time()
        times = {"validating": now - 90, "enqueuing": now - 89.6, "running": now - 84}
        goes_on(harness, name, state=state, counts=counts, submitted_at=now - 90, times=times, rate=38.2)
    fails(harness, names[-1], harness.settings.fetch.allowed_directories[0])
    with visiting(chromium, client.url, color_scheme=scheme) as page:
        page.get_by_role("row").filter(has_text=names[-1]).get_by_text("403 of 1,000").wait_for()
        page.screenshot(path=out / f"page-overview-{scheme}.png", clip={"x": 0, "y": 0, "width": 1180, "height": 480})
        page.goto(f"{client.url}/#/jobs/{names[-1]}")
        page.get_by_role("button", name="Show items that failed with TooBlurred").click()
        page.get_by_role("button", name=re.compile("Look at item")).first.click()
        page.locator(".picture").wait_for()
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=out / f"page-job-{scheme}.png", full_page=True)
    for name in names:
        harness.status(name, state=State.STOPPED)
    assert all(file.stat().st_size < 300_000 for file in out.glob("page-*.png"))
