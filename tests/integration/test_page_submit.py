"""The page's form in a real Chromium: what is typed, chosen or dropped becomes a job."""

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from connectors.policy import FetchPolicy
from connectors.sources import TarSource, file_at
from stream_infer.jobs.spec import decode_job
from tests.support.browser import visiting
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.page import client, harness, picture

__all__ = ["client", "harness"]


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
        page.route("**/v1/uploads*", lambda route: held.append(route))  # noqa: PLW0108 - it is written on
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


def test_what_is_too_large_is_said_with_the_limit(chromium: Any, harness: GatewayHarness, tmp_path: Path) -> None:
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
            lambda route: (
                route.continue_()
                if route.request.headers.get("authorization") == "Bearer si_new"
                else route.fulfill(status=401, content_type="application/problem+json", json={"detail": detail})
            ),
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
