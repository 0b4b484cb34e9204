"""A large folder through the page: neither the browser nor the gateway holds it.

Of 64 files of 1 MiB; what docs/page.md says was measured so:

    FOLDER_FILES=2000 pytest -s tests/integration/test_page_large_folder.py
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import visiting
from tests.support.gateway import GatewayHarness
from tests.support.gateway_process import gateway_process
from tests.support.settings import settings_for

MIB = 1024 * 1024
FILES = int(os.environ.get("FOLDER_FILES", "64"))
WITHIN_S = 500.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of the same bytes: it is a mebibyte on the disk."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    first = pictures / "0.jpg"
    first.write_bytes(os.urandom(MIB))
    for number in range(1, FILES):
        os.link(first, pictures / f"{number}.jpg")
    return pictures


def descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    found = list(map(int, children))
    return [*found, *(below for child in found for below in descendants(child))]


def held_by_chromium() -> int:
    """The bytes that all its processes have for themselves, files and what they share apart."""
    held = 0
    for pid in descendants(os.getpid()):
        try:
            if (
                b"--type=" in Path(f"/proc/{pid}/cmdline").read_bytes()
                or "chrom" in Path(f"/proc/{pid}/comm").read_text()
            ):
                held += anonymous(pid)
        except OSError:
            continue
    return held


def anonymous(pid: int) -> int:
    """Nothing of one that has just ended."""
    found = re.findall(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[0]) * 1024 if found else 0


@contextmanager
def peaks(**held: Callable[[], int]) -> Iterator[dict[str, int]]:
    """By how much each of them grew at most until the block ends, in bytes."""
    before = {name: look() for name, look in held.items()}
    most, over = dict(before), threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for name, look in held.items():
                most[name] = max(most[name], look())

    grown: dict[str, int] = {}
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield grown
    finally:
        over.set()
        watching.join()
        grown |= {name: most[name] - before[name] for name in held}


def test_a_large_folder_is_sent_and_nobody_holds_it(
    chromium: Any, bootstrap_servers: str, topic_prefix: str, tmp_path: Path, folder: Path
) -> None:
    limits = {"upload_bytes": (FILES + 8) * MIB}
    harness = GatewayHarness(settings_for(bootstrap_servers, topic_prefix, tmp_path, limits=limits))
    with (
        gateway_process(harness.settings, tmp_path) as gateway,
        visiting(chromium, gateway.url, "/#/submit?api=echo") as page,
        peaks(browser=held_by_chromium, gateway=lambda: anonymous(gateway.process.pid)) as grown,
    ):
        began = time.monotonic()
        page.get_by_label("Choose a folder").set_input_files(folder)
        page.locator("#chosen").get_by_text(re.compile(f"{FILES:,}|{FILES}")).first.wait_for()
        chosen = time.monotonic()
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", level=1, name=re.compile("Job ")).wait_for(timeout=WITHIN_S * 1000)
        ended = time.monotonic()
    print(
        f"\n{FILES} files of 1 MiB: chosen in {chosen - began:.1f} s, sent in {ended - chosen:.1f} s; "
        + ", ".join(f"{name} +{size / MIB:.0f} MiB" for name, size in grown.items())
    )
    sent = [found.size for found in harness.store.list("_submissions")]
    assert sum(sent) >= FILES * MIB
    assert grown["gateway"] < 160 * MIB
    assert grown["browser"] < 400 * MIB
